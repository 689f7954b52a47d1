"""Slackwater behind Caddy, with packaging/Caddyfile."""
import contextlib
import time
from urllib.request import Request, urlopen

from client import connect, connected, echo, hear, heard
from neighbours import caddy
from programs import wait_until
from redeploying import Newcomers, epoch, moved
from slackwater import PATIENCE, Slackwater

QUIET = ("--notify-interval", "0")
TOKEN = "a-token"
# What the file says to change for publishers to be let in.
PUBLIC = {"path /publish* ": "path "}


def before(tmp_path, first, second=None, changes=None):
    """Caddy before servers on these ports; the second is the same unless there is another."""
    ports = {"127.0.0.1:8000": f"127.0.0.1:{first}", "127.0.0.1:8001": f"127.0.0.1:{second or first}",
             "health_interval 1s": "health_interval 200ms"}
    return caddy(tmp_path / "caddy", {**ports, **(changes or {})})


def test_a_websocket_works(tmp_path, post):
    flags = (*QUIET, "--ws-per-message-deflate", "--publish-token", TOKEN)
    with (Slackwater(*flags) as server, before(tmp_path, server.port, changes=PUBLIC) as proxy,
          connect(proxy.ws, compression="deflate") as ws):
        assert ws.response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
        assert hear(ws, "welcome")["topics"] == ["notifications"]
        assert echo(ws, "through Caddy") and echo(ws, "x" * 60_000)
        assert ws.ping().wait(PATIENCE)
        assert [post(proxy.port, "x", token)[0] for token in (None, TOKEN)] == [401, 200]
        assert heard(ws, 1) == ["x"]


def test_an_event_stream_comes_as_it_is_said(tmp_path, post):
    with (Slackwater(*QUIET) as server, before(tmp_path, server.port) as proxy,
          urlopen(Request(f"{proxy.http}/events"), timeout=PATIENCE) as stream):
        assert stream.readline() == b":\n"
        assert post(server.port, "at once")[0] == 200
        assert any(b"at once" in stream.readline() for _ in range(6))


def test_a_redeploy_in_turn_is_noticed_by_nobody(tmp_path):
    with contextlib.ExitStack() as started:
        flags = (*QUIET, "--drain-delay", "2", "--drain-spread", "0.5")
        blue, green = (started.enter_context(Slackwater(*flags)) for _ in range(2))
        proxy = started.enter_context(before(tmp_path, blue.port, green.port))
        newcomers = started.enter_context(Newcomers(proxy.ws))
        [ws] = started.enter_context(connected(proxy.ws, 1))
        newcomers.wait_for(lambda _: True)
        first = epoch(newcomers.welcomes[0][1])
        signalled = time.monotonic()
        blue.signal()
        newcomers.wait_for(lambda welcome: epoch(welcome) != first)
        with moved(ws, proxy.ws, newcomers.welcomes[0][1]["last_event_id"]) as (new, welcome, _):
            assert epoch(welcome) != first and echo(new, "moved")
        newcomers.stop()
        assert newcomers.errors == []
        # By its health and not by trying in vain: nobody was welcomed there when it had begun to drain.
        assert max(begun for begun, welcome in newcomers.welcomes if epoch(welcome) == first) < signalled + 1.5
        wait_until(lambda: blue.ended, "blue has not ended")
        assert blue.exit_code() == 0
