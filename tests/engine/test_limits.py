"""Engines with too little room: what is not acknowledged is refused, and nobody misses anything that was acknowledged."""
import pytest

from engine import KINDS
from programs import wait_until


@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_without_memory_refuses_publications_and_goes_on_when_it_has_some(waters, kind):
    with waters(kind) as it:
        it.hear_on()
        it.engine.configure(maxmemory=1)
        wait_until(lambda: it.last.publish(["too much"]) == "refused", "a publication is refused")
        it.engine.configure(maxmemory=0)
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
