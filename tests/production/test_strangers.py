"""Slackwater without a token behind the proxies of packaging/ and of the guide: what is for operators stays on its machine."""
import contextlib
import socket

import pytest

from client import connected, echo
from neighbours import caddy, haproxy, nginx, quoted
from slackwater import PATIENCE, Slackwater

GUARDED = ["POST /publish", "POST /drain", "GET /status", "GET /metrics", "POST /publish?topic=x", "POST //publish",
           "POST /%70ublish", "POST /x/../publish", "POST /./drain", "POST /publish#x", "POST /publish/", "POST /PUBLISH",
           "POST http://localhost/publish", "POST http://localhost//drain", "POST *://y/publish", "POST foo?x://y/publish",
           "GET /metrics?x", "GET /%2e/status", "HEAD /status"]
HOSTS = ["Host: example.com", "Host: localhost", "Host: 127.0.0.1:8000", "Host: [::1]", "Host: LOCALHOST.", None,
         "Host: localhost\r\nX-Forwarded-For:", "Host: localhost\r\nConnection: X-Forwarded-For, close"]


def before_nginx(tmp_path, port, text, is_open):
    changes = {"127.0.0.1:8000": f"127.0.0.1:{port}", "127.0.0.1:8001": f"127.0.0.1:{port}"}
    if is_open:
        changes["(publish|drain|status|metrics)"] = "nothing"
    return nginx(tmp_path / "nginx", changes, text)


def before_haproxy(tmp_path, port, text, is_open):
    changes = {"127.0.0.1:8000 port 9000": f"127.0.0.1:{port}", "127.0.0.1:8001 port 9001": f"127.0.0.1:{port}"}
    if is_open:
        changes["/publish /drain /status /metrics"] = "/nothing"
    return haproxy(tmp_path / "haproxy", changes, text)


def before_caddy(tmp_path, port, text, is_open):
    changes = {"127.0.0.1:8000": f"127.0.0.1:{port}", "127.0.0.1:8001": f"127.0.0.1:{port}"}
    if is_open:
        changes["/publish* /drain* /status* /metrics*"] = "/nothing"
    return caddy(tmp_path / "caddy", changes, text)


FRONTS = {"nginx": before_nginx, "haproxy": before_haproxy, "caddy": before_caddy}


@pytest.fixture(params=FRONTS)
def front(request):
    return FRONTS[request.param]


@pytest.fixture(params=["packaging", "guide"])
def text(request, front):
    [language] = [name for name, known in FRONTS.items() if known is front]
    return None if request.param == "packaging" else quoted(language)


def status(port, what, fields):
    """What is answered to this method and target, with these fields: in HTTP/1.0 if there are none."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as stream:
        head = f"{what} HTTP/1.1\r\n{fields}\r\n" if fields else f"{what} HTTP/1.0\r\n"
        ending = "" if fields and "Connection:" in fields else "Connection: close\r\n"
        body = "Content-Length: 1\r\n\r\nx" if what.startswith("POST ") else "\r\n"
        stream.sendall(f"{head}{ending}{body}".encode())
        with contextlib.suppress(ConnectionResetError):
            return int(stream.makefile("rb").readline().split()[1])
        return 0


@pytest.mark.parametrize("is_open", [False, True], ids=["as it is", "without what closes it"])
def test_nobody_publishes_drains_or_looks_from_elsewhere(tmp_path, front, text, is_open):
    with Slackwater("--notify-interval", "0") as server, front(tmp_path, server.port, text, is_open) as proxy:
        for what in GUARDED:
            for prefix in ["", "/slackwater"] if front is before_nginx and " /" in what else [""]:
                for fields in HOSTS:
                    asked = what.replace(" /", f" {prefix}/", 1)
                    assert status(proxy.port, asked, fields) in (400, 403, 404), (asked, fields)
        # Clients and probes are served.
        for path in ["/", "/slackwater.js", "/healthz", "/readyz"]:
            assert status(proxy.port, f"GET {path}", "Host: example.com") == 200
        with connected(proxy.ws, 1) as [ws]:
            assert echo(ws, "still there")
        assert status(server.port, "POST /publish", "Host: localhost") == 200
        assert not any("Shutdown" in line for line in server.log)


def upgraded(port, host, origin, path="/ws"):
    """What a browser is answered that asks for a WebSocket by this name, for a page of this origin."""
    fields = (f"Host: {host}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
    return status(port, f"GET {path}", fields)


def test_through_a_proxy_the_page_of_its_own_name_listens_and_no_other(tmp_path, front, text):
    with (Slackwater("--notify-interval", "0", "--allowed-origin", "https://*.pages.example") as server,
          front(tmp_path, server.port, text, False) as proxy):
        for path in ["/ws", "/slackwater/ws"] if front is before_nginx else ["/ws"]:
            for host, origin, expected in [
                ("app.example.com", "http://app.example.com", 101),
                ("app.example.com", "https://app.example.com", 101),
                ("app.example.com:8443", "https://app.example.com:8443", 101),
                ("app.example.com", "https://my.pages.example", 101),
                ("app.example.com", "https://pages.example", 403),
                ("app.example.com", "https://evil.example", 403),
                ("app.example.com", "http://localhost:3000", 403),
                ("app.example.com", "null", 403),
            ]:
                assert upgraded(proxy.port, host, origin, path) == expected, (host, origin)
        # Without the proxy that name was rebound to this machine.
        assert upgraded(server.port, "app.example.com", "http://app.example.com") == 403
        server.wait_for(r"\[WARNING\] Refused a page of the origin http://app.example.com, which .*X-Forwarded-For")
        server.wait_for(r"\[WARNING\] Refused a page of the origin https://evil.example: .* --allowed-origin https://evil")


def test_through_a_proxy_an_event_stream_is_for_its_own_page_and_for_programs(tmp_path, front, text):
    with Slackwater("--notify-interval", "0") as server, front(tmp_path, server.port, text, False) as proxy:
        # A browser names no origin when a page asks its own server.
        for fields, expected in [
            ("Host: app.example.com", 200),
            ("Host: app.example.com\r\nOrigin: http://app.example.com", 200),
            ("Host: app.example.com\r\nOrigin: https://evil.example", 403),
            ("Host: app.example.com\r\nOrigin: http://localhost:3000", 403),
        ]:
            assert status(proxy.port, "GET /events", f"{fields}\r\n") == expected, fields
        # Without the proxy that name was rebound to this machine, whatever the page adds.
        for fields in ["", "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\n"]:
            assert status(server.port, "GET /events", f"Host: app.example.com\r\n{fields}") == 403
