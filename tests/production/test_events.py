"""Event streams behind nginx and HAProxy, with the files of packaging/, and as the guide's programs read them."""
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from urllib.request import Request, urlopen

import httpx
import httpx_sse
import pytest

from neighbours import DOCS, adapted, haproxy, nginx
from programs import free_port, wait_until
from slackwater import PATIENCE, Slackwater
from streams import END, Reader, by_httpx

QUIET = ("--notify-interval", "0")
SECTION = (DOCS / "event-streams.md").read_text()


def before_nginx(tmp_path, server_port, changes=None, port=None):
    ports = {"127.0.0.1:8000": f"127.0.0.1:{server_port}", "127.0.0.1:8001": f"127.0.0.1:{server_port}"}
    return nginx(tmp_path / "nginx", {**ports, **(changes or {})}, port=port)


def before_haproxy(tmp_path, port, changes=None):
    servers = {"127.0.0.1:8000 port 9000": f"127.0.0.1:{port}", "127.0.0.1:8001 port 9001": f"127.0.0.1:{port}"}
    return haproxy(tmp_path / "haproxy", {**servers, **(changes or {})})


@contextlib.contextmanager
def stream(url, last_id=""):
    """The events of a stream, with those that hold nothing but an id."""
    with (httpx.Client(timeout=3 * PATIENCE, trust_env=False) as client,
          httpx_sse.connect_sse(client, "GET", url, headers={"Last-Event-ID": last_id}) as source):
        assert source.response.status_code == 200
        yield source.iter_sse()


def publish(server, data, topic="orders/1"):
    headers = {"Content-Type": "application/json"}
    request = Request(f"{server.http}/publish?topic={topic}", json.dumps(data, separators=(",", ":")).encode(), headers)
    with urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)["id"]


def next_data(events):
    event = next(event for event in events if event.data)
    assert event.event == "message"
    return json.loads(event.data)["data"]


