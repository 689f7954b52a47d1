"""Sentinels that make a replica the master: all machines follow, and nobody misses anything without being told."""
import pytest

from engine import KINDS
from programs import wait_until


def is_master(it, engine):
    return all(each.master_port() == engine.port for each in it.sentinels)


@pytest.mark.parametrize("kind", KINDS)
def test_when_the_master_is_killed_all_machines_go_on_with_its_replica(watched_waters, kind):
    with watched_waters(kind, machines=3) as it:
        with it.another_epoch():
            it.master.kill()
            it.engine = it.replica
            wait_until(lambda: is_master(it, it.replica), "the sentinels agree on the other")
        it.hear_on()
        it.master.start("--replicaof", "127.0.0.1", str(it.replica.port))
        it.hear_on()
        it.nobody_missed_anything_unawares()


def test_a_master_that_stops_and_comes_back_takes_no_machine_with_it(watched_waters):
    with watched_waters("redis") as it:
        with it.another_epoch():
            it.master.stop()
            it.engine = it.replica
            wait_until(lambda: is_master(it, it.replica), "the sentinels agree on the other")
        it.master.go_on()
        wait_until(lambda: it.master.info("replication")["role"] == "slave", "it has learned that it is none")
        it.hear_on()
        it.nobody_missed_anything_unawares()


def test_a_failover_by_hand_leaves_two_masters_for_a_while_and_one_order_in_the_end(watched_waters):
    with watched_waters("valkey") as it:
        with it.another_epoch():
            it.sentinels[0].ask("SENTINEL", "FAILOVER", "waters")
            it.engine = it.replica
            # Sentinels make the old one a replica some ten seconds later; until then it takes what it is sent.
            wait_until(lambda: it.master.info("replication")["role"] == "slave", "the old one has learned that it is none")
        it.hear_on()
        it.nobody_missed_anything_unawares()


def test_what_was_acknowledged_once_a_replica_had_it_survives_a_failover(watched_waters):
    with watched_waters("valkey", flags=("--engine-wait", "2000")) as it:
        with it.another_epoch():
            it.master.kill()
            it.engine = it.replica
        it.master.start("--replicaof", "127.0.0.1", str(it.replica.port))
        it.hear_on()
        assert it.nobody_missed_anything_unawares().lost == []
