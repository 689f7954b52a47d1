"""What a client hears that was away: all that it missed, or plainly that this cannot be had. Restarts are in
test_successor.py."""
import asyncio
import contextlib
import json
import socket
import time

import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed

from client import PLAIN, Pinged, address, heard, hears_nothing_more, listening, next_message
from publisher import Publisher, publish
from slackwater import PATIENCE, Slackwater

QUIET = ("--notify-interval", "0")


def test_what_was_missed_follows_the_welcome_and_comes_before_what_is_live(server):
    with listening(server, "orders") as (ws, _):
        [_, last] = publish(server, "orders", "heard", "last")
        assert heard(ws, 2) == ["heard", "last"]
    missed = publish(server, "orders", "missed 1", "missed 2") + publish(server, "orders", "missed 3")
    with listening(server, "orders", after=last) as (ws, welcome):
        assert (welcome["resumed"], welcome["last_event_id"]) == (True, missed[-1])
        publish(server, "orders", "live")
        told = [next_message(ws) for _ in range(4)]
        assert [message["data"] for message in told] == ["missed 1", "missed 2", "missed 3", "live"]
        assert [message["id"] for message in told[:3]] == missed
        assert hears_nothing_more(ws)


def test_a_publication_comes_back_as_it_was_first_heard(server):
    with listening(server, "orders") as (ws, welcome):
        publish(server, "orders", {"n": 1})
        first = ws.recv(timeout=PATIENCE)
    with listening(server, "orders", after=welcome["last_event_id"]) as (ws, _):
        assert ws.recv(timeout=PATIENCE) == first


def test_only_what_the_asked_topics_missed_comes_back(server):
    [start] = publish(server, "audit", "start")
    for n in range(5):
        for topic in ("orders", "orders/1", "orders/eu/2", "audit", "notifications"):
            publish(server, topic, f"{topic} {n}")
    expected = [f"{topic} {n}" for n in range(5) for topic in ("orders/1", "orders/eu/2", "audit")]
    with listening(server, "orders/*", "audit", "orders/1", after=start) as (ws, welcome):
        assert welcome["resumed"] is True
        assert heard(ws, len(expected)) == expected
        assert hears_nothing_more(ws)
    with listening(server, after=start) as (ws, _):
        assert heard(ws, 5) == [f"notifications {n}" for n in range(5)]


def test_who_missed_nothing_resumes_with_nothing(server):
    [newest] = publish(server, "orders", "newest")
    with listening(server, "orders", after=newest) as (ws, welcome):
        assert (welcome["resumed"], welcome["last_event_id"]) == (True, newest)
        assert hears_nothing_more(ws)
        publish(server, "orders", "live")
        assert heard(ws, 1) == ["live"]


def test_the_last_id_may_come_from_the_welcome():
    with Slackwater(*QUIET) as server:
        with listening(server) as (_, welcome):
            pass
        publish(server, "notifications", "the very first")
        with listening(server, after=welcome["last_event_id"]) as (ws, welcome):
            assert welcome["resumed"] is True
            assert heard(ws, 1) == ["the very first"]


def test_the_last_id_may_come_in_a_header(server):
    last, *_ = publish(server, "orders", 1, 2, 3)
    with listening(server, "orders", additional_headers={"Last-Event-ID": last}) as (ws, welcome):
        assert welcome["resumed"] is True
        assert heard(ws, 2) == [2, 3]


def not_resumed(server, after):
    """Whether a client that asks for this is told no, hears nothing old, and is live at once."""
    with listening(server, "orders", after=after) as (ws, welcome):
        publish(server, "orders", "live")
        return welcome["resumed"] is False and heard(ws, 1) == ["live"]


def test_what_cannot_be_an_id_is_not_resumed(server):
    [id] = publish(server, "orders", "old")
    for nonsense in ["", "0", "-1", "nonsense", id.upper() + "x", f" {id}", f"{id} ", f"+{id}", f"{id}.0", f"{id}0" * 100,
                     id.replace("-", ""), id[1:], "ö", "\0", "ffffffff-99999999999999999999999", "'; --"]:
        assert not_resumed(server, nonsense), nonsense


def test_an_id_of_another_history_is_not_resumed(server):
    with Slackwater(*QUIET) as other:
        foreign = publish(other, "orders", *range(5))
    publish(server, "orders", *range(10))
    assert all(not_resumed(server, id) for id in foreign)


