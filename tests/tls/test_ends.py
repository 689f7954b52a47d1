"""How connections end and how keys change amid them, as OpenSSL sees it."""
import ssl

import pytest

from authority import AUTHORITY
from bio import LAST, PAGE, VERSIONS, Connection
from client import echo, listening
from handshakes import Conversation

versions = pytest.mark.parametrize("version", list(VERSIONS))
HEALTHZ = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEALTHY = '{"status":"ok"}'


@versions
def test_the_server_says_that_it_ends(each, version):
    with Connection(each.port, version) as connection:
        connection.send(LAST)
        assert connection.rest().endswith(HEALTHY.encode())
        connection.close_notify()
        assert connection.ends()


@versions
def test_whoever_has_ended_its_side_still_gets_all_the_answers(server, version):
    with Connection(server.port, version) as connection:
        connection.send(PAGE * 5)
        connection.close_notify()
        heard = connection.rest()
        assert heard.count(b"HTTP/1.1 200 OK") == 5
        assert connection.ends()


@versions
def test_an_end_without_a_word_ends_the_connection(server, version):
    with Connection(server.port, version) as connection:
        connection.socket.shutdown(1)
        connection.rest()
        assert connection.ends()


@versions
def test_a_record_that_was_changed_ends_the_connection_with_an_alert_and_no_other(server, version):
    with listening(server, ssl=AUTHORITY.context()) as (ws, _), Connection(server.port, version) as connection:
        connection.tls.write(PAGE)
        record = bytearray(connection.outgoing.read())
        record[-1] ^= 1
        connection.socket.sendall(record)
        with pytest.raises(ssl.SSLError, match="(?i)bad.record.mac"):
            connection.rest()
        assert echo(ws, "still here")


@pytest.mark.parametrize("command", ["K", "k"])
def test_keys_change_amid_a_connection_when_the_client_says_so(server, command):
    with Conversation(server.port, "-tls1_3", "-crlf") as typed:
        typed.wait_for("---\n")
        for _ in range(3):
            typed.type(f"{command}\n")
            typed.wait_for("KEYUPDATE\n")
            typed.type(HEALTHZ.replace("\r\n", "\n"))
            typed.wait_for(HEALTHY)


def test_whoever_asks_to_negotiate_again_is_not_obeyed_and_nobody_else_notices(server):
    with listening(server, ssl=AUTHORITY.context()) as (ws, _):
        with Conversation(server.port, "-tls1_2") as typed:
            typed.wait_for("Verify return code")
            typed.type("R\n")
            typed.wait_for("RENEGOTIATING\n")
            said = typed.rest()
        assert "no renegotiation" in said or ":error:" in said
        assert "Verify return code" not in said
        assert echo(ws, "still here")
