"""What an engine that keeps its data may live through without anybody missing anything, or being told so."""
import pytest

from engine import DURABLE, KINDS, STREAM
from judge import REFUSED, UNKNOWN


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
