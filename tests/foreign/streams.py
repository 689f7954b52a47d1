"""Short words for what tests do with event streams, by `httpx-sse` and by `sseclient-py` on `requests`."""
import contextlib
import json
import queue
import threading
import time
from urllib.parse import urlencode

import httpx
import httpx_sse
import requests
import sseclient

from slackwater import PATIENCE

END = "end"


def address(server, *topics, after=None):
    wishes = [("topic", topic) for topic in topics] + [("last_event_id", after)] * (after is not None)
    return f"{server.http}/events?{urlencode(wishes)}"


@contextlib.contextmanager
def by_httpx(url, **headers):
    with (httpx.Client(timeout=PATIENCE, trust_env=False, verify=False) as client,
          httpx_sse.connect_sse(client, "GET", url, headers=headers) as source):
        source.response.raise_for_status()
        yield source.iter_sse()


@contextlib.contextmanager
def by_requests(url, **headers):
    with requests.Session() as session:
        session.trust_env = False
        with session.get(url, stream=True, timeout=PATIENCE, headers=headers) as response:
            response.raise_for_status()
            yield sseclient.SSEClient(response).events()


WAYS = [by_httpx, by_requests]


def publications(events, count):
    """The next publications, by their events; what is none is passed over."""
    messages = []
    for event in events:
        if event.data:
            assert event.event == "message"
            messages.append(json.loads(event.data))
            assert messages[-1]["id"] == event.id
            if len(messages) == count:
                return messages
    raise AssertionError(f"the stream ended behind {len(messages)} publications")


def data(events, count):
    return [message["data"] for message in publications(events, count)]


class Reader(threading.Thread):
    """Reads up to the end, whatever becomes of its servers, as docs/event-streams.md says that programs do: it comes back after the
    time that it was told, with the last id that it knows."""

    def __init__(self, way, url):
        super().__init__(daemon=True)
        self.way, self.url = way, url
        self.last_id, self.wait = "", 3
        self.heard, self.notices, self.gaps = [], 0, 0
        self.news = queue.SimpleQueue()
        self.failure = None

    def run(self):
        try:
            while self.heard[-1:] != [END]:
                with contextlib.suppress(httpx.HTTPError, requests.RequestException):
                    self.read()
                if self.heard[-1:] != [END]:
                    time.sleep(self.wait)
        except BaseException as failure:
            self.failure = failure
        self.news.put(None)

    def read(self):
        with self.way(self.url, **{"Last-Event-ID": self.last_id}) as events:
            for event in events:
                self.last_id, self.wait = event.id or self.last_id, int(event.retry) / 1000 if event.retry else self.wait
                self.gaps += event.event == "gap"
                self.notices += event.event == "reconnect"
                if event.event == "message" and event.data:
                    self.heard.append(json.loads(event.data)["data"])
                    self.news.put(self.heard[-1])
                    if self.heard[-1] == END:
                        return

    def wait_for(self, datum):
        while (news := self.news.get(timeout=PATIENCE)) != datum:
            assert news is not None, self.failure
