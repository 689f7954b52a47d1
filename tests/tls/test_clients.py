"""curl and Python speak https and wss as they speak in plain."""
import json
import socket
import subprocess

import pytest

from authority import AUTHORITY
from client import hear, heard, listening, next_message
from curl import curl, run_curl
from slackwater import PATIENCE

CA = ("--cacert", str(AUTHORITY.certificate))


def post(server, topic, data):
    body = json.dumps({"topic": topic, "data": data})
    answer = curl(*CA, "--json", body, f"{server.http}/publish")
    assert answer.status == 200, answer
    return answer.json["id"]


@pytest.mark.parametrize("version", [("--tlsv1.3",), ("--tls-max", "1.2")])
def test_curl_is_answered_over_https_and_over_a_connection_that_is_kept(each, version):
    assert curl(*CA, *version, f"{each.http}/healthz").json == {"status": "ok"}
    said = run_curl(*CA, *version, "--write-out", "%{num_connects} ", "--output", "/dev/null", f"{each.http}/",
                    "--output", "/dev/null", f"{each.http}/app.js")
    assert said.split() == ["1", "0"]


def test_curl_does_not_believe_a_certificate_of_nobody_it_knows(server):
    with pytest.raises(subprocess.CalledProcessError) as failure:
        curl(f"{server.http}/healthz")
    assert failure.value.returncode == 60


def test_whoever_asks_by_http_is_told_in_plain_that_tls_is_spoken(server):
    answer = curl(f"http://127.0.0.1:{server.port}/healthz")
    assert answer.status == 400
    assert "https" in answer.json["error"] and "TLS" in answer.json["error"]
    # Content that nobody asked for would be taken for the next answer.
    address = ("127.0.0.1", server.port)
    with socket.create_connection(address, PATIENCE) as plain, plain.makefile("rb") as heard:
        plain.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, end, content = heard.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and (end, content) == (b"\r\n\r\n", b"")


def test_what_is_published_over_https_is_heard_over_wss_and_by_an_event_stream(each):
    first = post(each, "clients", "first")
    with listening(each, "clients", after=first, ssl=AUTHORITY.context()) as (ws, welcome):
        assert welcome["type"] == "welcome"
        second = post(each, "clients", "second")
        assert next_message(ws)["id"] == second
        # An event stream of what follows the first, until two events have come.
        command = ["curl", "--silent", "--no-buffer", "--noproxy", "*", "--max-time", str(PATIENCE), *CA,
                   "--header", f"Last-Event-ID: {first}", f"{each.http}/events?topic=clients"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stream:
            third = post(each, "clients", "third")
            ids = []
            while ids[-1:] != [third]:
                line = stream.stdout.readline()
                assert line, "the stream goes on"
                if line.startswith("id:"):
                    ids.append(line[3:].strip())
            stream.kill()
        assert ids[-2:] == [second, third]
        assert next_message(ws)["id"] == third


def test_a_client_that_comes_back_over_wss_is_brought_what_it_missed(server):
    with listening(server, "missed", ssl=AUTHORITY.context()) as (_, welcome):
        pass
    posted = [post(server, "missed", number) for number in range(5)]
    with listening(server, "missed", after=posted[0], ssl=AUTHORITY.context()) as (ws, _):
        assert heard(ws, 4) == [1, 2, 3, 4]


def test_large_messages_go_both_ways_over_many_records(server):
    with listening(server, "large", ssl=AUTHORITY.context()) as (ws, _):
        text = "0123456789" * 6000
        for _ in range(10):
            ws.send(text)
        for _ in range(10):
            assert hear(ws, "echo")["message"] == f"Server received: {text}"
