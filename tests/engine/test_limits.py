"""Engines with too little room: what is not acknowledged is refused, and nobody misses anything that was acknowledged."""
from concurrent.futures import ThreadPoolExecutor

import pytest

from crowd import post
from engine import KINDS, Engine
from judge import UNKNOWN
from machine import Machine
from programs import wait_until


@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_without_memory_refuses_publications_and_goes_on_when_it_has_some(waters, kind):
    with waters(kind) as it:
        it.hear_on()
        it.engine.configure(maxmemory=1)
        wait_until(lambda: it.last.publish(["too much"]) == "refused", "a publication is refused")
        for machine in it.machines:
            assert machine.await_refusing().startswith("OOM command not allowed")
        it.engine.configure(maxmemory=0)
        it.await_up()
        for machine in it.machines:
            refused = [line for line in machine.log if "refuses" in line]
            assert len(refused) == 1 and "@user_script" not in refused[0], machine.story()
        it.hear_on()
        it.nobody_missed_anything()


@pytest.mark.parametrize("kind", KINDS)
def test_answers_beyond_the_engines_output_buffer_are_asked_for_in_smaller_ones(waters, kind):
    # An answer of five publications would be too much, and such come five at once.
    with waters(kind, "--client-output-buffer-limit", "normal 100000 0 0", pace=0.3, fill=" " + "x" * 30_000) as it:
        it.hear_on()
        it.engine.cut_clients()
        it.hear_on()
        it.nobody_was_told_in_vain()


def test_an_engine_that_has_too_few_replicas_refuses_publications(waters):
    with waters("redis") as it:
        it.hear_on()
        it.engine.configure(min_replicas_to_write=1)
        wait_until(lambda: it.last.publish(["to nobody"]) == "refused", "a publication is refused")
        it.engine.configure(min_replicas_to_write=0)
        it.hear_on()
        it.nobody_missed_anything()


def test_fifty_who_publish_at_once_wait_together_for_a_replica_that_is_not_there(tmp_path):
    """The engine does nothing else for a connection that waits: one behind the other they would take ten seconds."""
    with Engine("redis", tmp_path / "engine") as engine:
        with Machine("A", f"redis://127.0.0.1:{engine.port}", "--engine-wait", "200", workers=1) as machine:
            machine.await_up()
            with ThreadPoolExecutor(50) as publishers:
                outcomes = list(publishers.map(lambda n: post(machine, [n])[0], range(50)))
            waits = engine.info("commandstats")["cmdstat_wait"]["calls"]
            print(f"{waits} waits for 50 publications: {set(outcomes)}")
            assert set(outcomes) == {UNKNOWN} and waits < 25
