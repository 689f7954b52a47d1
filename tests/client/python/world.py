"""The surroundings of the client under test: time that jumps as soon as nobody has anything to do, a server that says what
the test says, and chosen dice. Nothing in here waits for longer than the kernel takes to carry a few bytes.

The sockets are real, but both ends live in one event loop: when none is readable, there is nothing under way."""

import asyncio
import functools
import json
import selectors
import time
from urllib.parse import parse_qs, urlsplit

import slackwater
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.datastructures import Headers

GRACE = 0.01  # seconds in which the kernel has carried what was sent
HANGS = 5  # seconds after which nothing will come any more, and there is no timer either
PATIENCE = 30  # seconds that a story may take


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop):
        super().__init__()
        self.loop, self.ends = loop, time.monotonic() + PATIENCE

    def select(self, timeout=None):
        assert time.monotonic() < self.ends, "this story takes too long"
        if timeout is not None and timeout <= 0:
            return super().select(0)
        events = super().select(GRACE if timeout is not None else HANGS)
        if not events:
            assert timeout is not None, "everybody waits for somebody else"
            self.loop.passed += timeout
        return events


class Loop(asyncio.SelectorEventLoop):
    """Its clock stands while something is done, and jumps to the next timer when nothing is."""

    def __init__(self):
        self.passed = 1000.0
        super().__init__(_Selector(self))

    def time(self):
        return self.passed


def in_virtual_time(story):
    """Runs the story to its end, and sees to it that nothing is left behind or went wrong unheard."""
    @functools.wraps(story)
    def told(*arguments, **named):
        wrongs = []

        async def watched():
            asyncio.get_running_loop().set_exception_handler(lambda _, context: wrongs.append(context))
            await story(*arguments, **named)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, left

        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(watched())
        assert not wrongs, wrongs
    return told


def now():
    return asyncio.get_running_loop().time()


class Line:
    """The server's end of a connection."""

    def __init__(self, server, socket):
        self.server, self.socket = server, socket
        query = parse_qs(urlsplit(socket.request.path).query)
        self.topics, [self.place] = query.get("topic", []), query.get("last_event_id", [None])
        self.token = socket.request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.said, self.closed = [], None

    async def says(self, *messages):
        for message in messages:
            await self.socket.send(json.dumps(message))

    async def brings(self, *ids):
        await self.says(*({"type": "notification", "id": id, "topic": "tides", "data": id} for id in ids))

    async def closes(self, code, reason=""):
        await self.socket.close(code, reason)

    def breaks(self):
        self.socket.transport.abort()

    def falls_silent(self):
        self.socket.transport.pause_reading()


class Server:
    """Welcomes everybody, unless the test says otherwise."""

    def __init__(self):
        self.lines, self.attempts, self.refusals, self.changed = [], [], [], asyncio.Event()
        self.welcome, self.resumes, self.welcomes, self.newest = {}, True, True, "e-7"

    async def __aenter__(self):
        self.serving = await serve(self._live, "127.0.0.1", 0, process_request=self._admit, ping_interval=None, close_timeout=1)
        self.url = f"ws://127.0.0.1:{self.serving.sockets[0].getsockname()[1]}/ws"
        return self

    async def __aexit__(self, *_):
        self.serving.close()
        await self.serving.wait_closed()

    def _admit(self, _, request):
        self.attempts.append(now())
        if self.refusals:
            status, headers, body = self.refusals.pop(0)
            body = json.dumps(body).encode()
            return Response(status, "No", Headers({**headers, "Content-Length": str(len(body))}), body)

    async def _live(self, socket):
        line = Line(self, socket)
        self.lines.append(line)
        if self.welcomes:
            resumed = line.place is not None and self.resumes
            await line.says({"type": "welcome", "topics": line.topics, "last_event_id": self.newest, "resumed": resumed,
                             "timestamp": "2030-01-01T00:00:00.000Z", **self.welcome})
        self.changed.set()
        try:
            while True:
                line.said.append(json.loads(await socket.recv()))
                self.changed.set()
        except ConnectionClosed as end:
            line.closed = end.rcvd.code if end.rcvd else 1006
        self.changed.set()

    async def until(self, is_so):
        while not is_so():
            self.changed.clear()
            await self.changed.wait()

    async def line(self, nth):
        await self.until(lambda: len(self.lines) > nth)
        return self.lines[nth]

    def client(self, **options):
        """Without pings, which would make hours long."""
        return slackwater.connect(self.url, **{"topics": ["tides"], "proxy": None, "ping_interval": None, **options})

    def pinging_client(self):
        """As it is out of the box."""
        return slackwater.connect(self.url, topics=["tides"], proxy=None)


async def heard(client, count):
    """The ids of the next notifications."""
    return [(await anext(client))["id"] for _ in range(count)]


async def told(client, kind):
    """The next message of that type."""
    while (message := await client.receive())["type"] != kind:
        pass
    return message
