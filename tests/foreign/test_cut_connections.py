"""Clients whose connections are cut at random moments under publishing load, while the server is replaced: each of them
hears every publication of its topics exactly once and in order, by plain WebSocket messages, compressed ones or an event
stream.

An answer that a cut connection swallowed leaves open whether its batch was published. The publisher does not send such
a batch again, as a key is known to one process only; it notes it as doubtful, and then all must have heard it or none.
"""
import asyncio
import contextlib
import http.client
import json
import os
import random
import threading
import time

import httpx
import httpx_sse
import pytest
import websockets.exceptions
from websockets.asyncio.client import connect

from client import PLAIN, address
from publisher import JSON, NDJSON, Publisher
from slackwater import PATIENCE, Slackwater

CLIENTS, REQUESTS = 50, 1200
MEAN_LIFE = 0.25      # seconds that a connection lasts
PAUSE = 0.0025        # seconds that a request takes, so that there is load for as long as all this takes
AT_MOST = 18          # seconds for all of it
TOPICS = ["notifications", "orders", "orders/1", "orders/2", "orders/2/paid", "orders/eu/7", "chat:lobby", "audit"]
END = "end"
FILL = "paid, sent; " * 20  # more than is too short to be compressed

# What is no end of the test: nobody listens for a moment, the server leaves, or the cut came during the handshake.
BEYOND_REACH = (OSError, EOFError, TimeoutError, websockets.exceptions.WebSocketException, httpx.TransportError)


def topics_of(number, rng):
    """Filters for a client, all kinds of them: one topic, several, a prefix, and several with a prefix."""
    match number % 5:
        case 0: return [rng.choice(TOPICS)]
        case 1: return rng.sample(TOPICS, 3)
        case 2: return [rng.choice(["orders/*", "orders/2/*", "*"])]
        case 3: return ["orders/*", "orders/2", "orders/2/*", rng.choice(TOPICS)]
        case _: return []


def matches(filters, topic):
    return any(topic == name or name.endswith("*") and topic.startswith(name[:-1]) for name in filters or ["notifications"])


class Follower:
    """A client that comes back with the last id it knows, however often it is cut."""

    options = PLAIN

    def __init__(self, number, rng, is_patient):
        self.filters, self.rng, self.is_patient = topics_of(number, rng), rng, is_patient
        self.told = []         # (topic, data) of all that it heard
        self.last_id = None
        self.cuts, self.resumed, self.holes = 0, 0, 0
        self.welcomed = asyncio.Event()
        self.last_topic = [topic for topic in TOPICS if matches(self.filters, topic)][-1]

    async def follow(self, server, calm):
        """Listens until the end has been heard. Nobody is cut once it is calm."""
        while True:
            is_cut_off = not self.is_patient and not calm.is_set()
            life = self.rng.expovariate(1 / MEAN_LIFE) if is_cut_off else None
            try:
                async with asyncio.timeout(life):
                    if await self.listen(address(server, *self.filters, after=self.last_id)):
                        return
            except TimeoutError:
                self.cuts += 1
            except BEYOND_REACH:
                await asyncio.sleep(self.rng.uniform(0, 0.02))

    async def listen(self, url):
        async with connect(url, **self.options, open_timeout=PATIENCE) as ws:
            try:
                self.on_welcome(json.loads(await ws.recv()))
                while not self.told or self.told[-1] != (self.last_topic, END):
                    message = json.loads(await ws.recv())
                    self.told.append((message["topic"], message["data"]))
                    self.last_id = message["id"]
                await ws.send("is there more?")
                return json.loads(await ws.recv())["type"] == "echo"
            finally:
                ws.transport.abort()  # TCP ends here, without a close frame

    def on_welcome(self, welcome):
        assert welcome["type"] == "welcome"
        if self.last_id is None:
            self.last_id = welcome["last_event_id"]
        else:
            self.resumed += welcome["resumed"]
            self.holes += not welcome["resumed"]
        self.welcomed.set()


