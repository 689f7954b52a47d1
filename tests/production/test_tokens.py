"""Tokens through the proxies of packaging/: by each way, and not into their logs."""
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from client import connect, echo, hear
from neighbours import caddy, haproxy, nginx
from programs import wait_until
from slackwater import PATIENCE, Slackwater
from tokens import BY_SECRET, WAYS, bearer, granting

QUIET = ("--notify-interval", "0")


def before_nginx(tmp_path, port, changes=None):
    ports = {"127.0.0.1:8000": f"127.0.0.1:{port}", "127.0.0.1:8001": f"127.0.0.1:{port}"}
    return nginx(tmp_path / "nginx", {**ports, **(changes or {})})


def before_haproxy(tmp_path, port, changes=None):
    ports = {"127.0.0.1:8000 port 9000": f"127.0.0.1:{port}", "127.0.0.1:8001 port 9001": f"127.0.0.1:{port}"}
    return haproxy(tmp_path / "haproxy", {**ports, **(changes or {})})


def before_caddy(tmp_path, port, changes=None):
    ports = {"127.0.0.1:8000": f"127.0.0.1:{port}", "127.0.0.1:8001": f"127.0.0.1:{port}"}
    return caddy(tmp_path / "caddy", {**ports, **(changes or {})})


FRONTS = {
    "nginx": (before_nginx, {"publish|": ""}),
    "haproxy": (before_haproxy, {"path_beg /publish ": "path_beg "}),
    "caddy": (before_caddy, {"path /publish* ": "path "}),
}


@pytest.fixture(params=FRONTS)
def front(request):
    return FRONTS[request.param][0]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_token_goes_through_by_each_way_and_so_does_what_it_does_not_grant(tmp_path, front, workers):
    flags = (*QUIET, "--workers", workers, *BY_SECRET, "--log-level", "debug")
    with Slackwater(*flags) as server, front(tmp_path, server.port) as proxy:
        shown = []
        for way in WAYS.values():
            shown.append(granting("orders/*", way=len(shown)))
            options, query = way(shown[-1])
            with connect(f"{proxy.ws}{query or '?'}&topic=orders/7", **options) as ws:
                assert hear(ws, "welcome")["topics"] == ["orders/7"]
                assert ws.subprotocol == ("slackwater" if "subprotocols" in options else None)
            with pytest.raises(InvalidStatus) as refused, connect(f"{proxy.ws}{query or '?'}&topic=news", **options):
                pass
            assert refused.value.response.status_code == 403
        with pytest.raises(InvalidStatus) as refused, connect(proxy.ws):
            pass
        assert (refused.value.response.status_code, refused.value.response.headers["WWW-Authenticate"]) == (401, "Bearer")
        logs = "\n".join([*server.log, proxy.said()])
        assert not any(token.split(".")[2] in logs for token in shown)


def test_the_access_log_of_nginx_shows_no_token(tmp_path):
    token = granting("*")
    with Slackwater(*QUIET, *BY_SECRET) as server, before_nginx(tmp_path, server.port) as proxy:
        for way in WAYS.values():
            options, query = way(token)
            with connect(f"{proxy.ws}{query}", **options) as ws:
                hear(ws, "welcome")
        log = tmp_path / "nginx" / "access.log"
        lines = wait_until(lambda: log.read_text().count("\n") == len(WAYS) and log.read_text(), log.read_text)
        assert lines.count('"GET /ws" 101 ') == len(WAYS)
        assert token.split(".")[2] not in lines and "token" not in lines


@pytest.mark.parametrize("front, opened", FRONTS.values(), ids=FRONTS)
def test_publishers_with_a_token_are_let_in_where_the_file_says_how(tmp_path, post, front, opened):
    with (Slackwater(*QUIET, *BY_SECRET) as server, front(tmp_path, server.port, opened) as proxy,
          connect(proxy.ws, **bearer(granting("*"))) as ws):
        hear(ws, "welcome")
        tokens = [None, granting("*"), granting(publish=["notifications"], lasts=-1), granting(publish=["notifications"])]
        assert [post(proxy.port, "heard", token)[0] for token in tokens] == [401, 403, 401, 200]
        assert hear(ws, "notification")["data"] == "heard"


def test_behind_a_proxy_a_client_whose_token_expires_is_closed_with_4004(tmp_path, front):
    expires = time.time() + 3
    with (Slackwater(*QUIET, *BY_SECRET) as server, front(tmp_path, server.port) as proxy,
          connect(proxy.ws, **bearer(granting("*", exp=expires))) as brief,
          connect(proxy.ws, **bearer(granting("*"))) as ws):
        hear(brief, "welcome")
        with pytest.raises(ConnectionClosed) as closed:
            brief.recv(timeout=PATIENCE)
        assert (closed.value.rcvd.code, closed.value.rcvd_then_sent) == (4004, True)
        assert echo(ws, "still here")
