"""Slackwater behind nginx, with packaging/nginx.conf."""
import contextlib
import functools
import re
import socket
import subprocess
import time
from unittest import mock
from urllib.parse import urljoin
from urllib.request import urlopen

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from client import connect, connected, echo, hear, heard, next_message
from neighbours import nginx
from programs import free_port
from redeploying import Newcomers, epoch, moved
from slackwater import PATIENCE, Slackwater

QUIET = ("--notify-interval", "0")
PINGED = (*QUIET, "--ws-ping-interval", "0.5")
TOKEN = "a-token"
# What the file says to change for publishers to be let in.
PUBLIC = {"publish|": ""}


def before(tmp_path, first, second=None, changes=None):
    """nginx before servers on these ports; the second is the same unless there is another."""
    ports = {"127.0.0.1:8000": f"127.0.0.1:{first}", "127.0.0.1:8001": f"127.0.0.1:{second or first}"}
    return nginx(tmp_path / "nginx", {**ports, **(changes or {})})


@pytest.mark.parametrize("path", ["/ws", "/slackwater/ws"])
def test_a_websocket_works(tmp_path, path):
    with (Slackwater(*QUIET) as server, before(tmp_path, server.port) as proxy,
          connect(f"ws://127.0.0.1:{proxy.port}{path}") as ws):
        assert hear(ws, "welcome")["topics"] == ["notifications"]
        assert echo(ws, "through nginx") and echo(ws, "x" * 60_000)
        assert ws.ping().wait(PATIENCE)


def test_compression_is_agreed_on_through_it(tmp_path, post):
    flags = (*QUIET, "--ws-per-message-deflate", "--publish-token", TOKEN)
    with (Slackwater(*flags) as server, before(tmp_path, server.port, changes=PUBLIC) as proxy,
          connect(proxy.ws, compression="deflate") as ws):
        assert ws.response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
        hear(ws, "welcome")
        assert echo(ws, "x" * 60_000)
        assert post(proxy.port, "x" * 10_000, TOKEN)[0] == 200
        assert heard(ws, 1) == ["x" * 10_000]


def test_the_page_finds_its_parts_below_a_prefix(tmp_path):
    with Slackwater(*QUIET) as server, before(tmp_path, server.port) as proxy:
        def get(address):
            with urlopen(urljoin(f"http://127.0.0.1:{proxy.port}", address), timeout=PATIENCE) as answer:
                return answer.url, answer.read().decode()

        # Without the slash its parts would be looked for beside the prefix: nginx sends such a browser on.
        address, page = get("/slackwater")
        assert address.endswith("/slackwater/")
        links = re.findall(r' (?:href|src)="([^"]+)"', page)
        assert "app.js" in links
        for part in {urljoin(address, link) for link in (*links, "feed.js", "slackwater.js")}:
            assert part.startswith(address) and get(part)[1]


def test_pings_keep_it_and_without_them_nginx_cuts_who_is_silent(tmp_path):
    changes = {"proxy_read_timeout 60s;": "proxy_read_timeout 2s;"}
    with (Slackwater(*PINGED) as server, before(tmp_path, server.port, changes=changes) as proxy,
          connected(proxy.ws, 1) as [ws]):
        time.sleep(3.5)
        assert echo(ws, "still here")
    with (Slackwater(*QUIET, "--ws-ping-interval", "0") as server,
          before(tmp_path / "unpinged", server.port, changes=changes) as proxy, connected(proxy.ws, 1) as [ws],
          pytest.raises(ConnectionClosed)):
        ws.recv(timeout=PATIENCE)


@pytest.mark.parametrize("path", ["/publish", "/slackwater/publish"])
def test_publishing_needs_the_token(tmp_path, post, path):
    with (Slackwater(*QUIET, "--publish-token", TOKEN) as server,
          before(tmp_path, server.port, changes=PUBLIC) as proxy,
          connected(proxy.ws, 1) as [ws]):
        assert [post(proxy.port, "x", token, path)[0] for token in (None, "a-tokem")] == [401, 401]
        assert post(proxy.port, "heard", TOKEN, path)[0] == 200
        assert heard(ws, 1) == ["heard"]


