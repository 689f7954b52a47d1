"""What all stories have in common: several machines on one engine, a crowd that listens, and somebody who publishes."""
import contextlib
import itertools

import pytest

from crowd import Crowd, EventStreamListener, Publisher, WebSocketListener
from engine import Engine, sentinel_url, watched
from judge import ACKNOWLEDGED, judge
from machine import Machine
from programs import wait_until


class Waters:
    """Everything of one story. What it does to the engine is up to the test."""

    def __init__(self, running, engine, url, machines=2, workers=2, flags=(), pace=0.03, fill=""):
        self.engine = engine  # whose stream counts
        self._begins = {}
        self.running, self.url, self.workers, self.flags = running, url, workers, flags
        self.machines = []
        for name in "ABC"[:machines]:
            self.welcome(self.start_machine(name))
        self.note_begins()
        homes = [[machine] for machine in self.machines]
        self.listeners = [
            *(WebSocketListener(f"settled {n}", home, False) for n, home in enumerate(homes * 2)),
            *(EventStreamListener(f"settled stream {n}", home, False) for n, home in enumerate(homes)),
            *(WebSocketListener(f"restless {n}", self.machines, True) for n in range(4)),
            EventStreamListener("restless stream", self.machines, True)]
        self.crowd = running.enter_context(Crowd(self.listeners))
        self.publishers = [Publisher(f"publisher {n}", self.machines, pace, fill) for n in range(2)]
        self.last = Publisher("last", self.machines)
        self._marks = itertools.count()
        for each in self.publishers:
            each.start()
            running.callback(each.stop)

    def start_machine(self, name):
        return self.running.enter_context(Machine(name, self.url, *self.flags, workers=self.workers))

    def welcome(self, machine):
        """Once it is ready, clients and publishers come to it as well."""
        machine.await_up()
        self.machines.append(machine)

    def fall_silent(self):
        for each in self.publishers:
            each.stop()

    def hear_on(self):
        """Waits until something that is published only now was heard by everybody."""
        self.crowd.await_heard(self.last.insist([f"mark {next(self._marks)}"]))

    def await_down(self):
        for machine in self.machines:
            machine.await_down()

    def await_up(self):
        for machine in self.machines:
            machine.await_up()

    def note_begins(self):
        """Keeps what the stream says of its epochs, ahead of its loss. The newest one."""
        self._begins |= self.engine.begins()
        return max(self._begins)

    @contextlib.contextmanager
    def another_epoch(self):
        """Once everybody has heard all so far, what is done within makes the machines begin another epoch."""
        self.hear_on()
        begun = self.note_begins()
        yield
        wait_until(lambda: self.note_begins() > begun, f"an epoch behind {begun}")

    def nobody_missed_anything_unawares(self):
        """Has everybody hear the end, and judges."""
        self.fall_silent()
        self.hear_on()
        self.note_begins()
        published = [record for each in (*self.publishers, self.last) for record in each.published]
        verdict = judge({each.name: list(each.records) for each in self.listeners}, published, self._begins)
        print(f"{len(published)} published, {verdict.heard} heard by {len(self.listeners)} clients on {len(self.machines)} machines;"
              f" {len(verdict.told)} told of a gap, {len(verdict.in_vain)} of them in vain;"
              f" {len(verdict.lost)} acknowledged and lost by the engine; {len(self._begins)} epochs")
        assert verdict.faults == []
        return verdict

    def nobody_missed_anything(self):
        verdict = self.nobody_missed_anything_unawares()
        assert (verdict.told, verdict.lost) == ([], [])

    def every_publisher_was_answered(self):
        """Each of them, and without having to try again."""
        assert [record for each in self.publishers for record in each.published if record.outcome != ACKNOWLEDGED] == []

    def nobody_was_told_in_vain(self):
        """As little was missed; but clients may have come to a machine that had not heard yet what they had, and said so."""
        verdict = self.nobody_missed_anything_unawares()
        assert [told for told in verdict.told if "did not resume" not in told] == []
        assert (verdict.in_vain, verdict.lost) == ([], [])

    def everybody_was_told(self):
        """Each settled client was, on its live connection. A restless one may just have come, and been told then."""
        told = self.nobody_missed_anything_unawares().told
        settled = {each.name for each in self.listeners if not each.is_restless}
        assert {name for name in settled if any(line.startswith(f"{name}: gap") for line in told)} == settled


@pytest.fixture
def waters(tmp_path):
    """Begins a story: `with waters(kind, *settings) as it: ...`. What is to be done to the engine ahead of it is done by `before`,
    and answers with who the machines are there."""
    @contextlib.contextmanager
    def begin(kind, *settings, before=lambda engine: "", **wishes):
        with contextlib.ExitStack() as running:
            engine = running.enter_context(Engine(kind, tmp_path / "engine", *settings))
            url = f"redis://{before(engine)}127.0.0.1:{engine.port}"
            yield Waters(running, engine, url, **wishes)
    return begin


@pytest.fixture
def watched_waters(tmp_path):
    """The same with a master, a replica and three sentinels."""
    @contextlib.contextmanager
    def begin(kind, **wishes):
        with contextlib.ExitStack() as running:
            master, replica, sentinels = running.enter_context(watched(kind, tmp_path))
            it = Waters(running, master, sentinel_url(sentinels), **wishes)
            it.master, it.replica, it.sentinels = master, replica, sentinels
            yield it
    return begin
