"""Clients that write down what they are told, by WebSockets and event streams, on one machine or now on this and now on that one;
and those who publish meanwhile. All of them go on whatever happens, and judge nothing."""
import asyncio
import contextlib
import http.client
import itertools
import json
import random
import threading
import uuid

import httpx
import httpx_sse
import websockets.asyncio.client
from websockets.exceptions import WebSocketException

from judge import ACKNOWLEDGED, REFUSED, UNKNOWN, Gap, Heard, Joined, Published, place
from programs import PATIENCE, wait_until

PAUSE = 0.05  # seconds before whoever was refused tries again


class Listener:
    """One client. Where it is `restless` it cuts its connection again and again, is away for a while, and resumes on any machine."""

    def __init__(self, name, machines, is_restless):
        self.name, self.machines, self.is_restless = name, machines, is_restless
        self.records = []
        self.joined = 0
        self.last_id = None
        self._random = random.Random(name)

    async def live(self):
        for machine in self._stops():
            patience = self._random.uniform(0.02, 0.5) if self.is_restless else None
            with contextlib.suppress(OSError, TimeoutError, WebSocketException, httpx.HTTPError):
                async with asyncio.timeout(patience):
                    await self.listen(machine)
            await asyncio.sleep(self._random.uniform(0, 0.5) if self.is_restless else PAUSE)

    def _stops(self):
        """The machines that are there, one after the other. A restless one wants any, the others a place to stay at."""
        while True:
            yield self._random.choice(self.machines) if self.is_restless else self.machines[0]

    def join(self, machine, resumed, newest):
        self.records.append(Joined(machine.name, self.last_id, resumed, newest))
        self.joined += 1
        if not resumed:
            self.last_id = newest

    def hear(self, message):
        self.records.append(Heard(message["id"], message["data"]))
        self.last_id = message["id"]


class WebSocketListener(Listener):
    async def listen(self, machine):
        after = f"?last_event_id={self.last_id}" if self.last_id else ""
        async with self._connected(machine.ws + after) as ws:
            async for text in ws:
                message = json.loads(text)
                match message["type"]:
                    case "welcome":
                        self.join(machine, message["resumed"], message["last_event_id"])
                    case "notification":
                        self.hear(message)
                    case "gap":
                        self.records.append(Gap())

    @contextlib.asynccontextmanager
    async def _connected(self, url):
        ws = await websockets.asyncio.client.connect(url, compression=None, ping_interval=None, proxy=None)
        try:
            yield ws
        finally:
            # A cut, without a word of goodbye.
            ws.transport.abort()


class EventStreamListener(Listener):
    async def listen(self, machine):
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        async with (httpx.AsyncClient(timeout=None, trust_env=False) as client,
                    httpx_sse.aconnect_sse(client, "GET", f"{machine.http}/events", headers=headers) as source):
            asked, is_first = self.last_id, True
            async for event in source.aiter_sse():
                # The first event bears an id, and is a gap where one was asked for in vain.
                if is_first and event.id:
                    self.join(machine, asked is not None and event.event != "gap", event.id)
                    is_first = False
                elif event.event == "gap":
                    self.records.append(Gap())
                if event.event == "message" and event.data:
                    self.hear(json.loads(event.data))
                elif event.id:
                    self.last_id = event.id


class Publisher(threading.Thread):
    """Publishes one behind the other: by themselves, several at once, and with a key, which is tried again elsewhere until it is
    acknowledged."""

    def __init__(self, name, machines, pace=0.01, fill=""):
        super().__init__(daemon=True)
        self.name, self.machines, self.pace, self.fill = name, machines, pace, fill
        self.published = []
        self._random = random.Random(name)
        self._stopped = threading.Event()

    def run(self):
        for n in itertools.count():
            data = [f"{self.name} {n}.{m}{self.fill}" for m in range(self._random.choice((1, 1, 5)))]
            if n % 3:
                self.publish(data)
            else:
                self.insist(data)
            if self._stopped.wait(self.pace):
                return

    def insist(self, data, key=None):
        """Publishes with a key until that is acknowledged. The last of the ids, unless it is over."""
        key = key or uuid.uuid4().hex
        wait_until(lambda: self.publish(data, key) == ACKNOWLEDGED or self._stopped.wait(PAUSE), f"{data} is taken")
        return self.published[-1].id

    def publish(self, data, key=None):
        machine = self._random.choice(self.machines)
        outcome, ids = post(machine, data, key)
        self.published += [Published(datum, outcome, id) for datum, id in zip(data, ids)]
        return outcome

    def stop(self):
        self._stopped.set()
        self.join(PATIENCE)


def post(machine, data, key=None, topic="notifications"):
    """Publishes these in one batch. The outcome, and the ids.

    With a key an earlier attempt may have been positioned, whatever is said of this one."""
    headers = {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}
    nothing = [None] * len(data)
    connection = http.client.HTTPConnection("127.0.0.1", machine.port, timeout=PATIENCE)
    try:
        body = [{"topic": topic, "data": datum} for datum in data]
        connection.request("POST", "/publish", json.dumps(body if len(data) > 1 else body[0]), headers)
        answer = connection.getresponse()
        told = json.loads(answer.read())
    except ConnectionRefusedError:
        return UNKNOWN if key else REFUSED, nothing
    except (OSError, http.client.HTTPException, ValueError):
        return UNKNOWN, nothing
    finally:
        connection.close()
    if answer.status == 200:
        return ACKNOWLEDGED, told.get("ids") or [told["id"]]
    assert answer.status == 503 and answer.headers["Retry-After"], (answer.status, told)
    return REFUSED if not key and "nothing was published" in told["error"] else UNKNOWN, nothing


class Crowd:
    """The clients, in a thread of their own. `with Crowd(listeners) as crowd: ...`"""

    def __init__(self, listeners):
        self.listeners = listeners
        self._failures = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), daemon=True)

    async def _live(self):
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        lives = [asyncio.create_task(self._one(each)) for each in self.listeners]
        self._ready.set()
        await self._over.wait()
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)

    async def _one(self, listener):
        try:
            await listener.live()
        except Exception as failure:  # noqa: BLE001: whatever it is, the test is to be told
            self._failures.append((listener.name, failure))

    def __enter__(self):
        self._thread.start()
        self._ready.wait(PATIENCE)
        self.await_all("is connected", lambda each: each.joined)
        return self

    def await_heard(self, id):
        """Waits until everybody has heard this, or was told that it may have missed it, wherever it is by then; and all that are
        restless have been elsewhere."""
        joined = {each.name: each.joined for each in self.listeners}
        self.await_all(f"has come to {id}", lambda each: place(each.last_id) >= place(id))
        self.await_all("has come back", lambda each: not each.is_restless or each.joined > joined[each.name])

    def await_all(self, what, is_so):
        def others():
            assert not self._failures, self._failures
            return [each.name for each in self.listeners if not is_so(each)]
        wait_until(lambda: not others(), lambda: f"not everybody {what}: {others()}")

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(PATIENCE)
