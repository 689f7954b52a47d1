"""Short words for what most tests do with the blocking client of `websockets`."""
import contextlib
import json
import threading
import time
from urllib.parse import urlencode

import websockets.sync.client
from websockets.frames import Opcode

from slackwater import PATIENCE

PLAIN = {"compression": None, "ping_interval": None, "proxy": None}


class Pinged(websockets.sync.client.ClientConnection):
    """A connection, for `create_connection`, whose pings can be awaited. They are answered as ever."""

    def __init__(self, *args, **options):
        self.pings = threading.Semaphore(0)
        super().__init__(*args, **options)

    def process_event(self, event):
        if getattr(event, "opcode", None) is Opcode.PING:
            self.pings.release()
        super().process_event(event)

    def await_pings(self, count):
        assert all(self.pings.acquire(timeout=PATIENCE) for _ in range(count))


def connect(url, **options):
    """A client, for `with`, that sends no pings of its own and asks no proxy."""
    return websockets.sync.client.connect(url, **{**PLAIN, "close_timeout": PATIENCE, **options})


@contextlib.contextmanager
def connected(url, count):
    """So many clients, each of them welcomed."""
    with contextlib.ExitStack() as clients:
        welcomed = [clients.enter_context(connect(url)) for _ in range(count)]
        for ws in welcomed:
            hear(ws, "welcome")
        yield welcomed


def address(server, *topics, after=None):
    """Where to hear these topics, from behind an id on if there is one."""
    wishes = [("topic", topic) for topic in topics] + [("last_event_id", after)] * (after is not None)
    return f"{server.ws}?{urlencode(wishes)}"


@contextlib.contextmanager
def listening(server, *topics, after=None, **options):
    """A client of these topics, and the welcome that came before all else."""
    with connect(address(server, *topics, after=after), **options) as ws:
        welcome = next_message(ws)
        assert welcome["type"] == "welcome"
        yield ws, welcome


def next_message(ws, timeout=PATIENCE):
    return json.loads(ws.recv(timeout=timeout))


def hear(ws, kind):
    """The next message of that type; others are passed over."""
    deadline = time.monotonic() + PATIENCE
    while True:
        message = next_message(ws, deadline - time.monotonic())
        if message["type"] == kind:
            return message


def heard(ws, count):
    """The data of the next messages, all of which must be publications."""
    messages = [next_message(ws) for _ in range(count)]
    assert [message["type"] for message in messages] == ["notification"] * count
    return [message["data"] for message in messages]


def echo(ws, text):
    """Whether the next echo is that of the text."""
    ws.send(text)
    return hear(ws, "echo")["message"] == f"Server received: {text}"


def hears_nothing_more(ws):
    """Whether the very next message is the answer to something sent only now: nothing else is on its way."""
    ws.send("is there more?")
    return next_message(ws).get("message") == "Server received: is there more?"