class Inflating(Follower):
    """The same by a WebSocket whose messages are compressed."""

    options = {**PLAIN, "compression": "deflate"}


class Reader(Follower):
    """The same by an event stream."""

    async def listen(self, url):
        url = url.replace("ws://", "http://").replace("/ws?", "/events?")
        has_begun = False
        # A client for each connection: one that is kept may leave some open that were cut off.
        async with (httpx.AsyncClient(timeout=PATIENCE, trust_env=False, verify=False) as client,
                    httpx_sse.aconnect_sse(client, "GET", url) as source):
            async for event in source.aiter_sse():
                self.holes += event.event == "gap"
                if event.event == "message" and event.data:
                    message = json.loads(event.data)
                    assert message["id"] == event.id
                    self.told.append((message["topic"], message["data"]))
                elif event.id and not has_begun:
                    # It resumes from what it has heard.
                    assert self.last_id in (None, event.id)
                    self.resumed += self.last_id is not None
                    has_begun = True
                    self.welcomed.set()
                self.last_id = event.id or self.last_id
                if self.told[-1:] == [(self.last_topic, END)]:
                    return True
        await asyncio.sleep(self.rng.uniform(0, 0.02))  # it was ended, and the server may be leaving
        return False

KINDS = [Follower, Inflating, Reader]


class Load(threading.Thread):
    """Publishes batches one by one, over connections that are kept, and knows of each what became of it."""

    def __init__(self, server, rng):
        super().__init__(daemon=True)
        self.publisher, self.rng = Publisher(server), rng
        self.batches = []          # (publications, whether they are doubtful)
        self.halfway = threading.Event()
        self.refused, self.unreachable, self.repeated, self.failure = 0, 0, 0, None
        self.deadline = time.monotonic() + AT_MOST

    def run(self):
        try:
            numbers = iter(range(100 * REQUESTS))
            for request in range(REQUESTS):
                size = self.rng.choice([1, 1, 2, 5, 10])
                self.publish([(self.rng.choice(TOPICS), f"{next(numbers)} {FILL}") for _ in range(size)], key=f"batch-{request}")
                if request == REQUESTS // 2:
                    self.halfway.set()
            self.publish([(topic, END) for topic in TOPICS], key="the end")
            assert not self.batches[-1][1], "nobody knows whether the end was published"
        except BaseException as failure:
            self.failure = failure
        finally:
            self.halfway.set()
            self.publisher.close()

    def publish(self, batch, key):
        objects = [json.dumps({"topic": topic, "data": data}) for topic, data in batch]
        form = self.rng.choice([(f"[{','.join(objects)}]", JSON), ("\n".join(objects), NDJSON)])
        ids = self.send(form, key)
        self.batches.append((batch, ids is None))
        if ids is not None:
            assert len(ids) == len(batch)
            if self.rng.random() < 0.05 and self.publisher.http.sock:
                self.repeat(form, key, ids)

    def send(self, form, key):
        """The ids, once some server has answered with them; None when nobody knows."""
        while time.monotonic() < self.deadline:
            try:
                status, headers, answer = self.publisher.post(in_two_pieces(form[0]), form[1], key)
            except ConnectionRefusedError:
                self.unreachable += 1
                self.publisher.close()
                time.sleep(PAUSE)
            except (OSError, http.client.HTTPException):
                self.publisher.close()
                return None
            else:
                if status == 200:
                    return answer["ids"]
                assert (status, headers["Retry-After"]) == (503, "1"), answer
                self.refused += 1
        raise TimeoutError("no answer to a publication")

    def repeat(self, form, key, ids):
        """Sends it again over the same connection, and so to the same process: it is answered as before, or not at all."""
        self.publisher.http.auto_open = False
        try:
            status, _, answer = self.publisher.post(*form, key)
            assert status == 503 or (status, answer["ids"]) == (200, ids)
            self.repeated += 1
        except (OSError, http.client.HTTPException):
            self.publisher.close()
        finally:
            self.publisher.http.auto_open = True


