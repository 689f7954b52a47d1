//! Decides which worker processes there should be, until the last has left as its drain says. Starts and kills nothing: it
//! is told the time and what has become of whom, and answers with steps. A step's `Display` is its log line.
//!
//! A *slot* is a listener that outlives the workers that accept from it, one after the other; at the change from one to
//! the next both may hold it. Each worker process has a number of its own, never used twice.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::policy::drain::Drain;

mod health;
mod leaving;
mod silence;
mod step;
mod worker;

pub use silence::{Doing, Sight, Symptom};
pub use step::{Exit, Failing, Step};

use health::UNANSWERED_BEATS;
use worker::{State, Worker};

/// Names a worker process: never used twice.
pub type WorkerId = u32;

/// The place of a worker, from 0.
pub type SlotId = usize;

/// How long a worker has to serve for its end not to count as a failure in a row.
const HEALTHY: Duration = Duration::from_secs(10);

/// A signal that is meant for all does not reach all at the same time: how long a worker that was sent one waits for the
/// supervisor's own.
const SPREAD: Duration = Duration::from_millis(100);

const FIRST_BACK_OFF: Duration = Duration::from_millis(250);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// How long whatever takes, in the life of workers.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// For a worker to answer.
    pub healthcheck: Duration,
    /// Between the order to leave and the beginning.
    pub drain_delay: Duration,
    /// For a leaving worker's clients to go.
    pub grace: Duration,
    /// Between two reports of how the leaving goes.
    pub report_interval: Duration,
}

/// The workers that there are, and those that there should be.
#[derive(Debug)]
pub struct Roster {
    times: Times,
    beat_interval: Duration,
    slots: Vec<Slot>,
    workers: Vec<Worker>,
    steps: VecDeque<Step>,
    next_worker: WorkerId,
    next_beat: Instant,
    /// Whether there was a time at which every slot had a worker that served.
    has_assembled: bool,
    /// From the first worker that serves on, nothing that befalls workers ends the server.
    has_served: bool,
    drain: Drain,
    /// Everything is another process's: nobody is started any more.
    has_parted: bool,
    /// Whether a worker of those that have left with the whole server did not see all its clients go.
    were_forced: bool,
}

#[derive(Debug, Default)]
struct Slot {
    /// The worker that serves there, or will.
    holder: Option<WorkerId>,
    /// Ended in a row without having served for long.
    failures: u32,
    /// When to start a holder.
    start_at: Option<Instant>,
    /// How the last one ended while no worker had served yet: another is started once one does.
    failed: Option<Exit>,
}

impl Roster {
    /// So many workers are to be started.
    pub fn new(count: usize, times: Times, now: Instant) -> Self {
        let slots = (0..count).map(|_| Slot { start_at: Some(now), ..Slot::default() }).collect();
        let beat_interval = times.healthcheck / UNANSWERED_BEATS;
        Self {
            times,
            beat_interval,
            slots,
            workers: Vec::new(),
            steps: VecDeque::new(),
            next_worker: 0,
            next_beat: now + beat_interval,
            has_assembled: false,
            has_served: false,
            drain: Drain::new(times.grace, times.report_interval).delayed(times.drain_delay),
            has_parted: false,
            were_forced: false,
        }
    }

    /// Whether every slot has a worker that serves.
    pub fn is_complete(&self) -> bool {
        let serves = |id| self.worker(id).is_some_and(Worker::serves);
        self.slots.iter().all(|slot| slot.holder.is_some_and(serves))
    }

    /// The workers that serve.
    pub fn serving(&self) -> impl Iterator<Item = WorkerId> {
        self.workers.iter().filter(|worker| worker.serves()).map(|worker| worker.id)
    }

    /// The workers that leave alone, and have time left.
    pub fn leaving_alone(&self) -> impl Iterator<Item = WorkerId> {
        let leaves =
            |worker: &&Worker| matches!(worker.state, State::Leaving { .. }) && worker.lost_at.is_none();
        self.workers.iter().filter(leaves).map(|worker| worker.id)
    }

    /// Whether the whole server leaves.
    pub fn is_leaving(&self) -> bool {
        self.drain.is_leaving()
    }

    /// Everything is another process's: whoever serves has only to end, and whoever does not yet is not needed.
    pub fn part(&mut self, now: Instant) {
        self.has_parted = true;
        self.begin(now);
    }

    /// Goes on where other workers have served: one that has ended before it could is started again, as any other.
    pub fn succeed(&mut self, now: Instant) {
        self.has_served = true;
        self.steps.retain(|step| !matches!(step, Step::GiveUp { .. }));
        self.start_failed_again(now);
    }

    /// How many there are, or are about to be started.
    pub fn workers(&self) -> usize {
        self.workers.len() + self.slots.iter().filter(|slot| slot.start_at.is_some()).count()
    }

    /// The slot of a worker.
    pub fn slot_of(&self, id: WorkerId) -> Option<SlotId> {
        self.worker(id).map(|worker| worker.slot)
    }

