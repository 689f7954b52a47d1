"""What an engine may lose: whoever has heard of it, or might have, is told, and all go on from there in one order."""
import pytest

from crowd import Publisher
from engine import DURABLE, KINDS, STREAM, Engine
from programs import wait_until


@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_that_comes_back_empty_has_forgotten_everything(waters, kind):
    with waters(kind, machines=3) as it:
        with it.another_epoch():
            it.engine.kill()
            it.await_down()
            it.engine.restart_empty()
        it.hear_on()
        it.everybody_was_told()


@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_that_is_flushed_has_forgotten_everything(waters, kind):
    with waters(kind, machines=3) as it:
        for _ in range(3):
            with it.another_epoch():
                it.engine.ask("FLUSHALL")
            it.hear_on()
        it.everybody_was_told()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_is_deleted_while_nobody_publishes_is_missed_all_the_same(waters, kind):
    with waters(kind) as it:
        it.fall_silent()
        with it.another_epoch():
            it.engine.ask("DEL", STREAM)
        it.hear_on()
        it.everybody_was_told()


@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_that_comes_back_with_an_older_copy_has_lost_what_came_after(waters, kind):
    with waters(kind) as it:
        it.hear_on()
        it.engine.ask("SAVE")
        with it.another_epoch():
            it.engine.kill()
            it.await_down()
            it.engine.start()
        it.hear_on()
        it.everybody_was_told()


@pytest.mark.parametrize("kind", KINDS)
def test_a_promotion_behind_what_was_acknowledged_has_lost_it(waters, tmp_path, kind):
    with waters(kind, machines=3) as it, Engine(kind, tmp_path / "replica", "--repl-diskless-sync-delay", "0") as replica:
        it.engine.configure(repl_diskless_sync_delay=0)
        replica.follow(it.engine)
        it.hear_on()
        # From here on it gets nothing more, and the machines do not know.
        replica.promote()
        with it.another_epoch():
            it.engine.kill()
            it.await_down()
            replica.take_over(it.engine.port)
            it.engine = replica
        it.hear_on()
        it.everybody_was_told()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_is_evicted_is_forgotten_and_this_was_warned_of(waters, kind):
    with waters(kind, "--maxmemory", "1gb", "--maxmemory-policy", "allkeys-random") as it:
        for machine in it.machines:
            machine.wait_for(r"\[WARNING\] .*allkeys-random")
        with it.another_epoch():
            it.engine.configure(maxmemory=1)
            wait_until(lambda: not it.engine.ask("EXISTS", STREAM), "it is gone")
            it.engine.configure(maxmemory=0)
        it.hear_on()
        it.everybody_was_told()


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_happens_one_behind_the_other(waters, kind):
    with waters(kind, *DURABLE, machines=3) as it:
        for harm in (it.engine.cut_clients, lambda: it.engine.ask("FLUSHALL"), it.engine.cut_clients,
                     lambda: (it.engine.kill(), it.engine.start()), lambda: it.engine.ask("DEL", STREAM),
                     lambda: (it.engine.kill(), it.engine.restart_empty()), it.engine.cut_clients):
            it.hear_on()
            it.note_begins()
            harm()
        it.everybody_was_told()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_is_put_back_in_an_earlier_state_has_lost_what_came_after(waters, kind):
    with waters(kind, machines=3) as it:
        it.hear_on()
        it.engine.ask("COPY", STREAM, f"{STREAM}:earlier")
        with it.another_epoch():
            it.engine.ask("RENAME", f"{STREAM}:earlier", STREAM)
        it.hear_on()
        it.everybody_was_told()


def test_a_stream_that_is_put_back_while_nobody_publishes_is_noticed_all_the_same(waters):
    with waters("redis") as it:
        it.hear_on()
        it.engine.ask("COPY", STREAM, f"{STREAM}:earlier")
        with it.another_epoch():
            it.fall_silent()
            it.engine.ask("RENAME", f"{STREAM}:earlier", STREAM)
        it.hear_on()
        it.everybody_was_told()


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_acknowledged_and_nobody_else_has_heard_is_told_to_all_when_it_is_lost(waters, kind):
    with waters(kind, machines=3) as it:
        it.hear_on()
        it.engine.ask("SAVE")
        it.machines[1].stop()
        # Its publishers wait for it as well; this one goes to the others.
        Publisher("other", [it.machines[0]]).insist(["heard on some machines"])
        begun = it.note_begins()
        it.engine.kill()
        it.engine.start()
        it.machines[1].go_on()
        wait_until(lambda: it.note_begins() > begun, "another epoch")
        it.hear_on()
        it.everybody_was_told()
