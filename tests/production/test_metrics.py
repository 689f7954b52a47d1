"""What Prometheus and its own tools make of /metrics, and what a scrape costs."""
import contextlib
import http.client
import json
import os
import re
import resource
import selectors
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_families
from prometheus_client.parser import text_string_to_metric_families as classic_families

from client import connect, connected, echo, listening, next_message
from neighbours import PACKAGING, prometheus
from programs import free_port, wait_until
from publisher import publish
from slackwater import PATIENCE, Slackwater

CLIENTS = 15_000
SCRAPES = 100

HANDSHAKE = (b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")


def scrape(port):
    return urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).read().decode()


# As Prometheus 3 asks.
ACCEPT = ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
          "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2")


def names(families):
    """Of all samples, each with its labels. How the bound of a bucket is written, is the format's."""
    told = [(sample.name, {**sample.labels, **({"le": float(sample.labels["le"])} if "le" in sample.labels else {})})
            for family in families for sample in family.samples]
    return sorted((name, sorted(labels.items())) for name, labels in told)


def open_metrics(port):
    """As Prometheus's own library for Python reads OpenMetrics: it refuses what the format forbids."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": ACCEPT})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        assert answer.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert answer.headers["Vary"] == "Accept"
        return list(open_metrics_families(answer.read().decode()))


def lint(text):
    """Everything that promtool has to say."""
    judged = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    return judged.stdout + judged.stderr + (f"exit {judged.returncode}" if judged.returncode else "")


def samples(text):
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


class Metered(Slackwater):
    """A server, through a door for operators or without, with one worker or more."""

    def __init__(self, *flags, workers=1, has_admin=False):
        self.has_admin = has_admin
        admin = free_port()
        super().__init__("--workers", str(workers), *(["--admin", f"127.0.0.1:{admin}"] if has_admin else []), *flags)
        self.operators = admin if has_admin else self.port


@pytest.fixture(params=[(1, False), (1, True), (2, False), (2, True)],
                ids=["one", "one with a door for operators", "two workers", "two workers with a door for operators"])
def metered(request):
    workers, has_admin = request.param
    # No notification of its own, small patience with whoever misbehaves.
    flags = ("--notify-interval", "0", "--ws-ping-interval", "0.3", "--ws-ping-timeout", "0.3", "--write-timeout", "1",
             "--outbox-limit", "65536", "--handshake-timeout", "0.5")
    with Metered(*flags, workers=workers, has_admin=has_admin) as server:
        yield server


def raw(server, request=HANDSHAKE):
    """A connection that sends this and then says no more."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    connection.sendall(request)
    return connection


def status(url):
    try:
        return urllib.request.urlopen(url, timeout=PATIENCE).status
    except urllib.error.HTTPError as refused:
        return refused.code


def misbehave(server):
    """Clients that end in many ways, and requests that do not become one."""
    with contextlib.ExitStack() as stack:
        # Neither of these says anything from here on: one is cut for no pong.
        silent = stack.enter_context(contextlib.closing(raw(server)))
        half = stack.enter_context(contextlib.closing(raw(server, b"GET /ws HT")))
        for code in (1000, 1001, 3001, 4444):
            with connect(server.ws) as ws:
                ws.close(code)
        binary, not_utf8, reserved = b"\x82\x81\0\0\0\0x", b"\x81\x81\0\0\0\0\xff", b"\x83\x80\0\0\0\0"
        too_big = b"\x81\xff\0\0\0\1\0\0\0\0\0\0\0\0"
        for frame in (binary, not_utf8, reserved, too_big):
            with contextlib.closing(raw(server, HANDSHAKE + frame)) as connection:
                while connection.recv(4096):
                    pass
        with contextlib.closing(raw(server)) as gone:
            gone.shutdown(socket.SHUT_WR)
            while gone.recv(4096):
                pass
        assert status(f"{server.http}/ws") == 426
        assert status(f"{server.http}/nothing") == 404
        assert status(f"http://127.0.0.1:{server.operators}/drain") == 405
        with connect(server.ws) as ws:
            ws.recv()
            ws.send('{"type":"dance"}')
            assert json.loads(ws.recv())["code"] == "bad_message"
        while silent.recv(4096):
            pass
        while half.recv(4096):
            pass


def counted(server, *wanted):
    """A scrape in which these series count something. What other workers have counted is known a beat later."""
    texts = []

    def are_there():
        texts[:] = [scrape(server.operators)]
        told = samples(texts[0])
        return all(any(name.startswith(series) and float(value) for name, value in told.items()) for series in wanted)

    wait_until(are_there, lambda: f"not all of {wanted} in\n{texts[0]}")
    return texts[0]


def test_promtool_has_nothing_to_say_and_openmetrics_says_the_same(metered):
    server = metered
    assert lint(scrape(server.operators)) == ""

    misbehave(server)
    operators = SimpleNamespace(port=server.operators)
    with listening(server, "orders") as (ws, _):
        ids = publish(operators, "orders", 1, 2, 3)
        assert next_message(ws)["id"] == ids[0]
        for after, is_resumed in ((ids[0], True), ("00000000-1", False)):
            with listening(server, "orders", after=after) as (_, welcome):
                assert welcome["resumed"] is is_resumed
    reasons = ("peer_closed", "violated", "silent", "gone")
    text = counted(server, *(f'slackwater_disconnects_total{{reason="{reason}"' for reason in reasons),
                   'slackwater_resumes_total{result="resumed"}', 'slackwater_resumes_total{result="gap"}',
                   'slackwater_handshakes_rejected_total{reason="no_upgrade"}',
                   'slackwater_handshakes_rejected_total{reason="timeout"}',
                   'slackwater_requests_rejected_total{path="/drain",reason="method"}',
                   'slackwater_commands_rejected_total{command="other",code="bad_message"}', "slackwater_publications_total")
    assert lint(text) == ""
    # What another worker has counted may come between two questions.
    wait_until(lambda: names(open_metrics(server.operators)) == names(classic_families(scrape(server.operators))),
               "the same of both formats")

    if server.has_admin:
        with connected(server.ws, 3) as clients:
            server.signal()
            server.wait_for(r".*Waiting for \d connections?")
            text = scrape(server.operators)
            assert lint(text) == ""
            told = samples(text)
            assert [float(told[f"slackwater_{name}"]) for name in ("draining", "drain_remaining")] == [1, 3]
            assert all(echo(ws, "still here") for ws in clients)