    /// A worker was told to serve.
    pub fn on_ready(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) else { return };
        if worker.state != State::Starting {
            return;
        }
        worker.state = State::Serving { since: now };
        let slot = worker.slot;
        debug_assert!(self.holds(id, slot), "whoever is not needed any more is none that starts");
        self.has_served = true;
        self.start_failed_again(now);
    }

    /// A worker was sent a signal to leave: it does so alone, and another takes its place at once; a second one ends its
    /// grace period. Unless all leave, or are about to: then the signal was meant for them all, and how gently they go is for the
    /// supervisor's own signals to say.
    pub fn on_signalled(&mut self, id: WorkerId, now: Instant) {
        let worker = self.workers.iter_mut().find(|worker| worker.id == id);
        let Some(worker) = worker.filter(|_| !self.drain.is_leaving() && !self.has_parted) else { return };
        let slot = worker.slot;
        if std::mem::replace(&mut worker.was_signalled, true) && matches!(worker.state, State::Leaving { .. })
        {
            worker.insist_at.get_or_insert(now + SPREAD);
            return;
        }
        if self.holds(id, slot) {
            self.slots[slot].holder = None;
            self.slots[slot].start_at = Some(now);
        }
        self.step_down(id, false, now);
    }

    /// A worker's process has ended.
    pub fn on_exit(&mut self, id: WorkerId, exit: Exit, now: Instant) {
        let Some(index) = self.workers.iter().position(|worker| worker.id == id) else { return };
        let worker = self.workers.swap_remove(index);
        let exit = worker.end_of(exit);
        if self.drain.has_begun() || self.has_parted {
            self.were_forced |= exit != Exit::Code(0) && worker.has_served();
            return;
        }
        let slot = worker.slot;
        if self.holds(id, slot) {
            self.replace(slot, worker.state, exit, now);
        }
        let is_start_due = self.slots.iter().any(|slot| slot.start_at.is_some());
        if !self.has_served && self.workers.is_empty() && !is_start_due {
            self.steps.push_back(Step::GiveUp { slot, exit });
        }
    }

    /// One worker more.
    pub fn grow(&mut self, now: Instant) {
        if !self.drain.has_begun() && !self.has_parted {
            self.slots.push(Slot { start_at: Some(now), ..Slot::default() });
        }
    }

    /// One worker less, though never none.
    pub fn shrink(&mut self, now: Instant) {
        if self.drain.has_begun() || self.has_parted || self.slots.len() < 2 {
            return;
        }
        let slot = self.slots.len() - 1;
        self.slots.pop();
        self.steps.push_back(Step::CloseSlot { slot });
        let there: Vec<WorkerId> =
            self.workers.iter().filter(|worker| worker.slot == slot).map(|worker| worker.id).collect();
        there.into_iter().for_each(|id| self.step_down(id, true, now));
    }

    /// What to do now. Call until `None`; it ends with `Complete` or `GiveUp`.
    pub fn poll(&mut self, now: Instant) -> Option<Step> {
        while self.take_drain_step(now) {}
        self.judge(now);
        if !self.has_assembled && self.is_complete() {
            self.has_assembled = true;
            self.steps.push_back(Step::Assembled);
        }
        self.steps.pop_front().or_else(|| self.next_start(now)).or_else(|| self.next_beat(now))
    }

    /// When to ask again at the latest, should nothing happen before.
    pub fn deadline(&self) -> Option<Instant> {
        let starts = self.slots.iter().filter_map(|slot| slot.start_at);
        let workers = self.workers.iter().filter_map(Worker::deadline);
        starts.chain(workers).chain(self.drain.deadline()).chain([self.next_beat]).min()
    }

    fn next_start(&mut self, now: Instant) -> Option<Step> {
        let slot = self.slots.iter().position(|slot| slot.start_at.is_some_and(|at| at <= now))?;
        self.slots[slot].start_at = None;
        let worker = self.start(slot);
        self.slots[slot].holder = Some(worker);
        Some(Step::Start { worker, slot })
    }

    fn start(&mut self, slot: SlotId) -> WorkerId {
        let id = self.next_worker;
        self.next_worker += 1;
        self.workers.push(Worker::new(id, slot));
        id
    }

    /// The holder of a slot is none any more.
    fn replace(&mut self, slot: SlotId, state: State, exit: Exit, now: Instant) {
        let was_healthy = matches!(state, State::Serving { since } if now >= since + HEALTHY);
        let place = &mut self.slots[slot];
        place.failures = if was_healthy { 0 } else { place.failures.saturating_add(1) };
        place.holder = None;
        if !self.has_served {
            place.failed = Some(exit);
            return;
        }
        self.start_again(slot, exit, now);
    }

    /// Starts those again that have ended before anybody served.
    pub fn start_failed_again(&mut self, now: Instant) {
        for slot in 0..self.slots.len() {
            if let Some(exit) = self.slots[slot].failed.take() {
                self.start_again(slot, exit, now);
            }
        }
    }

    fn start_again(&mut self, slot: SlotId, exit: Exit, now: Instant) {
        let back_off = back_off(self.slots[slot].failures);
        self.slots[slot].start_at = Some(now + back_off);
        self.steps.push_back(Step::Ended { slot, exit, back_off });
    }

    fn step_down(&mut self, id: WorkerId, is_last: bool, now: Instant) {
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) else { return };
        match worker.state {
            State::Leaving { .. } | State::Killed { .. } => {}
            State::Starting => self.withdraw(id),
            State::Serving { .. } => {
                worker.state = State::Leaving { until: Some(now + self.times.grace) };
                self.steps.push_back(Step::StepDown { worker: id, slot: worker.slot, is_last });
            }
        }
    }

    /// Whether it is the worker that serves in this slot, or will. The slot may be gone.
    fn holds(&self, id: WorkerId, slot: SlotId) -> bool {
        self.slots.get(slot).is_some_and(|slot| slot.holder == Some(id))
    }

    fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.iter().find(|worker| worker.id == id)
    }
}

/// None after the first failure, then doubling.
fn back_off(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => FIRST_BACK_OFF.saturating_mul(1 << (more - 2).min(16)).min(LONGEST_BACK_OFF),
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
