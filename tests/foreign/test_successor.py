"""History across processes: a successor goes on where the leaving server stopped, or says plainly that it cannot."""
import os
import signal
import time

import pytest

from client import connected, echo, heard, hears_nothing_more, listening, next_message
from publisher import publish
from slackwater import PATIENCE, Slackwater

QUIET = ("--notify-interval", "0")


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def start(state, *flags, port=0):
    return Slackwater(*QUIET, "--state-file", str(state), *flags, port=port)


def leave(server):
    """Ends a server that has no clients."""
    server.signal()
    assert server.exit_code() == 0


def warnings(server):
    return [line for line in server.log if line.startswith(("[WARNING]", "[ERROR]"))]


def leave_publications(state, *data):
    """Runs a server that publishes these on orders, and leaves its state. Their ids."""
    with start(state) as server:
        ids = publish(server, "orders", *data)
        leave(server)
    return ids


def test_a_successor_goes_on_in_the_same_order(state):
    with start(state) as first:
        with listening(first, "orders") as (ws, welcome):
            beginning = welcome["last_event_id"]
            heard_before = publish(first, "orders", 1)
            assert heard(ws, 1) == [1]
        missed_before = publish(first, "orders", 2) + publish(first, "audit", "not asked for") + publish(first, "orders", 3)
        leave(first)
    assert state.exists()
    with start(state, port=first.port) as successor:
        assert warnings(successor) == [] and not state.exists()
        with listening(successor, "orders", after=heard_before[0]) as (ws, welcome):
            assert (welcome["resumed"], welcome["last_event_id"]) == (True, missed_before[-1])
            [live] = publish(successor, "orders", 4)
            told = [next_message(ws) for _ in range(3)]
            assert [message["data"] for message in told] == [2, 3, 4]
            assert [message["id"] for message in told] == [missed_before[0], missed_before[2], live]
            assert hears_nothing_more(ws)
        with listening(successor, "orders", after=beginning) as (ws, welcome):
            assert welcome["resumed"] is True
            assert heard(ws, 4) == [1, 2, 3, 4]
            assert hears_nothing_more(ws)


def test_history_goes_on_through_many_successors(state):
    first = leave_publications(state, 0)[0]
    for n in range(1, 6):
        with start(state) as server:
            assert warnings(server) == []
            with listening(server, "orders", after=first) as (ws, welcome):
                assert welcome["resumed"] is True
                assert heard(ws, n - 1) == list(range(1, n))
                publish(server, "orders", n)
                assert heard(ws, 1) == [n]
            leave(server)


def test_a_successor_keeps_to_its_own_limits(state):
    ids = leave_publications(state, *range(10))
    with start(state, "--history-size", "3") as server:
        for n, is_resumed in [(6, True), (5, False)]:
            with listening(server, "orders", after=ids[n]) as (ws, welcome):
                assert welcome["resumed"] is is_resumed
                assert heard(ws, 3) == [7, 8, 9] if is_resumed else hears_nothing_more(ws)


def test_who_stays_with_the_leaving_server_misses_nothing_when_he_moves(state):
    with start(state) as first, listening(first, "orders") as (ws, _), listening(first, "audit") as (other, _):
        [heard_last] = publish(first, "orders", "before")
        assert heard(ws, 1) == ["before"]
        [audit] = publish(first, "audit", "only for the other")
        assert heard(other, 1) == ["only for the other"]
        first.signal()
        first.wait_for(r"\[INFO\] Waiting for 2 connections")
        with start(state, port=first.port) as successor:
            missed = publish(successor, "orders", "while he stays", "and stays")
            # Make before break: the old connection is alive until the new one has its welcome.
            with listening(successor, "orders", after=heard_last) as (moved, welcome):
                assert (welcome["resumed"], welcome["last_event_id"]) == (True, missed[-1])
                assert echo(ws, "still served") and hears_nothing_more(ws)
                ws.close()
                assert heard(moved, 2) == ["while he stays", "and stays"]
                publish(successor, "orders", "afterwards")
                assert heard(moved, 1) == ["afterwards"]
            first.signal()
            assert first.exit_code() == 1
            with listening(successor, "audit", after=audit) as (moved, welcome):
                assert welcome["resumed"] is True
                assert hears_nothing_more(moved)
            assert not state.exists()


def test_the_state_is_there_before_the_port_is_free(state):
    # What is not whole is under another name: only this name is ever looked at.
    with start(state) as first, connected(first.ws, 1):
        ids = [publish(first, "orders", "x" * 100_000)[0] for _ in range(100)]
        first.signal()
        with started_as_soon_as_possible(state, first.port) as successor:
            assert warnings(successor) == []
            with listening(successor, "orders", after=ids[0]) as (ws, welcome):
                assert welcome["resumed"] is True
                assert len(heard(ws, 99)) == 99
        assert list(state.parent.iterdir()) == []


