"""Slackwater behind HAProxy, with packaging/haproxy.cfg."""
import contextlib
import signal
import time

import pytest
from websockets.exceptions import ConnectionClosed

from client import connect, connected, echo, hear, heard
from neighbours import haproxy
from programs import free_port, wait_until
from redeploying import Newcomers, epoch, moved
from slackwater import PATIENCE, Slackwater

QUIET = ("--notify-interval", "0")
TOKEN = "a-token"


class Site:
    """Two servers, each with a door for operators, and HAProxy before them."""

    def __init__(self, tmp_path, *flags, changes=None):
        # The servers first: what they log tells of them, also where they do not start.
        self.admins = [free_port(), free_port()]
        with contextlib.ExitStack() as started:
            self.blue, self.green = (
                started.enter_context(Slackwater(*QUIET, "--admin", f"127.0.0.1:{admin}", *flags)) for admin in self.admins)
            ports = {
                "127.0.0.1:8000 port 9000": f"127.0.0.1:{self.blue.port} port {self.admins[0]}",
                "127.0.0.1:8001 port 9001": f"127.0.0.1:{self.green.port} port {self.admins[1]}",
                "check inter 1s": "check inter 200ms",
            }
            self.proxy = started.enter_context(haproxy(tmp_path / "haproxy", {**ports, **(changes or {})}))
            # Until here whatever has started ends where something fails.
            self._all = started.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self._all.__exit__(*why)


def test_a_websocket_works(tmp_path):
    with Site(tmp_path) as site, connected(site.proxy.ws, 1) as [ws]:
        assert echo(ws, "through HAProxy") and echo(ws, "x" * 60_000)
        assert ws.ping().wait(PATIENCE)
        site.blue.wait_for(r"\[INFO\] Client connected")


def test_compression_is_agreed_on_through_it(tmp_path, post):
    with (Site(tmp_path, "--publish-token", TOKEN, "--ws-per-message-deflate") as site,
          connect(site.proxy.ws, compression="deflate") as ws):
        assert ws.response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
        hear(ws, "welcome")
        assert echo(ws, "x" * 60_000)
        assert post(site.admins[0], "x" * 10_000, TOKEN)[0] == 200
        assert heard(ws, 1) == ["x" * 10_000]


def test_pings_keep_it_and_without_them_haproxy_cuts_who_is_silent(tmp_path):
    changes = {"timeout tunnel 60s": "timeout tunnel 2s"}
    with Site(tmp_path, "--ws-ping-interval", "0.5", changes=changes) as site, connected(site.proxy.ws, 1) as [ws]:
        time.sleep(3.5)
        assert echo(ws, "still here")
    with (Site(tmp_path / "unpinged", "--ws-ping-interval", "0", changes=changes) as site,
          connected(site.proxy.ws, 1) as [ws], pytest.raises(ConnectionClosed)):
        ws.recv(timeout=PATIENCE)


def test_publishing_is_behind_the_door_for_operators_and_needs_the_token(tmp_path, post):
    with Site(tmp_path, "--publish-token", TOKEN) as site, connected(site.proxy.ws, 1) as [ws]:
        assert post(site.proxy.port, "x", TOKEN)[0] == 404
        assert [post(site.admins[0], "x", token)[0] for token in (None, TOKEN)] == [401, 200]
        assert hear(ws, "notification")["data"] == "x"


def test_who_drains_is_marked_down_before_it_stops_accepting_and_no_newcomer_gets_an_error(tmp_path):
    flags = ("--drain-delay", "1.5", "--drain-spread", "1")
    with Site(tmp_path, *flags) as site, connected(site.proxy.ws, 3) as clients, Newcomers(site.proxy.ws) as newcomers:
        newcomers.wait_for(lambda _: True)
        blue = epoch(newcomers.welcomes[0][1])
        signalled = time.monotonic()
        site.blue.signal()
        wait_until(lambda: "slackwater/blue is DOWN" in site.proxy.said(), site.proxy.said)
        marked_down = time.monotonic()
        newcomers.wait_for(lambda welcome: epoch(welcome) != blue)
        # It accepts still: nobody was sent away.
        assert not any("Graceful shutdown initiated" in line for line in site.blue.log)
        assert all(echo(ws, "those who are there stay") for ws in clients)
        for ws in clients:
            with moved(ws, site.proxy.ws, f"{blue}-0") as (new, welcome, hint):
                assert hint["after_ms"] <= 1000
                assert epoch(welcome) != blue and echo(new, "on green")
        assert site.blue.exit_code() == 0
        newcomers.stop()
        assert newcomers.errors == []
        came_to_blue = [when for when, welcome in newcomers.welcomes if epoch(welcome) == blue]
        assert max(came_to_blue) < marked_down + 0.1
        assert "503" in site.proxy.said()
        # Twice an interval, and not the end of the delay.
        assert marked_down - signalled < 1.5


def test_who_is_back_is_given_newcomers_again(tmp_path):
    with Site(tmp_path) as site, Newcomers(site.proxy.ws) as newcomers:
        newcomers.wait_for(lambda _: True)
        blue = epoch(newcomers.welcomes[0][1])
        # Without a delay nobody is told in time: who has come to blue too late is answered 503, and tried with green.
        site.blue.signal(signal.SIGSTOP)
        time.sleep(0.1)
        site.blue.signal()
        site.blue.signal(signal.SIGCONT)
        assert site.blue.exit_code() == 0
        newcomers.wait_for(lambda welcome: epoch(welcome) != blue)
        green = epoch(newcomers.welcomes[-1][1])
        wait_until(lambda: "slackwater/blue is DOWN" in site.proxy.said(), site.proxy.said)
        with Slackwater(*QUIET, "--admin", f"127.0.0.1:{site.admins[0]}", port=site.blue.port):
            newcomers.wait_for(lambda welcome: epoch(welcome) not in (blue, green))
            newcomers.stop()
        assert newcomers.errors == []