def test_an_id_of_the_future_is_not_resumed():
    with Slackwater(*QUIET) as server:
        [id] = publish(server, "orders", "the first")
        # An id is opaque, but a client could do this to it.
        assert id.endswith("1")
        assert not_resumed(server, id[:-1] + "2")
        assert not_resumed(server, id[:-1] + "18446744073709551615")


# A publication takes some 1,100 bytes of history.
@pytest.mark.parametrize("limit, kept, forgotten", [
    (("--history-size", "10"), 10, 11), (("--history-size", "0"), 0, 1), (("--history-bytes", "20000"), 15, 20)],
    ids=["size", "no history", "bytes"])
def test_what_history_has_no_room_for_is_not_resumed(limit, kept, forgotten):
    with Slackwater(*QUIET, *limit) as server:
        ids = publish(server, "orders", *(f"{n:1000}" for n in range(30)))
        for missed in (kept, 0):
            with listening(server, "orders", after=ids[29 - missed]) as (ws, welcome):
                assert welcome["resumed"] is True
                assert [int(text) for text in heard(ws, missed)] == list(range(30 - missed, 30))
                assert hears_nothing_more(ws)
        for missed in (forgotten, 29):
            with listening(server, "orders", after=ids[29 - missed]) as (ws, welcome):
                assert welcome["resumed"] is False
                assert hears_nothing_more(ws)


def test_what_has_become_too_old_is_not_resumed():
    with Slackwater(*QUIET, "--history-ttl", "0.5") as server:
        began = time.monotonic()
        last, _ = publish(server, "orders", 1, 2)
        while True:
            with listening(server, "orders", after=last) as (ws, welcome):
                if not welcome["resumed"]:
                    break
                assert heard(ws, 1) == [2]
            assert time.monotonic() < began + PATIENCE
        assert time.monotonic() >= began + 0.4
        assert not_resumed(server, last)


# 8 MB of history against 64 KiB of outbox: by far more than sockets hold.
LARGE = [*QUIET, "--outbox-limit", "65536", "--write-timeout", "60"]
FILL = "x" * 10_000
MANY = 800


def publish_large(server, numbers):
    """Publishes them, each with its fill. The id of the first one."""
    with contextlib.closing(Publisher(server)) as publisher:
        return [publisher.publish("large", [n, FILL])[0] for n in numbers][0]


