"""Clients come back by tickets: to any worker, after a restart and after a hand-over, for as long as they are told."""
import contextlib
import socket
import ssl

import pytest

from authority import AUTHORITY
from bio import VERSIONS
from conftest import serving
from handshakes import s_client
from slackwater import PATIENCE

versions = pytest.mark.parametrize("version", list(VERSIONS))
ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def context(version):
    return AUTHORITY.context(minimum_version=VERSIONS[version], maximum_version=VERSIONS[version])


def visit(server, context, session=None):
    """Shakes hands and is answered: the session that the client may come back by, and whether it has come back by one."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        with context.wrap_socket(connection, server_hostname="localhost", session=session) as tls:
            tls.sendall(ASK)
            assert tls.recv(4096).startswith(b"HTTP/1.1 200")
            return tls.session, tls.session_reused


@versions
def test_a_client_comes_back_by_a_ticket_and_is_given_another(server, context):
    session, is_back = visit(server, context)
    assert not is_back
    for _ in range(3):
        session, is_back = visit(server, context, session)
        assert is_back


@versions
def test_a_ticket_lives_for_hours_and_not_for_days(server, context, version):
    session, _ = visit(server, context)
    assert session.has_ticket
    assert 3600 <= session.ticket_lifetime_hint <= 24 * 3600, session.ticket_lifetime_hint


def test_openssl_comes_back_five_times(server):
    said = s_client(server.port, "-tls1_2", "-reconnect")
    assert said.count("\nReused, TLSv1.2") == 5


@versions
def test_a_ticket_is_good_at_every_worker(context):
    with serving("ec", "--workers", "2") as server:
        session, _ = visit(server, context)
        assert all(visit(server, context, session)[1] for _ in range(20))


@versions
def test_a_ticket_is_good_after_a_restart_if_its_key_is_in_a_file(context, tmp_path):
    file = tmp_path / "tickets"
    file.write_bytes(bytes(range(48)))
    with serving("ec", "--ssl-ticket-keyfile", str(file)) as server:
        session, _ = visit(server, context)
    with serving("ec", "--ssl-ticket-keyfile", str(file)) as server:
        assert visit(server, context, session)[1]
    with serving("ec") as server:
        assert not visit(server, context, session)[1], "and of no other key"


@versions
@pytest.mark.parametrize("workers", [1, 2])
def test_a_ticket_is_good_at_the_successor_that_takes_over(context, workers, tmp_path):
    with serving("ec", "--workers", str(workers), "--handover", str(tmp_path / "socket")) as server:
        session, _ = visit(server, context)
        server.hand_over()
        assert visit(server, context, session)[1]


@versions
def test_a_ticket_that_was_changed_is_nothing_but_a_full_handshake(server, context):
    session, _ = visit(server, context)
    for other in ("rsa",):
        with serving(other) as stranger:
            assert visit(stranger, context, session)[1] is False


def test_whoever_brings_a_ticket_of_1_2_to_1_3_shakes_hands_anew(server):
    old = AUTHORITY.context(maximum_version=ssl.TLSVersion.TLSv1_2)
    session, _ = visit(server, old)
    with contextlib.suppress(ValueError):
        # Python refuses what belongs to another context.
        assert not visit(server, AUTHORITY.context(), session)[1]
