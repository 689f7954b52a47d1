"""What zlib deflates is heard, however it is cut, and what is not to be heard is refused. What the server deflates, for
each window, zlib inflates: that is in the second half."""
import contextlib
import json
import os
import zlib

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from client import connect, echo
from publisher import Publisher
from raw import (BINARY, CONTINUATION, FIN, PING, PONG, RSV1, TAIL, TEXT, Raw, deflate, frame, inflate)
from slackwater import PATIENCE, Slackwater

DEFLATE = "permessage-deflate"
MOST = 65536  # --ws-max-size
SHORTEST = 256  # that is worth compressing
# A failure is shrunk and tells how to get it again; nothing is left in the tree.
PROPERTY = settings(deadline=None, database=None, print_blob=True,
                    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def server():
    with Slackwater("--notify-interval", "0", "--ws-per-message-deflate") as server:
        yield server
        server.signal()
        assert server.exit_code() == 0


# Texts that repeat themselves and texts that do not, of one octet a character and of several.
TEXTS = st.one_of(
    st.text(max_size=300),
    st.builds("".join, st.lists(st.sampled_from(['{"order":', "17", "},", "paid", "🌊", "ж", " "]), max_size=2000)),
    st.builds(lambda part, times: (part * times)[:MOST // 4], st.text(min_size=1, max_size=400), st.integers(1, 500)),
    st.builds(lambda octets: octets.hex(), st.binary(max_size=20_000)),
)
WINDOWS = st.integers(9, 15)
HOW = st.fixed_dictionaries({
    "level": st.integers(0, 9), "memLevel": st.integers(1, 9),
    "strategy": st.sampled_from([zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED])})
FLUSHES = st.sampled_from([zlib.Z_NO_FLUSH, zlib.Z_PARTIAL_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_BLOCK])


def cuts(most=6):
    """Where to cut: parts of the whole, in order."""
    return st.lists(st.floats(0, 1, exclude_max=True), max_size=most).map(sorted)


def pieces(whole, where):
    """The whole in pieces, of which some may be empty."""
    ends = [int(len(whole) * part) for part in where]
    return [whole[start:end] for start, end in zip([0, *ends], [*ends, len(whole)])]


@st.composite
def payloads(draw, text):
    """A text as zlib deflates it: with any window, in any number of blocks, the last of which may say so."""
    stream = zlib.compressobj(wbits=-draw(WINDOWS), **draw(HOW))
    blocks = b""
    for piece in pieces(text.encode(), draw(cuts(3))):
        blocks += stream.compress(piece) + stream.flush(draw(FLUSHES))
    if draw(st.booleans()):
        return (blocks + stream.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
    # RFC 7692 §7.2.3.4: an empty octet follows the last block, which stands for what is added.
    return blocks + stream.flush(zlib.Z_FINISH) + b"\0"


@st.composite
def sent_messages(draw):
    """Texts, and the octets in which they are sent: compressed and plain ones, in any fragments, with pings between."""
    texts, octets, pings = draw(st.lists(TEXTS, min_size=1, max_size=4)), b"", 0
    for text in texts:
        is_compressed = draw(st.booleans())
        payload = draw(payloads(text)) if is_compressed else text.encode()
        *fragments, last = pieces(payload, draw(cuts()))
        opcode = TEXT | (RSV1 if is_compressed else 0)
        for fragment in fragments:
            octets += frame(opcode, fragment)
            opcode = CONTINUATION
            if draw(st.booleans()):
                octets += frame(FIN | PING, b"between")
                pings += 1
        octets += frame(FIN | opcode, last)
    return texts, octets, pings


@settings(PROPERTY, max_examples=400)
@given(sent=sent_messages(), segments=cuts(12), offers=st.sampled_from(
    [DEFLATE, f"{DEFLATE}; client_max_window_bits", f"{DEFLATE}; client_max_window_bits=9", f"x, {DEFLATE}; server_max_window_bits=12"]))
def test_what_zlib_deflates_is_heard_however_it_is_cut(server, sent, segments, offers):
    texts, octets, pings = sent
    with Raw(server, offers=offers) as raw:
        assert raw.agreed.startswith(DEFLATE)
        assert raw.message()[0]["type"] == "welcome"
        for segment in pieces(octets, segments):
            raw.send(segment)
        raw.send(frame(FIN | PING, b"the end"))
        heard, pongs = [], []
        while pongs[-1:] != [b"the end"]:
            first, payload = raw.frame()
            if first == FIN | PONG:
                pongs.append(payload)
            else:
                assert first in (FIN | TEXT, FIN | RSV1 | TEXT)
                heard.append(json.loads(inflate(payload) if first & RSV1 else payload)["message"])
        assert heard == [f"Server received: {text}" for text in texts]
        assert pongs == [b"between"] * pings + [b"the end"]


# Beyond what a message may compress to nothing is inflated at all, so each of these has to be small on the wire.
BOMBS = {
    "one too many": deflate(b"x" * (MOST + 1)),
    "1 MiB": deflate(bytes(1 << 20)),
    "60 MiB": deflate(bytes(60 << 20), level=9),
    "of the smallest window": deflate(bytes(8 << 20), 9),
    "of Huffman codes alone": deflate(bytes(4 * MOST), strategy=zlib.Z_HUFFMAN_ONLY),
    "of many blocks": b"".join([deflate(bytes(50_000)) + TAIL] * 1000),
    "of blocks that each say they are the last": (zlib.compress(bytes(40_000), wbits=-15)) * 1000 + b"\0",
    "stored": deflate(os.urandom(MOST + 1), level=0),
    "that ends in nonsense": deflate(bytes(16 << 20)) + b"\xff" * 100,
}


def code_for(server, *octets):
    with Raw(server, offers=DEFLATE) as raw:
        raw.send(*octets)
        return raw.close_code()


def peak_memory(server):
    """The most that it has taken so far, in bytes."""
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_ends_with_1009_whole_or_in_fragments_and_takes_no_memory(server, bomb):
    # What the longest text takes may be taken.
    with Raw(server, offers=DEFLATE) as raw:
        raw.send(frame(FIN | RSV1 | TEXT, deflate(b"x" * MOST)))
        assert [raw.message()[0]["type"], len(raw.message()[0]["message"])] == ["welcome", MOST + 17]
    before = peak_memory(server)
    assert code_for(server, frame(FIN | RSV1 | TEXT, bomb)) == 1009
    start, *middle, end = pieces(bomb, [0.1, 0.2, 0.5, 0.9])
    fragments = [frame(RSV1 | TEXT, start), *(frame(CONTINUATION, one) for one in middle), frame(FIN, end)]
    assert code_for(server, *fragments) == 1009
    assert peak_memory(server) - before < 1 << 20
    with connect(server.ws, compression="deflate") as ws:
        assert echo(ws, "still here")


def test_of_many_bombs_at_once_no_more_is_kept_than_has_come(server):
    bomb = frame(FIN | RSV1 | TEXT, deflate(bytes(60 << 20), level=9))
    assert len(bomb) < MOST
    assert code_for(server, bomb) == 1009
    with contextlib.ExitStack() as crowd:
        crowd = [crowd.enter_context(Raw(server, offers=DEFLATE)) for _ in range(200)]
        # Each holds back its last octet: all that can be kept of it is what has come.
        before = peak_memory(server)
        for raw in crowd:
            raw.send(bomb[:-1])
        for raw in crowd:
            raw.send(bomb[-1:])
        assert [raw.close_code() for raw in crowd] == [1009] * len(crowd)
        assert peak_memory(server) - before < len(crowd) * (MOST + 16_384)


def all_blocks(octets):
    """What is in these blocks, also behind one that says that it is the last."""
    message = b""
    while octets:
        stream = zlib.decompressobj(wbits=-15)
        message += stream.decompress(octets)
        octets = stream.unused_data
    return message


@settings(PROPERTY, max_examples=200)
@given(text=TEXTS, seed=st.binary(min_size=1, max_size=40), where=st.floats(0, 1, exclude_max=True))
def test_whatever_follows_a_flipped_octet_is_heard_as_zlib_would_or_refused(server, text, seed, where):
    payload = bytearray(deflate(text.encode()))
    start = int(len(payload) * where)
    for n, octet in enumerate(seed[:len(payload) - start]):
        payload[start + n] ^= octet
    with Raw(server, offers=DEFLATE) as raw:
        assert raw.message()[0]["type"] == "welcome"
        raw.send(frame(FIN | RSV1 | TEXT, payload), frame(FIN | PING, b""))
        first, answer = raw.frame()
        if first & 0x0F == TEXT:
            heard = json.loads(inflate(answer) if first & RSV1 else answer)["message"]
            assert heard == f"Server received: {all_blocks(bytes(payload) + TAIL).decode()}"
        else:
            assert (first, int.from_bytes(answer[:2])) in [(0x88, code) for code in (1007, 1009)]


@pytest.mark.parametrize("octets, code", [
    (frame(FIN | RSV1 | PING, b""), 1002),
    (frame(FIN | RSV1 | BINARY, deflate(b"octets")), 1003),
    (frame(RSV1 | TEXT, deflate(b"x")) + frame(FIN | RSV1 | CONTINUATION, b""), 1002),
    (frame(FIN | 0x20 | TEXT, b""), 1002),
    (frame(FIN | RSV1 | 0x10 | TEXT, deflate(b"x")), 1002),
    (frame(FIN | RSV1 | TEXT, deflate(b"\xff")), 1007),
    (frame(FIN | RSV1 | TEXT, deflate("🌊".encode()[:3])), 1007),
    (frame(FIN | RSV1 | TEXT, deflate(b"cut off " * 9)[:-2]), 1007),
    (frame(FIN | RSV1 | TEXT, deflate(b"x" * 400, level=0)[:200]), 1007),
    (frame(FIN | RSV1 | TEXT, zlib.compress(b"with a header")), 1007),
], ids=["RSV1 on a ping", "binary", "RSV1 on a continuation", "RSV2", "RSV1 and RSV3", "no UTF-8", "half a character", "cut off",
        "cut off in a stored block", "with zlib's own header"])
def test_what_breaks_a_rule_ends_with_the_code_for_it(server, octets, code):
    assert code_for(server, octets) == code


# What may be published: as JSON from a few octets to tens of thousands.
LEAVES = st.none() | st.booleans() | st.integers() | TEXTS
DATA = TEXTS | st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=8), max_leaves=30)


@pytest.fixture(scope="module")
def listeners(server):
    """One that hears plain frames, and one for each window that can be agreed on."""
    offers = {None: None, **{bits: f"{DEFLATE}; server_max_window_bits={bits}" for bits in range(8, 16)}}
    with contextlib.ExitStack() as connections:
        listeners = {bits: connections.enter_context(Raw(server, "orders", offers=offer)) for bits, offer in offers.items()}
        for raw in listeners.values():
            assert raw.message()[0]["type"] == "welcome"
        yield listeners


@pytest.fixture(scope="module")
def publisher(server):
    with contextlib.closing(Publisher(server)) as publisher:
        yield publisher


def next_publication(raw, id):
    """The frame of that publication; what an example that failed has left unread is passed over."""
    while True:
        first, payload = raw.frame()
        is_publication = first in (FIN | TEXT, FIN | RSV1 | TEXT)
        if is_publication and json.loads(inflate(payload) if first & RSV1 else payload)["id"] == id:
            return first, payload


@settings(PROPERTY, max_examples=400)
@given(data=DATA)
def test_zlib_inflates_what_is_deflated_with_the_window_that_was_agreed_on(publisher, listeners, data):
    assume(len(json.dumps(data)) < MOST - 1000)
    [id] = publisher.publish("orders", data)
    frames = {bits: next_publication(raw, id) for bits, raw in listeners.items()}
    _, message = frames.pop(None)
    assert json.loads(message)["data"] == data
    shortest = len(deflate(message, level=9))
    is_worth_it = len(message) >= SHORTEST and shortest < len(message) * 0.95
    for bits, (first, payload) in frames.items():
        if first & RSV1:
            assert len(message) >= SHORTEST and len(payload) < len(message)
            assert inflate(payload, bits) == message
        else:
            assert payload == message
            assert not is_worth_it or len(message) > 1 << bits
    # One for all.
    assert len({payload for first, payload in frames.values() if first & RSV1}) <= 1