def test_with_a_door_of_their_own_nothing_of_the_operators_is_behind_nginx(tmp_path, post):
    with (Slackwater(*QUIET, "--admin", str(tmp_path / "admin")) as server,
          before(tmp_path, server.port, changes=PUBLIC) as proxy):
        assert post(proxy.port, "x", TOKEN)[0] == post(proxy.port, "x", TOKEN, "/drain")[0] == 404


@contextlib.contextmanager
def inherited(listening, *flags):
    """A server that is given its listening socket, as by a service manager."""
    popen = functools.partial(subprocess.Popen, pass_fds=[listening.fileno()])
    with mock.patch("slackwater.subprocess.Popen", popen):
        server = Slackwater(*flags, "--fd", str(listening.fileno()))
    with server:
        yield server


def test_a_successor_on_the_same_socket_takes_over_and_no_newcomer_gets_an_error(tmp_path, post):
    flags = (*QUIET, "--publish-token", TOKEN, "--drain-spread", "1", "--state-file", str(tmp_path / "state"))
    with (socket.create_server(("127.0.0.1", 0), backlog=2048) as listening,
          inherited(listening, *flags) as first,
          before(tmp_path, first.port, changes=PUBLIC) as proxy,
          connected(proxy.ws, 3) as clients,
          Newcomers(proxy.ws) as newcomers):
        assert post(proxy.port, "before", TOKEN)[0] == 200
        last_heard = [next_message(ws)["id"] for ws in clients]
        history = last_heard[0].split("-")[0]
        first.signal()
        first.wait_for(r"\[INFO\] Graceful shutdown initiated")
        time.sleep(0.5)  # in which nobody serves: newcomers wait in the socket's queue
        with inherited(listening, *flags) as successor:
            successor.wait_for(r"\[INFO\] Client connected")
            missed = post(proxy.port, "while they stay", TOKEN)[1]["id"]
            for ws, last in zip(clients, last_heard):
                with moved(ws, proxy.ws, last) as (new, welcome, hint):
                    assert (hint["reason"], welcome["resumed"]) == ("server_restart", True)
                    assert hint["after_ms"] <= 1000
                    message = next_message(new)
                    assert (message["id"], message["data"]) == (missed, "while they stay")
            assert first.exit_code() == 0
            newcomers.stop()
            assert newcomers.errors == [] and len(newcomers.welcomes) > 50
            # One history from the first to the last.
            assert {epoch(welcome) for _, welcome in newcomers.welcomes} == {history}


def test_a_successor_on_the_other_port_takes_over_and_no_newcomer_gets_an_error(tmp_path):
    other = free_port()
    with (Slackwater(*QUIET, "--drain-spread", "1") as first, before(tmp_path, first.port, other) as proxy,
          connected(proxy.ws, 1) as [ws], Newcomers(proxy.ws) as newcomers, Slackwater(*QUIET, port=other)):
        newcomers.wait_for(lambda _: True)
        old = epoch(newcomers.welcomes[0][1])
        first.signal()
        with moved(ws, proxy.ws, f"{old}-0") as (_, welcome, hint):
            # Two servers are two histories, unless one leaves its state to the other.
            assert (epoch(welcome) != old, welcome["resumed"]) == (True, False)
        assert first.exit_code() == 0
        newcomers.wait_for(lambda welcome: epoch(welcome) != old)
        newcomers.stop()
        assert newcomers.errors == []


def test_workers_hand_over_and_no_newcomer_gets_an_error(tmp_path, post):
    flags = (*QUIET, "--workers", "2", "--publish-token", TOKEN)
    with (Slackwater(*flags) as server, before(tmp_path, server.port, changes=PUBLIC) as proxy,
          connected(proxy.ws, 4) as clients, Newcomers(proxy.ws) as newcomers):
        assert post(proxy.port, "before", TOKEN)[0] == 200
        while len(newcomers.welcomes) <= 50:
            server.hand_over()
        assert post(proxy.port, "after", TOKEN)[0] == 200
        for ws in clients:
            assert [next_message(ws)["data"] for _ in range(2)] == ["before", "after"]
        newcomers.stop()
        assert newcomers.errors == [] and len(newcomers.welcomes) > 50


def test_without_a_server_a_newcomer_is_told(tmp_path):
    with before(tmp_path, free_port()) as proxy, pytest.raises(InvalidStatus) as refused, connect(proxy.ws):
        pass
    assert refused.value.response.status_code == 502
