"""What the Python client `websockets` sees of a serving Slackwater. A leaving one is in test_leaving.py."""
import asyncio
import json
import re
from datetime import datetime, timedelta, timezone

import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed

from client import Pinged, connect, connected, echo, hear
from slackwater import PATIENCE, Slackwater


def is_now(timestamp):
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", timestamp)
    then = datetime.strptime(timestamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    return abs(datetime.now(timezone.utc) - then) < timedelta(minutes=1)


def close_code_after(ws, message):
    """Sends the message and returns the code that the server closes with."""
    with pytest.raises(ConnectionClosed) as closed:
        ws.send(message)
        ws.recv(timeout=PATIENCE)
    return closed.value.rcvd and closed.value.rcvd.code


def test_the_welcome_comes_first(server):
    with connect(server.ws) as ws, connect(server.ws) as other:
        welcome, another = json.loads(ws.recv(timeout=PATIENCE)), json.loads(other.recv(timeout=PATIENCE))
    assert next(iter(welcome)) == "type"
    assert welcome["type"] == "welcome"
    assert welcome["message"] == "Connected to WebSocket server"
    assert is_now(welcome["timestamp"])
    assert welcome["topics"] == ["notifications"]
    assert isinstance(welcome["last_event_id"], str)
    assert welcome["resumed"] is False
    assert welcome["connection_id"] and another["connection_id"] != welcome["connection_id"]


def test_everyone_hears_the_same_notifications_in_the_same_order():
    with Slackwater("--notify-interval", "0.5") as server, connected(server.ws, 5) as [*earlier, last]:
        heard = [hear(last, "notification") for _ in range(3)]
        for ws in earlier:
            theirs = [hear(ws, "notification") for _ in range(3)]
            while theirs[-3:] != heard and len(theirs) < 10:  # it came earlier, so it may have heard more
                theirs.append(hear(ws, "notification"))
            assert theirs[-3:] == heard
        assert len({n["id"] for n in heard}) == 3
        numbers = [int(re.fullmatch(r"Periodic notification #(\d+)", n["message"])[1]) for n in heard]
        assert numbers == list(range(numbers[0], numbers[0] + 3))
        for notification in heard:
            assert next(iter(notification)) == "type"
            assert notification["topic"] == "notifications"
            assert notification["active_connections"] == 5
            assert is_now(notification["timestamp"])


@pytest.mark.parametrize("text", ["hello", "", "Grüße, 世界 🌊", "5", '"quoted"', "x" * 60 * 1024, "ж" * 30 * 1024],
                         ids=["hello", "empty", "unicode", "number", "string", "60 KB", "60 KB of unicode"])
def test_a_text_is_echoed(server, text):
    with connect(server.ws) as ws:
        ws.send(text)
        answer = hear(ws, "echo")
    assert next(iter(answer)) == "type"
    assert answer["message"] == f"Server received: {text}"
    assert is_now(answer["timestamp"])


def test_a_fragmented_message_is_one_message(server):
    with connect(server.ws) as ws:
        ws.send(["in ", "three ", "fragments"])
        assert hear(ws, "echo")["message"] == "Server received: in three fragments"


def test_a_fragment_may_end_within_a_character(server):
    with connect(server.ws) as ws:
        ws.send([bytes([octet]) for octet in "🌊 ж".encode()], text=True)
        assert hear(ws, "echo")["message"] == "Server received: 🌊 ж"


def test_a_ping_between_fragments_is_answered_at_once(server):
    with connect(server.ws) as ws:
        def fragments():
            yield "before "
            assert ws.ping("between").wait(PATIENCE)
            yield "after"
        ws.send(fragments())
        assert hear(ws, "echo")["message"] == "Server received: before after"


def test_a_ping_is_answered_by_its_pong(server):
    with connect(server.ws) as ws:
        pongs = [ws.ping(payload) for payload in ("", "one", "x" * 125)]
        assert all(pong.wait(PATIENCE) for pong in pongs)


def test_an_idle_client_stays_for_it_answers_the_pings():
    flags = ["--notify-interval", "0", "--ws-ping-interval", "0.2", "--ws-ping-timeout", "0.5"]
    with Slackwater(*flags) as server, connect(server.ws, create_connection=Pinged) as ws:
        hear(ws, "welcome")
        ws.await_pings(10)
        assert echo(ws, "still here")


def test_a_binary_message_ends_with_1003(server):
    with connect(server.ws) as ws:
        hear(ws, "welcome")
        assert close_code_after(ws, b"\x00\x01") == 1003


def test_the_size_limit_is_inclusive(server):
    with connect(server.ws) as ws:
        assert echo(ws, "x" * 65536)


@pytest.mark.parametrize("message", ["x" * 65537, "x" * 1_000_000, ["x" * 40_000, "x" * 40_000]],
                         ids=["by one", "by far", "in fragments"])
def test_a_message_too_big_ends_with_1009(server, message):
    with connect(server.ws) as ws:
        hear(ws, "welcome")
        assert close_code_after(ws, message) == 1009


@pytest.mark.parametrize("code", [1000, 1001, 4321])
def test_the_close_code_of_a_client_comes_back(server, code):
    with connect(server.ws) as ws:
        hear(ws, "welcome")
        ws.close(code, "I have heard enough")
        assert ws.protocol.close_rcvd.code == code
        assert ws.protocol.close_rcvd_then_sent is False


def test_compression_is_offered_and_politely_not_taken(server):
    with connect(server.ws, compression="deflate") as ws:
        assert "permessage-deflate" in ws.request.headers["Sec-WebSocket-Extensions"]
        assert "Sec-WebSocket-Extensions" not in ws.response.headers
        assert echo(ws, "compressible " * 1000)


def test_a_subprotocol_that_nobody_speaks_is_not_chosen(server):
    with connect(server.ws, subprotocols=["mqtt"]) as ws:
        assert ws.subprotocol is None
        assert echo(ws, "plain")


def test_200_clients_at_once_hear_and_are_heard():
    async def one(server, number):
        async with connect_async(server.ws, compression=None, ping_interval=None, proxy=None) as ws:
            await ws.send(f"I am {number}")
            crowd, echoed = False, False
            while not (crowd and echoed):  # and nobody leaves before all are counted
                message = json.loads(await ws.recv())
                crowd |= message.get("active_connections") == 200
                echoed |= message.get("message") == f"Server received: I am {number}"

    async def everyone(server):
        async with asyncio.timeout(2 * PATIENCE):
            await asyncio.gather(*(one(server, number) for number in range(200)))

    with Slackwater("--notify-interval", "0.5") as server:
        asyncio.run(everyone(server))
        server.wait_for(r"\[INFO\] Client connected\. Total connections: 200$")
        server.wait_for(r"\[INFO\] Client disconnected\. Total connections: 0$")
