"""What an engine that keeps its data may live through without anybody missing anything, or being told so."""
import concurrent.futures
import contextlib
import os
import signal
import time

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from client import heard, hears_nothing_more, listening
from crowd import post
from engine import DURABLE, KINDS, STREAM, Engine
from judge import ACKNOWLEDGED, REFUSED, UNKNOWN
from machine import Machine
from programs import wait_until


@pytest.mark.parametrize("kind", KINDS)
def test_three_machines_keep_one_order_for_whoever_stays_or_roams(waters, kind):
    with waters(kind, machines=3) as it:
        for _ in range(8):
            it.hear_on()
        it.nobody_missed_anything()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_engine_comes_back_with_all_it_had(waters, kind, workers):
    with waters(kind, *DURABLE, workers=workers) as it:
        for _ in range(2):
            with it.another_epoch():
                it.engine.kill()
                it.await_down()
                it.engine.start()
                it.await_up()
        it.nobody_was_told_in_vain()


@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_that_stops_answering_is_given_up_and_found_again(waters, kind):
    with waters(kind, machines=3) as it:
        it.hear_on()
        it.engine.stop()
        # What is sent to it may yet be published, but not twice; and once it is known to be gone nothing is sent.
        assert it.last.publish(["perhaps"], key="k") == UNKNOWN
        it.await_down()
        assert it.last.publish(["too late"]) == REFUSED
        it.engine.go_on()
        it.await_up()
        it.last.insist(["perhaps"], key="k")
        it.nobody_was_told_in_vain()


@pytest.mark.parametrize("kind", KINDS)
def test_connections_that_the_engine_closes_are_made_anew(waters, kind):
    with waters(kind, machines=3) as it:
        for _ in range(5):
            it.hear_on()
            assert it.engine.cut_clients() > 0
        it.await_up()
        it.nobody_was_told_in_vain()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_is_trimmed_to_nothing_goes_on(waters, kind):
    with waters(kind) as it:
        it.hear_on()
        it.engine.ask("XTRIM", STREAM, "MAXLEN", "0")
        it.hear_on()
        it.nobody_missed_anything()


def test_a_machine_that_dies_leaves_its_clients_to_the_others_and_a_new_one_knows_what_was(waters):
    with waters("redis", *DURABLE, machines=2) as it:
        it.hear_on()
        [stays, dies] = it.machines
        new = it.start_machine("C")
        it.welcome(new)
        it.hear_on()
        # Who was settled there comes to the new one, with an id that this was never told.
        for each in it.listeners:
            if each.machines == [dies]:
                each.machines[:] = [new]
        it.machines.remove(dies)
        dies.die()
        it.hear_on()
        assert it.machines == [stays, new]
        it.nobody_was_told_in_vain()


def test_a_machine_without_its_engine_is_not_ready_until_it_has_heard_of_the_past(waters):
    with waters("valkey", *DURABLE) as it:
        it.hear_on()
        it.engine.kill()
        it.await_down()
        late = it.start_machine("C")
        assert late.get("/readyz")[0] == 503
        it.engine.start()
        it.welcome(late)
        it.hear_on()
        it.nobody_was_told_in_vain()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_machine_that_hands_over_goes_on_where_it_was_however_much_comes_meanwhile(waters, workers):
    with waters("redis", workers=workers, pace=0.002) as it:
        for _ in range(4):
            for machine in it.machines:
                machine.hand_over()
            it.hear_on()
        it.nobody_missed_anything()
        it.every_publisher_was_answered()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_machine_that_starts_before_its_engine_lets_nobody_listen_until_it_can_say_behind_what(tmp_path, workers):
    with contextlib.ExitStack() as running:
        engine = running.enter_context(Engine("redis", tmp_path / "engine", *DURABLE))
        url = f"redis://127.0.0.1:{engine.port}"
        with Machine("A", url, workers=1) as former:
            former.await_up()
            ids = [post(former, [n], topic="orders")[1][0] for n in range(300)]
        engine.kill()
        machine = running.enter_context(Machine("B", url, workers=workers))
        wait_until(lambda: machine.get("/readyz")[1].get("status") == "starting", "it is there without its engine")
        for wish in ({}, {"after": ids[-1]}, {"after": ids[100]}):
            with pytest.raises(InvalidStatus) as refused, listening(machine, "orders", **wish):
                pass
            answer = refused.value.response
            assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
        stream = httpx.get(f"{machine.http}/events?topic=orders", trust_env=False)
        assert stream.status_code == 200 and "retry:" in stream.text and "id:" not in stream.text
        engine.start()
        machine.await_up()
        assert not any("may be missing" in line for line in machine.log)
        with listening(machine, "orders") as (new, _), listening(machine, "orders", after=ids[-1]) as (last, resumed):
            assert resumed["resumed"] and hears_nothing_more(new) and hears_nothing_more(last)
        with listening(machine, "orders", after=ids[100]) as (ws, resumed):
            assert resumed["resumed"] and heard(ws, 199) == list(range(101, 300)) and hears_nothing_more(ws)


@pytest.mark.parametrize("workers", [1, 2])
def test_who_comes_from_a_machine_that_had_heard_more_waits_for_this_one_while_the_engine_is_away(tmp_path, workers):
    with contextlib.ExitStack() as running:
        engine = running.enter_context(Engine("redis", tmp_path / "engine", *DURABLE))
        url = f"redis://127.0.0.1:{engine.port}"
        machine, other = (running.enter_context(Machine(name, url, workers=workers)) for name in "AB")
        for each in (machine, other):
            each.await_up()
        # This one hears nothing more before the engine is gone.
        os.kill(machine.pid, signal.SIGSTOP)
        engine.cut_clients()
        wait_until(lambda: post(other, ["heard elsewhere"], key="k", topic="orders")[0] == ACKNOWLEDGED, "it is published")
        [last] = post(other, ["heard elsewhere"], key="k", topic="orders")[1]
        engine.kill()
        os.kill(machine.pid, signal.SIGCONT)
        machine.await_down()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            welcome = pool.submit(welcomed, machine, last)
            began = time.monotonic()
            assert post(machine, ["refused"], topic="orders")[0] == REFUSED
            assert time.monotonic() - began < 2, "publishers do not wait for who waits"
            assert not welcome.done()
            engine.start()
            assert welcome.result()["resumed"] is True


def welcomed(machine, last):
    with listening(machine, "orders", after=last) as (_, welcome):
        return welcome
