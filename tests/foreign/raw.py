"""A WebSocket by hand, for what no client library sends and shows: frames of any kind, in any pieces. Compression is left
to zlib itself, which is Python's module of that name."""
import base64
import json
import os
import socket
import zlib
from urllib.parse import urlencode

from slackwater import PATIENCE

FIN, RSV1 = 0x80, 0x40
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
TAIL = b"\0\0\xff\xff"


class Raw:
    """One connection, once its handshake has been answered with 101."""

    def __init__(self, server, *topics, offers=None, after=None):
        wishes = [("topic", topic) for topic in topics] + [("last_event_id", after)] * (after is not None)
        self.sock = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        # What is sent in two pieces is to be two segments.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.came = bytearray()
        self.bytes_read = 0
        self.sock.sendall(
            f"GET /ws?{urlencode(wishes)} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
            f"{f'Sec-WebSocket-Extensions: {offers}' if offers else 'X-Nothing: offered'}\r\n\r\n".encode())
        while b"\r\n\r\n" not in self.came:
            self._read()
        head, _, rest = self.came.partition(b"\r\n\r\n")
        self.came = rest
        status, *fields = head.decode().split("\r\n")
        assert status.startswith("HTTP/1.1 101 "), status
        self.agreed = dict(field.lower().split(": ") for field in fields).get("sec-websocket-extensions")

    def _read(self):
        octets = self.sock.recv(65536)
        if not octets:
            raise EOFError("the server has closed")
        self.came += octets
        self.bytes_read += len(octets)

    def _take(self, count):
        while len(self.came) < count:
            self._read()
        taken, self.came = bytes(self.came[:count]), self.came[count:]
        return taken

    def frame(self):
        """The first octet of the next frame, and its payload as it is on the wire."""
        first, length = self._take(2)
        if length >= 126:
            length = int.from_bytes(self._take(2 if length == 126 else 8))
        return first, self._take(length)

    def message(self, window_bits=15):
        """The next message, which is one frame, and whether it was compressed, as all with a window of so many bits can
        inflate it. Control frames are passed over."""
        while True:
            first, payload = self.frame()
            if first & 0x0F < CLOSE:
                break
            assert first in (FIN | PING, FIN | PONG), (first, payload)
        assert first in (FIN | TEXT, FIN | RSV1 | TEXT), first
        is_compressed = first & RSV1 != 0
        return json.loads(inflate(payload, window_bits) if is_compressed else payload), is_compressed

    def close_code(self):
        """The code that the server closes with, whatever comes before it."""
        while True:
            first, payload = self.frame()
            if first == FIN | CLOSE:
                return int.from_bytes(payload[:2])

    def send(self, *frames):
        self.sock.sendall(b"".join(frames))

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def frame(first, payload, mask=b"\x37\xfa\x21\x3d"):
    """A frame as clients send it."""
    length = len(payload)
    if length < 126:
        header = bytes([first, 0x80 | length])
    elif length < 65536:
        header = bytes([first, 0x80 | 126]) + length.to_bytes(2)
    else:
        header = bytes([first, 0x80 | 127]) + length.to_bytes(8)
    key = mask * (length // 4 + 1)
    masked = int.from_bytes(payload) ^ int.from_bytes(key[:length])
    return header + mask + masked.to_bytes(length)


def deflate(message, window_bits=15, **how):
    """The payload of a message (RFC 7692 §7.2.1), by zlib."""
    stream = zlib.compressobj(wbits=-window_bits, **how)
    return (stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def inflate(payload, window_bits=15):
    """The message of a payload (RFC 7692 §7.2.2), by a zlib that has no more of a window than that: it is let look back
    on nothing but its window, as whatever it has made is taken from it octet by octet."""
    stream = zlib.decompressobj(wbits=-window_bits)
    message, rest = bytearray(), payload + TAIL
    while rest:
        message += stream.decompress(rest, 1)
        rest = stream.unconsumed_tail
    assert not stream.unused_data, "something follows the last block"
    return bytes(message)