def test_a_drain_without_a_door_for_operators_is_told_while_it_is_delayed():
    with Metered("--notify-interval", "0", "--drain-delay", "5") as server, connected(server.ws, 2):
        server.signal()
        server.wait_for(r".*Shutdown signal received")
        text = scrape(server.port)
        assert lint(text) == ""
        told = samples(text)
        assert [float(told[f"slackwater_{name}"]) for name in ("draining", "drain_remaining")] == [1, 2]


def test_prometheus_sees_who_is_connected(tmp_path):
    with (Metered("--notify-interval", "0", workers=2, has_admin=True) as several,
          Metered("--notify-interval", "0") as one,
          prometheus(tmp_path / "prometheus", f"127.0.0.1:{several.operators}", f"127.0.0.1:{one.port}") as judge,
          connected(several.ws, 5), connected(one.ws, 3)):
        wanted = {f"127.0.0.1:{several.operators}": "5", f"127.0.0.1:{one.port}": "3"}
        expression = urllib.parse.quote("sum by (instance) (slackwater_connections_active)")
        answers = []

        def has_come():
            try:
                answer = urllib.request.urlopen(f"{judge.http}/api/v1/query?query={expression}", timeout=PATIENCE).read()
            except urllib.error.HTTPError:
                return False  # not ready yet
            result = json.loads(answer)["data"]["result"]
            answers.append({series["metric"]["instance"]: series["value"][1] for series in result})
            return answers[-1] == wanted

        wait_until(has_come, lambda: f"{answers[-1:]} is not {wanted}:\n{judge.said()}", 20)
        rules = json.loads(urllib.request.urlopen(f"{judge.http}/api/v1/rules").read())["data"]["groups"]
        assert {rule["state"] for group in rules for rule in group["rules"]} == {"inactive"}


def server_nanoseconds(server):
    """Time that the server's one thread has run."""
    return int(Path(f"/proc/{server.process.pid}/schedstat").read_text().split()[0])


@contextlib.contextmanager
def crowd(port, count):
    """So many clients, welcomed, who say and are told nothing more."""
    clients = []
    try:
        with selectors.DefaultSelector() as selector:
            while len(clients) < count:
                few = []
                for _ in range(min(500, count - len(clients))):
                    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
                    client.sendall(HANDSHAKE)
                    selector.register(client, selectors.EVENT_READ, bytearray())
                    few.append(client)
                clients += few
                while selector.get_map():
                    ready = selector.select(PATIENCE)
                    assert ready, f"{len(selector.get_map())} have no welcome"
                    for key, _ in ready:
                        key.data.extend(key.fileobj.recv(4096))
                        if b'"type":"welcome"' in key.data and key.data.endswith(b"}"):
                            selector.unregister(key.fileobj)
        yield
    finally:
        for client in clients:
            client.close()


def test_what_a_scrape_costs(record_property):
    # Told and not judged: how fast the machine is, is not the server's.
    count = min(CLIENTS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1000)
    quiet = ("--notify-interval", "0", "--ws-ping-interval", "0")
    with Metered(*quiet) as server:
        for clients in (0, count):
            with crowd(server.port, clients) if clients else contextlib.nullcontext():
                operator = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
                answers = []
                before = server_nanoseconds(server)
                for _ in range(SCRAPES):
                    operator.request("GET", "/metrics")
                    answers.append(operator.getresponse().read().decode())
                micros = (server_nanoseconds(server) - before) / SCRAPES / 1000
                operator.close()
                assert all(float(samples(answer)["slackwater_connections_active"]) == clients for answer in answers)
                memory = float(samples(answers[-1])["process_resident_memory_bytes"])
                record_property("told", f"{clients:6d} connections: a scrape takes {micros:4.0f} us of the server's time,"
                                        f" {memory / 2**20:.0f} MiB resident, {len(answers[-1])} bytes")


def test_the_start_is_told_as_it_was_where_the_unit_hides_the_machine(tmp_path, monkeypatch):
    if os.geteuid() != 0:
        pytest.skip("only root mounts a /proc of its own")
    assert "\nProcSubset=pid\n" in (PACKAGING / "slackwater.service").read_text()
    hidden = tmp_path / "hidden"
    mounted = 'mount -t proc -o subset=pid proc /proc && ! [ -e /proc/stat ] && exec "$0" "$@"'
    hidden.write_text(f"#!/bin/sh\nexec unshare --mount sh -c '{mounted}' {os.environ['SLACKWATER_BIN']} \"$@\"\n")
    hidden.chmod(0o700)
    monkeypatch.setenv("SLACKWATER_BIN", str(hidden))
    before = time.time()
    with Slackwater("--notify-interval", "0") as server:
        [started] = re.findall(r"^process_start_time_seconds (\S+)$", scrape(server.port), re.MULTILINE)
        assert before - 0.01 <= float(started) <= time.time()
