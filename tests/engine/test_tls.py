"""Engines that are reached by TLS. Redis demands certificates of its clients unless it is told otherwise, so the machines show one."""
import contextlib

import pytest

from conftest import Waters
from crowd import post
from engine import DURABLE, SERVICE, Engine, Sentinel
from judge import ACKNOWLEDGED, REFUSED
from machine import Machine
from papers import Papers
from programs import free_port, wait_until


@pytest.fixture(scope="session")
def papers(tmp_path_factory):
    return Papers(tmp_path_factory.mktemp("papers"))


def test_nobody_misses_anything_by_tls_while_connections_machines_and_the_engine_come_and_go(tmp_path, papers):
    port = free_port()
    flags = papers.client_flags() + papers.client_identity()
    with contextlib.ExitStack() as running:
        engine = running.enter_context(Engine("redis", tmp_path / "engine", *DURABLE, *papers.engine_settings(port, "yes")))
        it = Waters(running, engine, f"rediss://localhost:{port}", flags=flags)
        it.hear_on()
        assert engine.cut_clients() > 0
        it.hear_on()
        with it.another_epoch():
            engine.kill()
            it.await_down()
            engine.start()
            it.await_up()
        it.nobody_was_told_in_vain()


def test_a_successor_connects_by_tls_anew_and_publishers_do_not_notice(tmp_path, papers):
    port = free_port()
    with contextlib.ExitStack() as running:
        engine = running.enter_context(Engine("redis", tmp_path / "engine", *papers.engine_settings(port, "no")))
        it = Waters(running, engine, f"rediss://127.0.0.1:{port}", machines=1, workers=1, flags=papers.client_flags(), pace=0.002)
        for _ in range(4):
            it.machines[0].hand_over()
            it.hear_on()
        it.nobody_missed_anything()
        it.every_publisher_was_answered()


def test_an_engine_that_cannot_be_trusted_or_understood_is_not_used_and_the_log_says_why(tmp_path, papers):
    ports = {name: free_port() for name in ("demanding", "trusting", "other")}
    with contextlib.ExitStack() as running:
        def engine(name, *settings):
            return running.enter_context(Engine("redis", tmp_path / name, *papers.engine_settings(ports[name], *settings)))
        demanding, _, _ = engine("demanding", "yes"), engine("trusting", "no"), engine("other", "no", "other")
        own, strange = papers.client_flags(), papers.client_flags("stranger")
        cases = [
            (f"rediss://127.0.0.1:{ports['trusting']}", strange, "the peer's certificate is of an unknown issuer"),
            (f"rediss://:sekrit@127.0.0.1:{ports['other']}", own, "the peer's certificate is for another name than 127.0.0.1"),
            (f"rediss://127.0.0.1:{ports['demanding']}", own, "the peer says: a client's certificate is required (--engine-cert)"),
            (f"redis://127.0.0.1:{ports['trusting']}", (), "if TLS is spoken there, give rediss://"),
            (f"rediss://127.0.0.1:{demanding.port}", own, "its handshake of TLS was not over in 5 s: is TLS spoken there?"),
        ]
        # All at once: one of them waits until nobody answers.
        machines = [running.enter_context(Machine(f"{n}", url, *flags, workers=1 + n % 2)) for n, (url, flags, _) in enumerate(cases)]
        for machine, (_, _, why) in zip(machines, cases):
            is_refused(machine, why)


def is_refused(machine, why):
    wait_until(lambda: why in (machine.get("/status")[1]["engine"].get("error") or ""),
               lambda: f"{why}\n{machine.get('/status')[1]['engine']}\n{machine.story()}")
    assert machine.get("/readyz")[1]["engine"] == "down" and post(machine, ["in vain"])[0] == REFUSED
    assert any(why in line for line in machine.log if "cannot be used" in line), machine.story()
    assert "sekrit" not in machine.story()


def test_sentinels_are_asked_by_tls_and_so_is_the_master_that_they_name(tmp_path, papers):
    port, sentinel_port = free_port(), free_port()
    replication = ("--tls-replication", "yes")
    with contextlib.ExitStack() as running:
        master = running.enter_context(Engine("redis", tmp_path / "master", *papers.engine_settings(port, "no"), *replication))
        master.port, plain = port, master.port
        sentinel = Sentinel("redis", tmp_path / "sentinel", master, *papers.engine_settings(sentinel_port, "no"), *replication)
        master.port = plain
        running.enter_context(sentinel)
        url = f"rediss+sentinel://127.0.0.1:{sentinel_port}/{SERVICE}"
        machine = running.enter_context(Machine("A", url, *papers.client_flags(), workers=1))
        machine.await_up()
        assert post(machine, ["by TLS"])[0] == ACKNOWLEDGED
