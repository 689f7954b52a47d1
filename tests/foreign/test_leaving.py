"""What Python clients, and the one who reads the log, see of a Slackwater that leaves."""
import json
import signal
import statistics
import time

import pytest
from websockets.exceptions import ConnectionClosed

from client import connect, connected, echo, hear
from slackwater import PATIENCE, Slackwater

QUIET = ("--notify-interval", "0", "--no-drain-notice")


def close_code(ws):
    with pytest.raises(ConnectionClosed) as closed:
        ws.recv(timeout=PATIENCE)
    return closed.value.rcvd and closed.value.rcvd.code


def log_from(server, first):
    return server.log[server.log.index(first):]


def test_the_log_tells_the_leaving_to_the_letter():
    with Slackwater(*QUIET) as server, connected(server.ws, 3) as clients:
        for count in (1, 2, 3):
            server.wait_for(rf"\[INFO\] Client connected\. Total connections: {count}$")
        server.signal()
        server.wait_for(r"\[INFO\] Waiting for 3 connections")
        for left, ws in zip((2, 1, 0), clients):
            ws.close()
            server.wait_for(rf"\[INFO\] Client disconnected\. Total connections: {left}$")
        assert server.exit_code() == 0
        assert log_from(server, "[INFO] Shutdown signal received") == [
            "[INFO] Shutdown signal received",
            "[INFO] Graceful shutdown initiated",
            "[INFO] Waiting for 3 connections to close. Time remaining: 1800s",
            "[INFO] Client disconnected. Total connections: 2",
            "[INFO] Client disconnected. Total connections: 1",
            "[INFO] Client disconnected. Total connections: 0",
            "[INFO] All WebSocket connections closed. Proceeding with shutdown.",
            "[INFO] Server shutdown complete",
        ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_without_clients_either_signal_ends_it_at_once(number):
    with Slackwater(*QUIET) as server:
        server.signal(number)
        assert server.exit_code() == 0
        assert server.log[-1] == "[INFO] Server shutdown complete"


def test_those_who_stay_are_served_and_no_one_else_comes_in():
    with Slackwater(*QUIET) as server, connected(server.ws, 3) as clients:
        server.signal()
        server.wait_for(r"\[INFO\] Waiting for 3 connections")
        with pytest.raises(ConnectionRefusedError), connect(server.ws):
            pass
        for ws in clients:
            assert echo(ws, "are you still there?")
            assert ws.ping().wait(PATIENCE)
            ws.close()
        assert server.exit_code() == 0


def test_the_periodic_notification_stops():
    flags = ["--notify-interval", "0.2", "--drain-check-interval", "1", "--no-drain-notice"]
    with Slackwater(*flags) as server, connected(server.ws, 1) as [ws]:
        hear(ws, "notification")
        server.signal()
        server.wait_for(r"\[INFO\] Waiting for 1 connection.* 1800s$")
        assert echo(ws, "what was under way has come by now")
        server.wait_for(r"\[INFO\] Waiting for 1 connection.* 179[89]s$")
        ws.send("a second later")
        assert json.loads(ws.recv(timeout=PATIENCE))["message"] == "Server received: a second later"
        ws.close()
        assert server.exit_code() == 0


def test_it_ends_as_soon_as_the_last_one_has_left(capsys):
    took = []
    for _ in range(5):
        with Slackwater(*QUIET) as server, connected(server.ws, 2) as [stays, leaves]:
            server.signal()
            leaves.close()
            server.wait_for(r"\[INFO\] Client disconnected\. Total connections: 1$")
            last_leaves = time.monotonic()
            stays.close()
            assert server.exit_code() == 0
            took.append(server.ended - last_leaves)
    with capsys.disabled():
        print(f"\nfrom the last client's close to the end of the process: median {statistics.median(took) * 1000:.1f} ms"
              f", longest {max(took) * 1000:.1f} ms")
    assert max(took) < 2  # and not the 5 s of the next check


def test_a_second_signal_ends_the_patience():
    with Slackwater(*QUIET) as server, connected(server.ws, 3) as clients:
        server.signal()
        server.wait_for(r"\[INFO\] Waiting for 3 connections")
        server.signal()
        assert [close_code(ws) for ws in clients] == [1012, 1012, 1012]
        assert server.exit_code() == 1


def test_the_patience_runs_out():
    flags = [*QUIET, "--timeout-graceful-shutdown", "1"]
    with Slackwater(*flags) as server, connected(server.ws, 2) as clients:
        server.signal()
        assert [close_code(ws) for ws in clients] == [1012, 1012]
        assert server.exit_code() == 1
        server.wait_for(r"\[WARNING\] Shutdown timeout \(1 second\) reached\. Forcing shutdown with 2 active connections\.$")
        assert server.log[-1] == "[INFO] Server shutdown complete"


def test_a_successor_takes_the_port_while_the_first_one_drains():
    with Slackwater(*QUIET) as first, connected(first.ws, 1) as [old]:
        first.signal()
        first.wait_for(r"\[INFO\] Waiting for 1 connection")
        with Slackwater(*QUIET, port=first.port) as successor, connected(successor.ws, 1) as [new]:
            assert successor.port == first.port
            assert echo(old, "from the first") and echo(new, "from the successor")
            old.close()
            assert first.exit_code() == 0
            assert echo(new, "the successor stays")
            new.close()
            successor.signal()
            assert successor.exit_code() == 0
