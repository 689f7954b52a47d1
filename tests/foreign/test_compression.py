"""What the Python client `websockets` sees of a Slackwater that compresses. What no library sends is in test_zlib.py."""
import contextlib
import re
import urllib.request

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from client import connect, echo, heard, hears_nothing_more, listening, next_message
from publisher import Publisher, publish
from raw import Raw
from slackwater import PATIENCE, Slackwater

COMPRESSING = ("--notify-interval", "0", "--ws-per-message-deflate")
AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
WORTHWHILE = 256  # octets of a message
# As JSON: too short to be compressed, within each window, and beyond the smallest ones.
SHORT, MIDDLE, LONG = "short", "paid and sent; " * 15, "paid and sent; " * 200


@pytest.fixture(scope="module")
def server():
    with Slackwater(*COMPRESSING) as server:
        yield server
        server.signal()
        assert server.exit_code() == 0


class Counting(ClientPerMessageDeflateFactory):
    """Offers compression, and notes of each message that comes whether it was compressed, and its octets on the wire and
    inflated."""

    def __init__(self, **offer):
        super().__init__(**offer)
        self.came = []

    def process_response_params(self, params, accepted):
        extension = super().process_response_params(params, accepted)
        decode = extension.decode

        def count(frame, **limits):
            message = decode(frame, **limits)
            if message.opcode <= 2:
                self.came.append((frame.rsv1, len(frame.data), len(message.data)))
            return message

        extension.decode = count
        return extension

    @property
    def compressed(self):
        return [is_compressed for is_compressed, _, _ in self.came]


def counting(**offer):
    counting = Counting(**offer)
    return counting, {"extensions": [counting]}


def numbered(count):
    return [[n, LONG] for n in range(count)]


def publish_numbered(server, count):
    """More than a request may hold."""
    with contextlib.closing(Publisher(server)) as publisher:
        return [publisher.publish("orders", [n, LONG])[0] for n in range(count)]


def metric(server, name):
    text = urllib.request.urlopen(f"{server.http}/metrics", timeout=PATIENCE).read().decode()
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])


def test_what_websockets_offers_by_itself_is_agreed_on(server):
    with connect(server.ws, compression="deflate") as ws:
        assert ws.request.headers["Sec-WebSocket-Extensions"] == "permessage-deflate; client_max_window_bits"
        assert ws.response.headers["Sec-WebSocket-Extensions"] == AGREED
        [extension] = ws.protocol.extensions
        assert extension.remote_no_context_takeover and extension.local_no_context_takeover
        next_message(ws)
        assert echo(ws, "compressible " * 4000) and echo(ws, "") and echo(ws, "x")


OFFERS = [
    *({"server_max_window_bits": bits} for bits in range(9, 16)),
    *({"client_max_window_bits": bits} for bits in range(9, 16)),
    *({"server_max_window_bits": bits, "client_max_window_bits": bits} for bits in (9, 12, 15)),
    {},
    {"client_max_window_bits": True},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True},
    {"server_no_context_takeover": True, "client_no_context_takeover": True, "server_max_window_bits": 10,
     "client_max_window_bits": True},
]


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: " ".join(f"{k}={v}" for k, v in offer.items()) or "bare")
def test_whatever_is_offered_all_is_heard_and_compressed_where_the_window_has_room(server, offer):
    counter, options = counting(**offer)
    window = 1 << offer.get("server_max_window_bits", 15)
    with listening(server, "orders", **options) as (ws, _):
        bits = offer.get("server_max_window_bits")
        # Whoever names a window is answered with it.
        assert ws.response.headers["Sec-WebSocket-Extensions"] == AGREED + (f"; server_max_window_bits={bits}" if bits else "")
        data = [SHORT, MIDDLE, LONG, SHORT, LONG, MIDDLE]
        publish(server, "orders", *data)
        assert heard(ws, len(data)) == data
        for is_compressed, on_wire, inflated in counter.came[1:]:
            assert is_compressed == (WORTHWHILE <= inflated <= window), (on_wire, inflated)
            assert on_wire < inflated * 0.8 if is_compressed else on_wire == inflated
        assert any(counter.compressed)
        # It compresses all that it sends, with the window it has.
        assert all(echo(ws, text) for text in (SHORT, MIDDLE, LONG, LONG * 20, "🌊 ж" * 3000))
        assert hears_nothing_more(ws)


def test_what_was_missed_comes_compressed_and_as_it_was_first_heard(server):
    counter, options = counting()
    with listening(server, "orders", **options) as (ws, _):
        [last, *_] = publish(server, "orders", SHORT, LONG, MIDDLE, SHORT)
        first = [ws.recv(timeout=PATIENCE) for _ in range(4)]
    again, options = counting()
    with listening(server, "orders", after=last, **options) as (ws, welcome):
        assert welcome["resumed"] is True
        publish(server, "orders", LONG)
        assert [ws.recv(timeout=PATIENCE) for _ in range(3)] == first[1:]
        assert again.came[1:4] == counter.came[2:5]
        assert again.compressed[1:4] == [True, True, False]
        assert heard(ws, 1) == [LONG] and again.compressed[4] is True
        assert hears_nothing_more(ws)
    # Nor does it matter in which way it was heard first.
    with listening(server, "orders", after=last) as (ws, _):
        assert [ws.recv(timeout=PATIENCE) for _ in range(3)] == first[1:]


