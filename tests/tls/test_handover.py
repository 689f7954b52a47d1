"""Whoever is connected over TLS stays so while another process takes over, as OpenSSL and a Python client live it."""
import pytest

from authority import AUTHORITY
from bio import VERSIONS, Connection
from client import echo, listening, next_message
from conftest import serving
from handshakes import Conversation
from test_clients import post

HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEALTHY = '{"status":"ok"}'


@pytest.mark.parametrize("version", list(VERSIONS))
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_client_hears_on_without_connecting_again(version, workers):
    context = AUTHORITY.context(minimum_version=VERSIONS[version], maximum_version=VERSIONS[version])
    with serving("ec", "--workers", workers) as server, listening(server, "moved", ssl=context) as (ws, _):
        for number in range(3):
            assert server.hand_over() == 0, "all of them move"
            post(server, "moved", number)
            assert next_message(ws)["data"] == number
            assert echo(ws, "and is heard")


@pytest.mark.parametrize("version", list(VERSIONS))
def test_a_connection_that_is_kept_is_answered_by_the_successor_and_ends_as_it_should(version):
    with serving("rsa") as server, Connection(server.port, version) as connection:
        connection.send(HEALTHZ)
        assert connection.read().endswith(HEALTHY.encode())
        assert server.hand_over() == 0
        connection.send(HEALTHZ.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert connection.rest().endswith(HEALTHY.encode())


@pytest.mark.parametrize("command", ["K", "k"])
def test_keys_still_change_at_the_successor(command):
    with serving("ec") as server, Conversation(server.port, "-tls1_3", "-crlf") as typed:
        for _ in range(2):
            typed.type(HEALTHZ.decode().replace("\r\n", "\n"))
            typed.wait_for(HEALTHY)
            assert server.hand_over() == 0
            typed.type(f"{command}\n")
            typed.wait_for("KEYUPDATE\n")
        typed.type(HEALTHZ.decode().replace("\r\n", "\n"))
        typed.wait_for(HEALTHY)