class Printed:
    """What a program prints, line by line, until it is ended."""

    def __init__(self, folder, *command):
        self.file = folder / "printed"
        with self.file.open("wb") as out:
            env = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_PROXY": "*"}
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env)

    def lines(self):
        return self.file.read_text().splitlines()

    def wait_for(self, text):
        wait_until(lambda: any(text in line for line in self.lines()), self.file.read_text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def shown(language, port):
    """What the guide shows in this language, for a server at this port."""
    [text] = re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    return adapted(text, {":8000": f":{port}"})


def test_curl_shows_what_the_guide_shows(tmp_path):
    def like(text):
        """What differs from time to time."""
        return [re.sub(r"[0-9a-f]{8}-\d+|retry: \d+|\d{4}-\d\d-.*?Z", "…", line) for line in text]
    with Slackwater(*QUIET) as server:
        command, *wanted = shown("console", server.port).splitlines()
        with Printed(tmp_path, "bash", "-c", "exec " + command.removeprefix("$ ") + " -s") as curl:
            curl.wait_for("id: ")
            publish(server, {"state": "paid"}, "orders/7")
            curl.wait_for("data: ")
            wait_until(lambda: len(curl.lines()) > len(wanted), curl.lines)
            assert like(curl.lines()) == like([*wanted, ""])


def test_the_guides_program_hears_everything_once_whatever_becomes_of_its_servers(tmp_path):
    flags = (*QUIET, "--drain-spread", "0.5", "--state-file", str(tmp_path / "state"))
    with Slackwater(*flags) as first, before_nginx(tmp_path, first.port) as proxy:
        with Printed(tmp_path, sys.executable, "-c", shown("python", proxy.port)) as program:
            wait_until(lambda: "\nslackwater_event_streams 1.0" in metrics(first), program.lines)
            publish(first, 1)
            program.wait_for("'data': 1")
            first.signal()
            assert first.exit_code() == 0
            program.wait_for("text/event-stream")  # nginx has answered 502: it has said so, and tries again
            with Slackwater(*flags, port=first.port) as second:
                publish(second, 2)
                program.wait_for("'data': 2")
                publish(second, 3)
                program.wait_for("'data': 3")
                second.kill()
            with Slackwater(*QUIET, port=first.port) as third:
                program.wait_for("something may have been missed")
                publish(third, 4)
                program.wait_for("'data': 4")
            assert re.findall(r"'data': (\d)", "".join(program.lines())) == ["1", "2", "3", "4"]


def metrics(server):
    return urlopen(f"{server.http}/metrics", timeout=PATIENCE).read().decode()


@pytest.mark.parametrize("before, path", [
    (before_nginx, "/events"), (before_nginx, "/slackwater/events"), (before_haproxy, "/events")])
def test_a_stream_is_passed_on_as_it_comes_and_resumes(tmp_path, before, path):
    with Slackwater(*QUIET) as server, before(tmp_path, server.port) as proxy:
        url = f"{proxy.http}{path}?topic=orders/*"
        with stream(url) as events:
            assert next(events).id.endswith("-0")
            for number in range(5):
                last_id = publish(server, f"number {number}")
                assert next_data(events) == f"number {number}"
        publish(server, "missed")
        with stream(url, last_id) as events:
            assert next(events).id == last_id
            assert next_data(events) == "missed"
        with stream(url, "ffffffff-1") as events:
            assert next(event.event for event in events if event.data) == "gap"


@pytest.mark.parametrize("before", [before_nginx, before_haproxy])
def test_through_a_hand_over_and_a_restart_nothing_is_missed_and_nothing_comes_twice(tmp_path, before):
    flags = (*QUIET, "--drain-spread", "1", "--state-file", str(tmp_path / "state"))
    with Slackwater(*flags, "--workers", "2") as first, before(tmp_path, first.port) as proxy:
        readers = [Reader(by_httpx, f"{proxy.http}/events?topic=orders/*") for _ in range(10)]
        for reader in readers:
            reader.start()
        wait_until(lambda: sum(map(float, re.findall(r"^slackwater_event_streams\{.*\} (.*)$", metrics(first), re.M))) == 10,
                   lambda: metrics(first))
        numbers = iter(range(1000))

        def publish_some(server):
            for _ in range(100):
                publish(server, next(numbers))
                time.sleep(0.01)

        publish_some(first)
        assert first.hand_over() == 0
        publish_some(first)
        assert [reader.notices for reader in readers] == [0] * len(readers)
        publish_some(first)
        first.signal()
        assert first.exit_code() == 0
        with Slackwater(*flags, port=first.port) as second:
            publish_some(second)
            publish(second, END)
            for reader in readers:
                reader.wait_for(END)
                assert (reader.heard, reader.gaps) == ([*range(400), END], 0)


def test_where_nginx_compresses_a_stream_it_is_passed_on_as_it_comes_too(tmp_path):
    # Unless a response asks for something else, it collects what it compresses.
    compressing = {"proxy_http_version 1.1;": "proxy_http_version 1.1; gzip on; gzip_proxied any; gzip_types text/event-stream;"}
    with (Slackwater(*QUIET) as server, before_nginx(tmp_path, server.port, compressing) as proxy,
          httpx.Client(timeout=PATIENCE, trust_env=False) as client,
          httpx_sse.connect_sse(client, "GET", f"{proxy.http}/events?topic=orders/*") as source):
        assert source.response.headers["Content-Encoding"] == "gzip"
        events = source.iter_sse()
        for number in range(5):
            publish(server, number)
            assert next_data(events) == number


def test_over_http_2_there_are_more_streams_than_a_browser_has_connections(tmp_path):
    certificate, key, port = tmp_path / "certificate", tmp_path / "key", free_port()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                    "-subj", "/CN=localhost", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    listen = f"listen 127.0.0.1:{port} ssl http2; ssl_certificate {certificate}; ssl_certificate_key {key};"
    with Slackwater(*QUIET) as server, before_nginx(tmp_path, server.port, {"listen 80;": listen}, port=port):
        url = f"https://localhost:{port}/events?topic=orders/"
        curl = ["curl", "-iskN", "--http2", "--parallel", *(url + str(number) for number in range(12))]
        with Printed(tmp_path, *curl) as curl:
            wait_until(lambda: "\nslackwater_event_streams 12.0" in metrics(server), curl.lines)
            for number in range(12):
                publish(server, number, f"orders/{number}")
                curl.wait_for(f'"data":{number},')
            assert "\n".join(curl.lines()).count("HTTP/2 200") == 12


def test_heartbeats_keep_a_silent_stream_through_proxies(tmp_path):
    shorter = {"proxy_read_timeout 60s": "proxy_read_timeout 28s"}
    shortest = {"timeout client 60s": "timeout client 28s", "timeout server 60s": "timeout server 28s"}
    with (Slackwater(*QUIET) as server, before_nginx(tmp_path, server.port, shorter) as front,
          before_haproxy(tmp_path, server.port, shortest) as other):
        with stream(f"{front.http}/events?topic=orders/*") as events, stream(f"{other.http}/events?topic=orders/*") as others:
            for each in events, others:
                assert next(each).id
            time.sleep(30)
            publish(server, "still here")
            for each in events, others:
                assert next_data(each) == "still here"
