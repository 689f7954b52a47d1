"""Handshakes that are never finished, and what is none, are nobody else's loss."""
import contextlib
import json
import os
import socket
import time

from authority import AUTHORITY
from bio import LAST, Connection
from client import listening, next_message
from conftest import serving
from handshakes import HANDSHAKE, answer, client_hello, extension, vector
from slackwater import PATIENCE

HALF_OPEN, GARBAGE, PUBLICATIONS = 300, 100, 50
LATE = 1  # second that a publication may take, also here and on two cores
SHARE = vector(b"\x00\x1d" + vector(b"\x09" + bytes(31)))
# All that a server needs for its own half of a handshake.
HELLO = client_hello(suites=(0x1301,), extensions=extension(43, vector(b"\x03\x04", 1)) + extension(10, vector(b"\x00\x1d"))
                     + extension(13, vector(b"\x04\x03")) + extension(51, SHARE))


def publications(server, ws, count):
    """Publishes one behind the other over one connection and hears each: how long the slowest took, in seconds."""
    slowest = 0
    with Connection(server.port) as publisher:
        for number in range(count):
            body = json.dumps({"topic": "flood", "data": number}).encode()
            began = time.monotonic()
            publisher.send(b"POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                           b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            assert next_message(ws)["data"] == number
            slowest = max(slowest, time.monotonic() - began)
            assert publisher.read().startswith(b"HTTP/1.1 200")
    return slowest


def test_a_handshake_of_our_own_making_is_answered_by_the_servers_half(server):
    assert answer(server.port, HELLO)[0] == HANDSHAKE


def test_publications_are_heard_in_time_amid_half_open_handshakes_and_garbage(tmp_path):
    with serving("rsa", "--handshake-timeout", "2") as server, contextlib.ExitStack() as flood:
        with listening(server, "flood", ssl=AUTHORITY.context()) as (ws, _):
            def connect(octets):
                peer = flood.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE))
                peer.sendall(octets)
                return peer
            # Half a hello, or a whole one behind which nothing comes.
            half_open = [connect(HELLO[:40] if number % 2 else HELLO) for number in range(HALF_OPEN)]
            for _ in range(GARBAGE):
                connect(b"\x16\x03\x01" + os.urandom(600))
            assert publications(server, ws, PUBLICATIONS) < LATE
            # And they do not stay.
            for peer in half_open:
                with contextlib.suppress(ConnectionResetError):
                    while peer.recv(65536):
                        pass
            assert publications(server, ws, 1) < LATE
        with Connection(server.port) as connection:
            connection.send(LAST)
            assert connection.rest().startswith(b"HTTP/1.1 200")
