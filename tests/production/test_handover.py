"""A server that hands over to another process, as what stands before it lives it: nginx, HAProxy and Caddy with the files of packaging/.
Their connections to it stay, those of clients and those that they keep for requests."""
import contextlib
import http.client
import json
import socket

import pytest

from client import connect, connected, echo, heard, hears_nothing_more, next_message
from neighbours import caddy, haproxy, nginx
from redeploying import Newcomers
from slackwater import PATIENCE, Slackwater

QUIET = ("--notify-interval", "0", "--ws-per-message-deflate")
TOKEN = "a-token"
TIMES = 3


def before_nginx(tmp_path, port):
    # Publishers are let in, and nginx keeps its connections for the next request, as docs/proxies.md says for --proxy-headers.
    changes = {
        "127.0.0.1:8000": f"127.0.0.1:{port}", "127.0.0.1:8001": f"127.0.0.1:{port}", "publish|": "",
        "upstream slackwater {": "upstream slackwater { keepalive 1; keepalive_timeout 60s;",
    }
    return nginx(tmp_path / "nginx", changes)


def before_haproxy(tmp_path, port):
    # HAProxy keeps its connections by itself.
    servers = {"127.0.0.1:8000 port 9000": f"127.0.0.1:{port}", "127.0.0.1:8001 port 9001": f"127.0.0.1:{port}"}
    return haproxy(tmp_path / "haproxy", {**servers, "path_beg /publish ": "path_beg "})


def before_caddy(tmp_path, port):
    # Its connections are kept until the test is over, as those of nginx are.
    changes = {"127.0.0.1:8000 127.0.0.1:8001": f"127.0.0.1:{port}", "path /publish* ": "path ", "keepalive 4s": "keepalive 60s"}
    return caddy(tmp_path / "caddy", changes)


FRONTS = [before_nginx, before_haproxy, before_caddy]


@contextlib.contextmanager
def site(tmp_path, before):
    with (Slackwater(*QUIET, "--publish-token", TOKEN, "--timeout-keep-alive", "60") as server,
          before(tmp_path, server.port) as proxy):
        yield server, proxy


@contextlib.contextmanager
def publishing(port):
    """Publishes over one connection to the proxy, and gives back the status."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        def publish(data):
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
            connection.request("POST", "/publish", json.dumps({"data": data}), headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        yield publish


def upstream_ports(server):
    """The ports from which somebody is connected to the server's, by /proc/net/tcp."""
    rows = [line.split() for line in open("/proc/net/tcp").read().splitlines()[1:]]
    established = [(row[1], row[2]) for row in rows if row[3] == "01"]
    return {int(remote.split(":")[1], 16) for local, remote in established if int(local.split(":")[1], 16) == server.port}


@pytest.mark.parametrize("before", FRONTS)
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_clients_behind_it_keep_their_connections_and_hear_all_once_and_in_order(tmp_path, before, compression):
    with (site(tmp_path, before) as (server, proxy), connect(proxy.ws, compression=compression) as ws,
          publishing(proxy.port) as publish):
        assert next_message(ws)["type"] == "welcome"
        expected, messages = [], []
        for n in range(TIMES):
            assert publish([n, "before"]) == 200
            assert server.hand_over() == 0
            assert publish([n, "after"]) == 200
            expected += [[n, "before"], [n, "after"]]
            messages += heard(ws, 2)
            assert echo(ws, f"after {n}") and hears_nothing_more(ws)
        assert messages == expected
        assert sum("Client connected" in line for line in server.log) == 1


@pytest.mark.parametrize("before", FRONTS)
def test_a_connection_that_it_keeps_for_requests_goes_on(tmp_path, before):
    with site(tmp_path, before) as (server, proxy), connected(proxy.ws, 2), publishing(proxy.port) as publish:
        assert publish("first") == 200
        kept = upstream_ports(server)
        assert len(kept) == 3
        for n in range(TIMES):
            assert server.hand_over() == 0
            assert publish(n) == 200
            assert upstream_ports(server) == kept


@pytest.mark.parametrize("before", FRONTS)
def test_no_newcomer_gets_an_error(tmp_path, before):
    with site(tmp_path, before) as (server, proxy), Newcomers(proxy.ws) as newcomers:
        for _ in range(TIMES):
            came = len(newcomers.welcomes)
            newcomers.wait_for(lambda _: len(newcomers.welcomes) > came + 5)
            server.hand_over()
        newcomers.wait_for(lambda _: True)
        newcomers.stop()
        assert newcomers.errors == []
        # One history from the first to the last.
        assert len({welcome["last_event_id"] for _, welcome in newcomers.welcomes}) == 1


@pytest.mark.parametrize("before", FRONTS)
def test_an_event_stream_behind_it_goes_on(tmp_path, before):
    with site(tmp_path, before) as (server, proxy), publishing(proxy.port) as publish:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) as stream:
            stream.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            came = b""
            while b"id: " not in came:
                came += stream.recv(65536)
            for n in range(TIMES):
                assert publish(f"before {n}") == 200
                server.hand_over()
                assert publish(f"after {n}") == 200
                while f"after {n}".encode() not in came:
                    came += stream.recv(65536)
            said = [came.index(f'"{word} {n}"'.encode()) for n in range(TIMES) for word in ("before", "after")]
            assert said == sorted(said) and came.count(b"data: ") == 2 * TIMES
            assert b"event: " not in came and b"502" not in came.split(b"\r\n")[0]
