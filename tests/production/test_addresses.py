"""How many connections one address may have, behind proxies that say whose each is."""
import contextlib
import http.client

import pytest
from websockets.exceptions import InvalidStatus

from client import connect, echo, hear
from neighbours import caddy, haproxy, nginx
from slackwater import PATIENCE, Slackwater

ONE_EACH = ("--notify-interval", "0", "--limit-per-ip", "1")
CLIENTS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")


def joined(stack, proxy, source, **options):
    """A client from this address of the machine."""
    ws = stack.enter_context(connect(proxy.ws, source_address=(source, 0), **options))
    hear(ws, "welcome")
    return ws


def assert_each_has_one(proxy):
    """Each address has one connection, and pretends in vain to be another."""
    with contextlib.ExitStack() as stack:
        clients = [joined(stack, proxy, source) for source in CLIENTS]
        for source in CLIENTS:
            for pretended in ({}, {"X-Forwarded-For": "203.0.113.9"}):
                with pytest.raises(InvalidStatus) as refused:
                    joined(stack, proxy, source, additional_headers=pretended)
                assert refused.value.response.status_code == 429
                assert refused.value.response.headers["Retry-After"] == "5"
        assert all(echo(ws, "still here") for ws in clients)


def before(server, changes=None):
    return {"127.0.0.1:8000": f"127.0.0.1:{server.port}", "127.0.0.1:8001": f"127.0.0.1:{server.port}", **(changes or {})}


@pytest.mark.parametrize("kept", ["", "keepalive 4;"])
def test_nginx_names_the_client_in_a_field(tmp_path, kept):
    changes = {"max_fails=0 backup;": f"max_fails=0 backup; {kept}"}
    with Slackwater(*ONE_EACH, "--proxy-headers") as server, nginx(tmp_path / "nginx", before(server, changes)) as proxy:
        assert_each_has_one(proxy)


def test_haproxy_names_the_client_in_a_field(tmp_path):
    changes = {" port 9000": "", " port 9001": ""}
    with Slackwater(*ONE_EACH, "--proxy-headers") as server, haproxy(tmp_path / "haproxy", before(server, changes)) as proxy:
        assert_each_has_one(proxy)


def test_caddy_names_the_client_in_a_field(tmp_path):
    with Slackwater(*ONE_EACH, "--proxy-headers") as server, caddy(tmp_path / "caddy", before(server)) as proxy:
        assert_each_has_one(proxy)


@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2"])
def test_haproxy_names_the_client_by_the_proxy_protocol(tmp_path, version):
    changes = {" port 9000": f" {version}", " port 9001": f" {version}", "check inter 1s": "check inter 200ms"}
    with Slackwater(*ONE_EACH, "--proxy-protocol") as server, haproxy(tmp_path / "haproxy", before(server, changes)) as proxy:
        assert_each_has_one(proxy)
        # Its health checks are its own.
        assert "DOWN" not in proxy.said()


def test_behind_two_proxies_the_field_is_read_from_the_right(tmp_path):
    with (Slackwater(*ONE_EACH, "--proxy-headers") as server, nginx(tmp_path / "nginx", before(server)) as inner,
          haproxy(tmp_path / "haproxy", {"127.0.0.1:8000 port 9000": f"127.0.0.1:{inner.port}",
                                         "127.0.0.1:8001 port 9001": f"127.0.0.1:{inner.port}"}) as outer):
        assert_each_has_one(outer)


@pytest.mark.parametrize("front, changes", [(nginx, {}), (haproxy, {" port 9000": "", " port 9001": ""})],
                         ids=["nginx", "haproxy"])
def test_how_often_an_address_connects_is_counted_behind_a_proxy_too(tmp_path, front, changes):
    burst = 10
    with (Slackwater("--notify-interval", "0", "--limit-connect-rate", "0.1", "--proxy-headers") as server,
          front(tmp_path / "front", before(server, changes)) as proxy):
        for source in CLIENTS:
            with pytest.raises(InvalidStatus) as refused:
                for attempt in range(10 * burst):
                    with contextlib.ExitStack() as stack:
                        joined(stack, proxy, source)
            assert attempt >= burst
            assert refused.value.response.status_code == 429
            assert 1 <= int(refused.value.response.headers["Retry-After"]) <= 10


def test_requests_on_connections_that_nginx_keeps_are_no_new_ones(tmp_path):
    changes = {"max_fails=0 backup;": "max_fails=0 backup; keepalive 16; keepalive_timeout 4s;"}
    with (Slackwater("--notify-interval", "0", "--limit-connect-rate", "0.1", "--proxy-headers") as server,
          nginx(tmp_path / "nginx", before(server, changes)) as proxy):
        statuses = []
        for _ in range(30):
            client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE)
            client.request("GET", "/")
            statuses.append(client.getresponse().status)
            client.close()
        assert statuses == [200] * 30