@contextlib.contextmanager
def slow(server, *topics, after):
    """A client that takes a message when it is asked for, and few before."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        sock.settimeout(PATIENCE)
        sock.connect(("127.0.0.1", server.port))
        with listening(server, *topics, after=after, sock=sock, max_queue=1) as (ws, welcome):
            assert welcome["resumed"] is True
            yield ws


def numbers(ws, count):
    return [n for n, _ in heard(ws, count)]


def test_a_replay_by_far_larger_than_the_outbox_flows_whole_to_one_who_reads_slowly():
    with Slackwater(*LARGE) as server:
        first = publish_large(server, range(MANY))
        with slow(server, "large", after=first) as ws:
            assert numbers(ws, MANY - 1) == list(range(1, MANY))
            assert hears_nothing_more(ws)


def test_meanwhile_others_hear_what_is_live_without_delay(capsys):
    with Slackwater(*LARGE) as server, listening(server, "live") as (live, _):
        first = publish_large(server, range(MANY))
        with slow(server, "large", after=first) as ws, contextlib.closing(Publisher(server)) as publisher:
            took = []
            for n in range(200):
                began = time.monotonic()
                publisher.publish("live", n)
                assert heard(live, 1) == [n]
                took.append(time.monotonic() - began)
            assert numbers(ws, MANY - 1) == list(range(1, MANY))
        with capsys.disabled():
            print(f"\nfrom publishing to hearing beside a stalled replay: longest {max(took) * 1000:.1f} ms")
        assert max(took) < 2


def test_what_is_published_during_a_replay_comes_behind_it_without_hole_or_duplicate():
    with Slackwater(*LARGE) as server:
        first = publish_large(server, range(MANY))
        with slow(server, "large", after=first) as ws:
            publish_large(server, range(MANY, MANY + 50))
            assert numbers(ws, 400) == list(range(1, 401))
            publish_large(server, range(MANY + 50, MANY + 100))
            assert numbers(ws, MANY - 301) == list(range(401, MANY + 100))
            publish_large(server, [MANY + 100])
            assert numbers(ws, 1) == [MANY + 100]
            assert hears_nothing_more(ws)


def test_the_end_of_a_replay_that_waits_to_be_read_is_no_slowness():
    # How much the sockets hold is not known: at some of these counts, what they do not hold just fills the outbox.
    for missed in range(5, 60, 5):
        with Slackwater(*LARGE) as server:
            first = publish_large(server, range(1 + missed))
            with slow(server, "large", after=first) as ws:
                publish_large(server, range(1 + missed, 6 + missed))  # 50 kB, which the outbox has room for
                assert numbers(ws, 5 + missed) == list(range(1, 6 + missed))
                assert hears_nothing_more(ws)


def test_a_client_is_pinged_and_answered_during_a_replay():
    flags = ["--ws-ping-interval", "0.1", "--ws-ping-timeout", "0"]
    with Slackwater(*LARGE, *flags) as server, listening(server, "none", create_connection=Pinged) as (other, _):
        first = publish_large(server, range(MANY))
        with slow(server, "large", after=first) as ws:
            ws.send("are you there?")
            other.await_pings(10)  # and so some have become due to the one who does not read
            told = [next_message(ws) for _ in range(MANY)]
        assert [message["data"][0] for message in told if "data" in message] == list(range(1, MANY))
        assert [message["message"] for message in told if "data" not in message] == ["Server received: are you there?"]


def test_topics_may_be_joined_and_left_during_a_replay():
    with Slackwater(*LARGE) as server:
        first = publish_large(server, range(MANY))
        publish(server, "left", "before")
        publish(server, "joined", "before")
        with slow(server, "large", "left", after=first) as ws:
            ws.send('{"type":"subscribe","topic":"joined"}')
            ws.send('{"type":"unsubscribe","topic":"left"}')
            told = [next_message(ws)]
            while told[-1]["type"] != "unsubscribed":  # the server may take its time to read on
                told.append(next_message(ws))
            publish(server, "left", "after")
            publish(server, "joined", "after")
            while told[-1].get("data") != "after":
                told.append(next_message(ws))
            assert hears_nothing_more(ws)
        data = {topic: [message["data"] for message in told if message.get("topic") == topic and "data" in message]
                for topic in ("large", "left", "joined")}
        assert [n for n, _ in data["large"]] == list(range(1, MANY))
        assert data["left"] in ([], ["before"]) and data["joined"] == ["after"]


def test_a_replay_that_history_runs_away_from_is_ended_and_not_patched():
    # Room for them and no more: beyond its number the history keeps what somebody is still being brought.
    with Slackwater(*LARGE, "--history-bytes", str(MANY * (len(FILL) + 500))) as server:
        first = publish_large(server, range(MANY))
        with slow(server, "large", after=first) as ws:
            publish_large(server, range(MANY, 2 * MANY))
            told = []
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    told += numbers(ws, 1)
        assert closed.value.rcvd.code == 4001
        assert 0 < len(told) < MANY and told == list(range(1, len(told) + 1))
        with listening(server, "large", after=first) as (ws, welcome):
            assert welcome["resumed"] is False
            assert hears_nothing_more(ws)


def test_many_replays_at_once_under_publishing_are_each_complete():
    # More clients than are visited in one turn, and more history than is looked through in one.
    topics, clients, before, during = [f"t/{n}" for n in range(5)], 160, 1500, 500

    def publish_range(server, start, end, size):
        with contextlib.closing(Publisher(server)) as publisher:
            for n in range(start, end, size):
                batch = [{"topic": topics[m % 5], "data": m} for m in range(n, n + size)]
                assert publisher.post(json.dumps(batch))[0] == 200

    async def one(server, number, after):
        filters = topics[number % 5:number % 5 + 1] if number % 4 else ["t/*", "t/1"]
        expected = [n for n in range(before + during) if len(filters) > 1 or topics[n % 5] == filters[0]]
        async with connect_async(address(server, *filters, after=after), **PLAIN) as ws:
            assert json.loads(await ws.recv())["resumed"] is True
            assert [json.loads(await ws.recv())["data"] for _ in expected] == expected
            await ws.send("is there more?")
            assert json.loads(await ws.recv())["type"] == "echo"

    async def everyone(server, after):
        async with asyncio.timeout(2 * PATIENCE):
            publishing = asyncio.to_thread(publish_range, server, before, before + during, 5)
            await asyncio.gather(publishing, *(one(server, number, after) for number in range(clients)))

    with Slackwater(*QUIET) as server, listening(server) as (_, welcome):
        publish_range(server, 0, before, 10)
        asyncio.run(everyone(server, welcome["last_event_id"]))