def test_a_successor_brings_what_was_missed_compressed(tmp_path):
    flags = (*COMPRESSING, "--state-file", str(tmp_path / "state"))
    with Slackwater(*flags) as first:
        counter, options = counting()
        with listening(first, "orders", **options) as (ws, welcome):
            publish_numbered(first, 100)
            assert heard(ws, 100) == numbered(100)
        first.signal()
        assert first.exit_code() == 0
    with Slackwater(*flags, port=first.port) as successor:
        again, options = counting()
        with listening(successor, "orders", after=welcome["last_event_id"], **options) as (ws, welcome):
            assert welcome["resumed"] is True
            assert heard(ws, 100) == numbered(100)
            assert all(again.compressed[1:]) and again.came[1:] == counter.came[1:]
            assert hears_nothing_more(ws)


def test_a_publication_is_compressed_once_whoever_hears_it_and_when():
    ways = [{}, {"server_max_window_bits": 13}, {"client_max_window_bits": 9}]
    with Slackwater(*COMPRESSING) as server, contextlib.ExitStack() as clients:
        def client(**options):
            return clients.enter_context(listening(server, "orders", **options))

        with listening(server) as (_, welcome):
            start = welcome["last_event_id"]
        counters = [counting(**ways[n % 3]) for n in range(30)]
        crowd = [client(**options)[0] for _, options in counters] + [client()[0] for _ in range(10)]
        publish_numbered(server, 20)
        first, *others = [[ws.recv(timeout=PATIENCE) for _ in range(20)] for ws in crowd]
        assert all(told == first for told in others)
        assert all(all(counter.compressed[1:]) for counter, _ in counters)
        assert metric(server, "slackwater_messages_compressed_total") == 20
        late = client(after=start, compression="deflate")[0]
        assert [late.recv(timeout=PATIENCE) for _ in range(20)] == first
        assert metric(server, "slackwater_messages_compressed_total") == 20


def test_without_anybody_who_inflates_nothing_is_compressed(server):
    before = metric(server, "slackwater_messages_compressed_total")
    with listening(server, "orders") as (ws, _), listening(server, "none", compression="deflate") as (other, _):
        publish_numbered(server, 10)
        assert heard(ws, 10) == numbered(10)
        assert hears_nothing_more(other)
    assert metric(server, "slackwater_messages_compressed_total") == before


def test_workers_compress_and_a_client_resumes_on_any_of_them():
    with Slackwater(*COMPRESSING, "--workers", "2") as server:
        with listening(server, "orders", compression="deflate") as (ws, welcome):
            start = welcome["last_event_id"]
            publish_numbered(server, 50)
            assert heard(ws, 50) == numbered(50)
        # Ten connections are with both of them, but once in a thousand runs.
        for _ in range(10):
            counter, options = counting()
            with listening(server, "orders", after=start, **options) as (ws, welcome):
                assert welcome["resumed"] is True
                assert heard(ws, 50) == numbered(50)
                assert all(counter.compressed[1:])
        server.signal()
        assert server.exit_code() == 0


def test_on_the_wire_there_is_a_fraction_of_it(server):
    with Raw(server, "orders") as plain, Raw(server, "orders", offers="permessage-deflate") as compressed:
        read = []
        for raw in (plain, compressed):
            assert raw.message()[0]["type"] == "welcome"
            read.append(raw.bytes_read)
        publish_numbered(server, 100)
        for raw in (plain, compressed):
            assert [raw.message()[0]["data"][0] for _ in range(100)] == list(range(100))
        spent = [raw.bytes_read - before for raw, before in zip((plain, compressed), read)]
        assert spent[0] > 300_000 and spent[1] < spent[0] / 10, spent


@pytest.mark.parametrize("size, is_heard", [(65536, True), (65537, False), (50_000_000, False)])
def test_the_size_limit_is_that_of_the_inflated_message_and_inclusive(server, size, is_heard):
    with connect(server.ws, compression="deflate") as ws:
        next_message(ws)
        if is_heard:
            assert echo(ws, "x" * size)
            return
        with pytest.raises(ConnectionClosed) as closed:
            ws.send("x" * size)
            ws.recv(timeout=PATIENCE)
        assert closed.value.rcvd.code == 1009


def test_a_binary_message_ends_with_1003_compressed_too(server):
    with connect(server.ws, compression="deflate") as ws, pytest.raises(ConnectionClosed) as closed:
        next_message(ws)
        ws.send(b"\0" * 1000)
        ws.recv(timeout=PATIENCE)
    assert closed.value.rcvd.code == 1003
