"""What curl sees of Slackwater's HTTP side. Publishing is in test_publish.py."""
import json
import socket

import pytest

from curl import curl, run_curl
from slackwater import PATIENCE


def test_healthz_answers(server):
    assert curl(f"{server.http}/healthz").status == 200


def test_the_root_is_a_page(server):
    page = curl(f"{server.http}/")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert int(page.headers["content-length"]) == len(page.body.encode())
    assert "<html" in page.body.lower()


def test_an_unchanged_page_is_not_sent_again(server):
    etag = curl(f"{server.http}/").headers["etag"]
    again = curl(f"{server.http}/", "--header", f"If-None-Match: {etag}")
    assert (again.status, again.headers["etag"], again.body) == (304, etag, "")
    assert curl(f"{server.http}/", "--header", 'If-None-Match: "of another page"').status == 200


@pytest.mark.parametrize("path", ["/", "/healthz"])
def test_head_has_the_headers_of_get_and_no_body(server, path):
    get, head = curl(server.http + path), curl(server.http + path, "--head")
    assert (head.status, head.body) == (200, "")
    for name in ("content-type", "content-length"):
        assert head.headers[name] == get.headers[name]


def test_an_unknown_path_is_a_404_in_json(server):
    answer = curl(f"{server.http}/nowhere")
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("application/json")
    assert isinstance(json.loads(answer.body), dict)


@pytest.mark.parametrize("path", ["/", "/healthz", "/ws"])
def test_a_wrong_method_is_a_405_that_says_which_is_right(server, path):
    answer = curl(server.http + path, "--request", "DELETE")
    assert answer.status == 405
    assert "GET" in answer.headers["allow"].split(", ")
    assert isinstance(json.loads(answer.body), dict)


def test_a_connection_is_kept_for_the_next_request(server):
    told = run_curl("--output", "/dev/null", "--output", "/dev/null", "--write-out", "%{http_code} after %{num_connects}\n",
                    f"{server.http}/healthz", f"{server.http}/")
    assert told.splitlines() == ["200 after 1", "200 after 0"]


def test_pipelined_requests_are_answered_in_order(server):
    # curl gave pipelining up, so these two are written by hand.
    requests = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as peer:
        peer.sendall(requests)
        answers = peer.makefile("rb").read()
    assert [line.split()[1] for line in answers.split(b"\r\n") if b"HTTP/1.1 " in line] == [b"200", b"404"]


def test_http_1_0_is_answered_and_closed(server):
    answer = curl(f"{server.http}/healthz", "--http1.0")
    assert answer.status == 200
    assert answer.headers.get("connection", "close") == "close"


def test_another_websocket_version_is_told_the_right_one(server):
    answer = curl(f"{server.http}/ws", "--header", "Connection: Upgrade", "--header", "Upgrade: websocket",
                  "--header", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "--header", "Sec-WebSocket-Version: 8")
    assert answer.status == 426
    assert answer.headers["sec-websocket-version"] == "13"
