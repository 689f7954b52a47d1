"""What clients written elsewhere make of an event stream: curl, `httpx-sse`, and `sseclient-py` on `requests`. Cut connections
are in test_cut_connections.py, and what stands in front of a server is in ../production."""
import contextlib
import json
import subprocess
import time

import pytest

from client import listening, next_message
from curl import curl
from publisher import Publisher, publish
from slackwater import PATIENCE, Slackwater
from streams import WAYS, Reader, address, data, publications
from tokens import BY_SECRET, granting

QUIET = ("--notify-interval", "0")


@pytest.mark.parametrize("way", WAYS)
def test_publications_are_heard_one_by_one_and_what_was_missed_when_one_comes_back(server, way):
    with way(address(server, "orders", "audit/*")) as events:
        for n in range(5):
            [last] = publish(server, "orders", n)
            publish(server, "news", "not asked for")
            assert data(events, 1) == [n]
        [last] = publish(server, "audit/eu", {"n": 6})
        assert publications(events, 1)[0]["topic"] == "audit/eu"
    publish(server, "orders", *range(7, 100))
    for url, headers in ((address(server, "orders", after=last), {}), (address(server, "orders"), {"Last-Event-ID": last})):
        with way(url, **headers) as events:
            assert data(events, 93) == list(range(7, 100))
            publish(server, "orders", "live")
            assert data(events, 1) == ["live"]
        [last] = publish(server, "orders", 6)
        publish(server, "orders", *range(7, 100))


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_and_a_websocket_are_told_the_same(server, way):
    with way(address(server, "orders")) as events, listening(server, "orders") as (ws, _):
        for datum in (1, "x" * 60_000, {"a": [None, "ж 🌊"]}, "\0 \u2028 \x85 \ufeff \\n"):
            publish(server, "orders", datum)
            [message] = publications(events, 1)
            assert message == next_message(ws) and message["data"] == datum


# Where a line ends, and what some take for the end of one.
BREAKS = ["\n", "\r\n", "\r", "\n\n", "\r\r\n", "\n\r"]


@pytest.mark.parametrize("way", WAYS)
def test_json_on_several_lines_is_one_event(server, way):
    with way(address(server, "orders")) as events, contextlib.closing(Publisher(server)) as publisher:
        for n, end in enumerate(BREAKS):
            body = f'{{"topic": "orders",{end}"data": [{n},{end} "data: x",{end}"\u2028\x85 id: 7"{end}]}}{end}'
            assert publisher.post(body)[0] == 200
            assert data(events, 1) == [[n, "data: x", "\u2028\x85 id: 7"]]


@pytest.mark.parametrize("way", WAYS)
def test_of_an_unknown_history_a_gap_is_told_and_then_what_is_live(server, way):
    with way(address(server, "orders", after="ffffffff-3")) as events:
        gap = next(event for event in events if event.data)
        assert (gap.event, json.loads(gap.data)["type"]) == ("gap", "gap")
        publish(server, "orders", "live")
        assert data(events, 1) == ["live"]
    publish(server, "orders", "missed")
    with way(address(server, "orders", after=gap.id)) as events:
        assert data(events, 2) == ["live", "missed"]


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1"])
def test_curl_shows_each_event_as_it_comes(server, version):
    command = ["curl", "-sN", "--noproxy", "*", version, "--max-time", str(PATIENCE), address(server, "orders")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as curl:
        try:
            def block():
                return list(iter(curl.stdout.readline, "\n"))
            opening = block()
            assert [line.split(":")[0] for line in opening] == ["", "retry", "id"], opening
            for n in range(3):
                [id] = publish(server, "orders", n)
                data, last = block()
                assert json.loads(data.removeprefix("data: "))["data"] == n
                assert last == f"id: {id}\n"
        finally:
            curl.kill()


def test_head_tells_what_get_would_begin_with_and_no_more(server):
    answer = curl("--head", address(server, "orders"))
    assert (answer.status, answer.body) == (200, "")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-store", "no")
    assert curl("--request", "POST", address(server)).status == 405


def test_a_token_lets_in_and_says_what_is_heard():
    with Slackwater(*QUIET, *BY_SECRET, "--publish-token", "for-operators") as server:
        for way in WAYS:
            shown = {"Authorization": f"Bearer {granting('orders/*')}"}
            with way(address(server, "orders/7"), **shown) as events:
                answer = curl("--header", "Authorization: Bearer for-operators", "--data", "paid",
                              f"{server.http}/publish?topic=orders/7")
                assert answer.status == 200
                assert data(events, 1) == ["paid"]
            # It ends with the token.
            shown = {"Authorization": f"Bearer {granting('orders/*', lasts=1.5)}"}
            with way(address(server, "orders/7"), **shown) as events:
                assert [event for event in events if event.data] == []
        assert curl(address(server, "orders/7")).status == 401
        assert curl("--header", f"Authorization: Bearer {granting('news')}", address(server, "orders/7")).status == 403


def test_through_a_drain_and_a_restart_nothing_is_missed_and_nothing_comes_twice(tmp_path):
    flags = (*QUIET, "--drain-spread", "1", "--state-file", str(tmp_path / "state"))
    with Slackwater(*flags) as first:
        readers = [Reader(WAYS[n % 2], address(first, "orders")) for n in range(20)]
        for reader in readers:
            reader.start()
        first.wait_for(r"\[INFO\] Client connected\. Total connections: 20$")
        publish(first, "orders", *range(50))
        for reader in readers:
            reader.wait_for(49)
        first.signal()
        first.wait_for(r"\[INFO\] Waiting for \d+ connections")
        with Slackwater(*flags, port=first.port) as successor:
            # Some have not come back yet, and some are there.
            with contextlib.closing(Publisher(successor)) as publisher:
                for n in range(50, 250):
                    publisher.publish("orders", n)
                    time.sleep(0.01)
            assert first.exit_code() == 0
            publish(successor, "orders", "end")
            for reader in readers:
                reader.wait_for("end")
                assert reader.heard == [*range(250), "end"]
                assert (reader.notices, reader.gaps) == (1, 0)
