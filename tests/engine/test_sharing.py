"""How machines find their engine, what they share there, and with whom."""
import contextlib
import re
import time

import pytest

from client import connect, hear, listening, next_message
from crowd import post
from engine import KINDS, Engine, cluster
from judge import ACKNOWLEDGED
from machine import Machine
from programs import wait_until


@contextlib.contextmanager
def machines(url, *names, flags=(), **wishes):
    """They are up, and nobody listens yet."""
    with contextlib.ExitStack() as running:
        started = [running.enter_context(Machine(name, url, *flags, workers=1, **wishes)) for name in names]
        for each in started:
            each.await_up()
        yield started


@pytest.fixture(params=KINDS)
def engine(request, tmp_path):
    socket = tmp_path / "socket"
    with Engine(request.param, tmp_path / "engine", "--unixsocket", str(socket)) as engine:
        engine.socket = socket
        yield engine


def url(engine):
    return f"redis://127.0.0.1:{engine.port}"


def test_an_engine_may_want_a_user_and_a_password(waters):
    def allow_one_more(engine):
        engine.ask("ACL", "SETUSER", "boats", "on", ">low tide", "~{slackwater}:*", "+@all", "-@dangerous", "+info")
        engine.ask("ACL", "SETUSER", "default", "resetpass", ">high tide")
        engine.password = "high tide"
        return "boats:low%20tide@"
    with waters("redis", before=allow_one_more) as it:
        it.hear_on()
        it.nobody_missed_anything()
        assert not any("low tide" in line or "low%20tide" in line for machine in it.machines for line in machine.log)


def test_of_what_its_user_may_not_do_that_all_else_goes_on_without_a_machine_warns_once_a_connection(engine):
    with machines(url(engine), "A", flags=("--log-level", "debug"), notify_interval="0.1") as [a]:
        # A machine that reports itself, and one that publishes the periodic notification, reads who else is there.
        engine.ask("ACL", "SETUSER", "default", "-hgetall")
        refused = ("to note this machine", "the periodic notification")
        for nth in (1, 2):
            for what in refused:
                a.wait_for(rf"\[WARNING\] The engine .* refuses {what}", nth)
            again = [line for line in a.log if re.match(r"\[DEBUG\] The engine .* refuses ", line)]
            a.wait_for(r"\[DEBUG\] The engine .* refuses ", len(again) + 3)
            warned = [line for line in a.log if re.match(r"\[WARNING\] The engine .* refuses ", line)]
            assert len(warned) == nth * len(refused), warned
            assert post(a, ["all the same"])[0] == ACKNOWLEDGED
            engine.cut_clients()
            a.wait_for(r"\[INFO\] The engine .* is there", nth + 1)


def test_an_engine_may_listen_on_a_unix_socket(engine):
    with machines(f"unix://{engine.socket}", "A") as [a], machines(url(engine), "B") as [b], listening(b, "orders") as (ws, _):
        outcome, [id] = post(a, ["by file, by port"], topic="orders")
        assert outcome == ACKNOWLEDGED
        assert next_message(ws)["id"] == id


@pytest.mark.parametrize("kind", KINDS)
def test_the_node_of_a_cluster_that_has_the_stream_is_found(tmp_path, kind):
    with contextlib.ExitStack() as running:
        that, other = cluster(running, kind, tmp_path)
        with machines(url(that), "A") as [a], machines(url(other), "B") as [b], listening(b, "orders") as (ws, _):
            [id] = post(a, ["across"], topic="orders")[1]
            assert next_message(ws)["id"] == id
            [id] = post(b, ["and back"], topic="orders")[1]
            assert next_message(ws)["id"] == id


def test_the_same_key_is_the_same_publication_on_any_machine(engine):
    with machines(url(engine), "A", "B") as [a, b], listening(b, "orders") as (ws, _):
        first = post(a, ["once", "only"], key="k", topic="orders")
        assert first[0] == ACKNOWLEDGED
        assert post(b, ["once", "only"], key="k", topic="orders") == first
        post(b, ["more"], topic="orders")
        assert [next_message(ws)["data"] for _ in range(3)] == ["once", "only", "more"]


def test_machines_of_another_name_share_nothing_but_the_engine(engine):
    with (machines(url(engine), "A") as [a], machines(url(engine), "X", flags=("--engine-name", "harbour")) as [x],
          listening(a, "orders") as (ws, _)):
        [foreign] = post(x, ["elsewhere"], key="k", topic="orders")[1]
        [own] = post(a, ["here"], key="k", topic="orders")[1]
        assert next_message(ws)["id"] == own
        with listening(a, "orders", after=foreign) as (_, welcome):
            assert welcome["resumed"] is False


def test_one_machine_at_a_time_sends_the_periodic_notification_and_counts_all_clients(engine):
    with machines(url(engine), "A", "B", "C", notify_interval="0.3") as [a, b, _]:
        with connect(a.ws) as one, connect(b.ws) as other:
            first = hear(one, "notification")
            wait_until(lambda: hear(one, "notification")["active_connections"] == 2, "both are counted")
            began, numbered = time.monotonic(), [hear(one, "notification") for _ in range(5)]
            assert time.monotonic() - began > 4 * 0.3 * 0.8
            told = [hear(other, "notification")]
            while told[-1]["id"] != numbered[-1]["id"]:
                told.append(hear(other, "notification"))
            assert told[-5:] == numbered
            numbers = [int(each["message"].rpartition("#")[2]) for each in [first, *numbered]]
            assert numbers[1:] == list(range(numbers[1], numbers[1] + 5)) and numbers[0] < numbers[1]


def test_a_lease_that_something_else_holds_is_said(tmp_path):
    with Engine("redis", tmp_path / "engine") as engine:
        engine.ask("LPUSH", "{slackwater}:notified", "not a machine")
        with Machine("A", f"redis://127.0.0.1:{engine.port}", workers=1, notify_interval="0.2") as machine:
            machine.wait_for(r"\[WARNING\] The engine .* refuses the periodic notification.*\{slackwater\}:notified")