def in_two_pieces(body):
    """Slow enough for the server to leave in between."""
    yield body[:9].encode()
    time.sleep(PAUSE)
    yield body[9:].encode()


async def replace(first, flags, is_forced, servers):
    """Ends the server and puts another in its place."""
    first.signal()
    await asyncio.to_thread(first.wait_for, r"\[INFO\] Waiting for \d+ connections")
    successor = servers.enter_context(await asyncio.to_thread(Slackwater, *flags, port=first.port))
    if is_forced:
        await asyncio.to_thread(successor.wait_for, r"\[INFO\] Client connected\. Total connections: 10$")
        first.signal()
    return successor, await asyncio.to_thread(first.exit_code)


async def run(first, flags, is_forced, seed, servers):
    rng = random.Random(seed)
    followers = [KINDS[number % 3](number, random.Random(rng.random()), is_forced and number % 10 < 2)
                 for number in range(CLIENTS)]
    load, calm = Load(first, random.Random(rng.random())), asyncio.Event()
    async with asyncio.timeout(AT_MOST), asyncio.TaskGroup() as tasks:
        for follower in followers:
            tasks.create_task(follower.follow(first, calm))
        for follower in followers:
            await follower.welcomed.wait()
        load.start()
        await asyncio.to_thread(load.halfway.wait)
        successor, code = await replace(first, flags, is_forced, servers)
        await asyncio.to_thread(load.join)
        if load.failure:
            raise load.failure
        calm.set()
    return followers, load, successor, code


@pytest.mark.parametrize("is_forced", [False, True], ids=["clients move", "a second signal"])
def test_everyone_hears_everything_once_and_in_order(tmp_path, capsys, is_forced):
    seed = int(os.environ.get("FOREIGN_SEED") or random.randrange(2**32))
    with capsys.disabled():
        print(f"\nFOREIGN_SEED={seed}")
    flags = ["--notify-interval", "0", "--no-drain-notice", "--ws-per-message-deflate",
             "--state-file", str(tmp_path / "state")]
    began = time.monotonic()
    with contextlib.ExitStack() as servers:
        first = servers.enter_context(Slackwater(*flags))
        followers, load, successor, code = asyncio.run(run(first, flags, is_forced, seed, servers))
        assert code == (1 if is_forced else 0)
        successor.signal()
        assert successor.exit_code() == 0
        assert not [line for line in successor.log if line.startswith(("[WARNING]", "[ERROR]"))]

    everything = {told for follower in followers for told in follower.told}
    published = [one for batch, is_doubtful in load.batches if not is_doubtful or everything & set(batch) for one in batch]
    for number, follower in enumerate(followers):
        expected = [(topic, data) for topic, data in published if matches(follower.filters, topic)]
        assert follower.told == expected, f"client {number} of {follower.filters}: {difference(follower.told, expected)}"
        assert follower.holes == 0, f"client {number} was told that it missed something"
    cuts = sum(follower.cuts for follower in followers)
    doubtful = sum(is_doubtful for _, is_doubtful in load.batches)
    with capsys.disabled():
        print(f"{len(published)} publications, {sum(len(follower.told) for follower in followers)} heard, {cuts} cuts, "
              f"{sum(follower.resumed for follower in followers)} resumed, {load.repeated} repeated, "
              f"{load.refused} refused, {load.unreachable} found nobody, {doubtful} doubtful, "
              f"{time.monotonic() - began:.1f} s")
    assert cuts > CLIENTS and load.repeated > 0


def difference(told, expected):
    at = next((n for n, (left, right) in enumerate(zip(told, expected)) if left != right), min(len(told), len(expected)))
    return f"{len(told)} instead of {len(expected)}; from {at} on heard {told[at:at + 3]} instead of {expected[at:at + 3]}"