def started_as_soon_as_possible(state, port):
    """Begins to try while another one still listens there."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return start(state, port=port)
        except AssertionError as refused:
            assert "cannot listen on" in str(refused) and time.monotonic() < deadline


def flip(octets, place):
    return octets[:place] + bytes([octets[place] ^ 1]) + octets[place + 1:]


@pytest.mark.parametrize("spoil", [
    lambda whole: whole[:-1], lambda whole: whole[:20], lambda whole: whole + b"\0", lambda whole: flip(whole, 14), lambda whole: flip(whole, 23),
    lambda whole: flip(whole, 31), lambda whole: flip(whole, len(whole) // 2), lambda whole: flip(whole, len(whole) - 1),
    lambda whole: whole[:40] + bytes([255] * 8) + whole[48:]],
    ids=["cut", "cut early", "too long", "other version", "other epoch", "other position",
         "changed", "changed at the end", "absurd count"])
def test_a_spoilt_state_is_one_warning_and_a_new_history(state, spoil):
    ids = leave_publications(state, *range(5))
    spoilt = spoil(state.read_bytes())
    state.write_bytes(spoilt)
    with start(state) as server:
        assert_new_history(server, ids)
        assert len(warnings(server)) == 1 and str(state) in warnings(server)[0]
        assert state.read_bytes() == spoilt  # left for somebody to look at
        [last, _] = publish(server, "orders", "last heard", "missed")
        leave(server)
    with start(state) as successor, listening(successor, "orders", after=last) as (ws, welcome):
        assert warnings(successor) == []
        assert welcome["resumed"] is True
        assert heard(ws, 1) == ["missed"]


def assert_new_history(server, ids):
    """None of these ids is resumed, and they are not given again."""
    for id in ids:
        with listening(server, "orders", after=id) as (ws, welcome):
            assert welcome["resumed"] is False
            [new] = publish(server, "orders", "new")
            assert heard(ws, 1) == ["new"]
            assert new not in ids


@pytest.mark.parametrize("empty", [lambda state: state.unlink(), lambda state: state.write_bytes(b"")],
                         ids=["nothing", "an empty file"])
def test_where_nothing_was_left_there_is_a_new_history(state, empty):
    ids = leave_publications(state, *range(5))
    empty(state)
    with start(state) as server:
        assert_new_history(server, ids)
        assert warnings(server) == [] and not state.exists()


@pytest.mark.parametrize("put", [
    lambda state: state.mkdir(), lambda state: os.mkfifo(state), lambda state: state.symlink_to("/dev/null"),
    lambda state: state.write_bytes(b"{}\n"), lambda state: state.write_bytes(b"\x7fELF" + bytes(5000))],
    ids=["a folder", "a FIFO", "a device", "JSON", "a program"])
def test_what_is_not_a_state_is_refused_and_left_alone(state, put):
    put(state)
    before = state.lstat()
    with pytest.raises(AssertionError, match="cannot keep the state in --state-file"):
        start(state)
    after = state.lstat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)


def test_a_link_to_the_state_stays_and_is_followed(state):
    state.symlink_to("elsewhere")
    ids = leave_publications(state, *range(2))
    assert state.is_symlink() and (state.parent / "elsewhere").is_file()
    with start(state) as server:
        assert warnings(server) == []
        [last] = publish(server, "orders", "goes on")
        assert last not in ids and last.split("-")[0] == ids[0].split("-")[0]
        assert state.is_symlink() and not state.exists()


def test_without_a_state_file_a_restart_is_a_new_history():
    with Slackwater(*QUIET) as first:
        ids = publish(first, "orders", *range(5))
        leave(first)
    with Slackwater(*QUIET) as second:
        assert_new_history(second, ids)
        assert warnings(second) == []


def test_after_a_crash_there_is_a_new_history_and_never_a_wrong_one(state):
    ids = leave_publications(state, *range(5))
    with start(state) as crashing:
        lost = publish(crashing, "orders", "lost", "lost, too")
        crashing.signal(signal.SIGKILL)
        assert crashing.exit_code() == -signal.SIGKILL
    with start(state) as server:
        assert warnings(server) == []
        assert_new_history(server, [*ids, *lost])


def test_a_second_signal_at_once_loses_no_state(state):
    with start(state) as first, connected(first.ws, 2) as [ws, _]:
        ids = publish(first, "orders", *range(5))
        first.signal()
        first.signal(signal.SIGINT)
        assert first.exit_code() == 1
    with start(state) as successor, listening(successor, "orders", after=ids[0]) as (ws, welcome):
        assert welcome["resumed"] is True
        assert heard(ws, 4) == [1, 2, 3, 4]


def test_a_state_is_for_its_owner_alone(state):
    leave_publications(state, "confidential")
    assert state.stat().st_mode & 0o777 == 0o600


def test_a_state_that_cannot_be_written_any_more_does_not_keep_the_server(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with start(folder / "state") as server:
        publish(server, "orders", 1)
        folder.rmdir()
        leave(server)
        assert [line for line in server.log if line.startswith("[ERROR]")]
        assert server.log[-1] == "[INFO] Server shutdown complete"
