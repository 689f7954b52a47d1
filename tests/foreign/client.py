"""Short words for what most tests do with the blocking client of `websockets`."""
import contextlib
import json
import time

import websockets.sync.client

from slackwater import PATIENCE


def connect(url, **options):
    """A client, for `with`, that sends no pings of its own and asks no proxy."""
    return websockets.sync.client.connect(
        url, **{"compression": None, "ping_interval": None, "proxy": None, "close_timeout": PATIENCE, **options})


@contextlib.contextmanager
def connected(url, count):
    """So many clients, each of them welcomed."""
    with contextlib.ExitStack() as clients:
        welcomed = [clients.enter_context(connect(url)) for _ in range(count)]
        for ws in welcomed:
            hear(ws, "welcome")
        yield welcomed


def hear(ws, kind):
    """The next message of that type; others are passed over."""
    deadline = time.monotonic() + PATIENCE
    while True:
        message = json.loads(ws.recv(timeout=deadline - time.monotonic()))
        if message["type"] == kind:
            return message


def echo(ws, text):
    """Whether the next echo is that of the text."""
    ws.send(text)
    return hear(ws, "echo")["message"] == f"Server received: {text}"
