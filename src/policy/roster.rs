//! Decides which worker processes there should be. Starts and kills nothing: it is told the time and what has become
//! of whom, and answers with steps. A step's `Display` is its log line.
//!
//! A *slot* is a listener that outlives the workers who accept from it, one after the other; at the change from one to
//! the next both may hold it. Each worker process has a number of its own, never used twice.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::policy::drain::Outcome;

mod step;

pub use step::{Exit, Failing, Step};

/// Names a worker process: never used twice.
pub type WorkerId = u32;

/// The place of a worker, from 0.
pub type SlotId = usize;

/// How long a worker may take from its start until it serves.
const STARTUP: Duration = Duration::from_secs(10);

/// How long a worker has to serve for its end not to count as a failure in a row.
const HEALTHY: Duration = Duration::from_secs(10);

const FIRST_BACK_OFF: Duration = Duration::from_millis(250);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// While nobody serves: starts that fail in a row before the attempt is given up.
const STARTS_AT_MOST: u32 = 5;

/// Beats that a worker may leave unanswered.
const UNANSWERED_BEATS: u32 = 5;

/// The workers that there are, and those that there should be.
#[derive(Debug)]
pub struct Roster {
    beat_interval: Duration,
    slots: Vec<Slot>,
    workers: Vec<Worker>,
    steps: VecDeque<Step>,
    next_worker: WorkerId,
    next_beat: Instant,
    /// The slot whose worker is being replaced, while a reload goes through them.
    reloading: Option<SlotId>,
    /// Whether another reload was asked for meanwhile: the program may have changed once more.
    reloads_again: bool,
    has_served: bool,
    leaving: bool,
    was_forced: bool,
    is_over: bool,
}

#[derive(Debug, Default)]
struct Slot {
    /// Who serves there, or will.
    holder: Option<WorkerId>,
    /// Ended in a row without having served for long.
    failures: u32,
    /// When to start a holder.
    start_at: Option<Instant>,
}

#[derive(Debug)]
struct Worker {
    id: WorkerId,
    slot: SlotId,
    state: State,
    was_heard: bool,
    unanswered: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting { by: Instant },
    Serving { since: Instant },
    Leaving,
    Killed,
}

impl Roster {
    /// So many workers are to be started; one that does not answer for so long is to be replaced.
    pub fn new(count: usize, healthcheck: Duration, now: Instant) -> Self {
        let slots = (0..count).map(|_| Slot { start_at: Some(now), ..Slot::default() }).collect();
        let beat_interval = healthcheck / UNANSWERED_BEATS;
        Self {
            beat_interval,
            slots,
            workers: Vec::new(),
            steps: VecDeque::new(),
            next_worker: 0,
            next_beat: now + beat_interval,
            reloading: None,
            reloads_again: false,
            has_served: false,
            leaving: false,
            was_forced: false,
            is_over: false,
        }
    }

    /// Whether every slot has somebody who serves.
    pub fn is_complete(&self) -> bool {
        let serves = |id| matches!(self.worker(id), Some(Worker { state: State::Serving { .. }, .. }));
        self.slots.iter().all(|slot| slot.holder.is_some_and(serves))
    }

    /// Whether the whole server is leaving.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// The slot of a worker.
    pub fn slot_of(&self, id: WorkerId) -> Option<SlotId> {
        self.worker(id).map(|worker| worker.slot)
    }

    /// A worker serves.
    pub fn on_ready(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) else { return };
        if !matches!(worker.state, State::Starting { .. }) {
            return;
        }
        worker.state = State::Serving { since: now };
        let slot = worker.slot;
        self.has_served = true;
        let old = self.slots[slot].holder.replace(id).filter(|old| *old != id);
        if let Some(old) = old {
            self.step_down(old, false);
        }
        if self.reloading == Some(slot) {
            self.reload_from(slot + 1, now);
        }
    }

    /// A worker has shown a sign of life, or was given no occasion to.
    pub fn on_heard(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) {
            worker.was_heard = true;
        }
    }

    /// A worker was sent a signal to leave: it does so alone, and another takes its place at once.
    pub fn on_signalled(&mut self, id: WorkerId, now: Instant) {
        let Some(slot) = self.slot_of(id).filter(|_| !self.leaving) else { return };
        if self.holds(id, slot) {
            self.slots[slot].holder = None;
            self.slots[slot].start_at = Some(now);
        }
        self.step_down(id, false);
    }

    /// A worker takes nothing, or says what nobody understands.
    pub fn on_stuck(&mut self, id: WorkerId) {
        self.kill(id, Failing::ToKeepUp);
    }

    /// A worker's process has ended.
    pub fn on_exit(&mut self, id: WorkerId, exit: Exit, now: Instant) {
        let Some(index) = self.workers.iter().position(|worker| worker.id == id) else { return };
        let worker = self.workers.swap_remove(index);
        if self.leaving {
            self.was_forced |= exit != Exit::Code(0);
            return;
        }
        let slot = worker.slot;
        let is_holder = self.holds(id, slot);
        if self.reloading == Some(slot) && !is_holder && worker.state != State::Leaving {
            (self.reloading, self.reloads_again) = (None, false);
            return self.steps.push_back(Step::ReloadFailed { slot, exit });
        }
        if !is_holder {
            return;
        }
        let was_healthy = matches!(worker.state, State::Serving { since } if now >= since + HEALTHY);
        let place = &mut self.slots[slot];
        place.failures = if was_healthy { 0 } else { place.failures + 1 };
        place.holder = None;
        let has_hope = self.has_served && place.failures <= STARTS_AT_MOST;
        if !has_hope && !self.workers.iter().any(|worker| matches!(worker.state, State::Serving { .. })) {
            self.is_over = true;
            return self.steps.push_back(Step::GiveUp { slot, exit });
        }
        let back_off = back_off(place.failures);
        place.start_at = Some(now + back_off);
        self.steps.push_back(Step::Ended { slot, exit, back_off });
    }

    /// A signal to leave: the first is gentle, a second is not, more change nothing.
    pub fn leave(&mut self) {
        let is_first = !std::mem::replace(&mut self.leaving, true);
        self.steps.push_back(if is_first { Step::LeaveAll } else { Step::InsistAll });
        self.was_forced |= !is_first;
        self.reloading = None;
        self.slots.iter_mut().for_each(|slot| slot.start_at = None);
    }

    /// Replaces all workers, one by one; asked for during a reload, it follows that one.
    pub fn reload(&mut self, now: Instant) {
        if self.reloading.is_some() {
            self.reloads_again = true;
        } else if !self.leaving {
            self.reload_from(0, now);
        }
    }

    /// One worker more.
    pub fn grow(&mut self, now: Instant) {
        if !self.leaving {
            self.slots.push(Slot { start_at: Some(now), ..Slot::default() });
        }
    }

    /// One worker less, though never none.
    pub fn shrink(&mut self) {
        if self.leaving || self.slots.len() < 2 {
            return;
        }
        let slot = self.slots.len() - 1;
        self.slots.pop();
        self.reloading = self.reloading.filter(|reloading| *reloading != slot);
        let there: Vec<WorkerId> =
            self.workers.iter().filter(|worker| worker.slot == slot).map(|worker| worker.id).collect();
        there.into_iter().for_each(|id| self.step_down(id, true));
    }

    /// What to do now. Call until `None`; it ends with `Complete` or `GiveUp`.
    pub fn poll(&mut self, now: Instant) -> Option<Step> {
        self.steps.pop_front().or_else(|| self.next_start(now)).or_else(|| self.next_beat(now)).or_else(
            || {
                let is_complete = self.leaving && self.workers.is_empty() && !self.is_over;
                self.is_over |= is_complete;
                let outcome = if self.was_forced { Outcome::Forced } else { Outcome::Drained };
                is_complete.then_some(Step::Complete(outcome))
            },
        )
    }

    /// When to ask again at the latest, should nothing happen before.
    pub fn deadline(&self) -> Option<Instant> {
        self.slots.iter().filter_map(|slot| slot.start_at).chain([self.next_beat]).min()
    }

    fn next_start(&mut self, now: Instant) -> Option<Step> {
        let slot = self.slots.iter().position(|slot| slot.start_at.is_some_and(|at| at <= now))?;
        self.slots[slot].start_at = None;
        let worker = self.start(slot, now);
        self.slots[slot].holder = Some(worker);
        Some(Step::Start { worker, slot })
    }

    fn next_beat(&mut self, now: Instant) -> Option<Step> {
        if now < self.next_beat {
            return None;
        }
        // From now, not from when it was due: what this process has slept through nobody could answer.
        self.next_beat = now + self.beat_interval;
        let mut failing = vec![];
        for worker in &mut self.workers {
            worker.unanswered = if std::mem::take(&mut worker.was_heard) { 0 } else { worker.unanswered + 1 };
            match worker.state {
                State::Starting { by } if now >= by => failing.push((worker.id, Failing::ToStart)),
                State::Serving { .. } | State::Leaving if worker.unanswered >= UNANSWERED_BEATS => {
                    failing.push((worker.id, Failing::ToAnswer));
                }
                _ => {}
            }
        }
        failing.into_iter().for_each(|(id, why)| self.kill(id, why));
        Some(Step::Beat)
    }

    fn start(&mut self, slot: SlotId, now: Instant) -> WorkerId {
        let id = self.next_worker;
        self.next_worker += 1;
        let state = State::Starting { by: now + STARTUP };
        self.workers.push(Worker { id, slot, state, was_heard: true, unanswered: 0 });
        id
    }

    /// Goes on with the first slot from here on whose worker is not about to be replaced anyway.
    fn reload_from(&mut self, first: SlotId, now: Instant) {
        self.reloading = (first..self.slots.len()).find(|slot| self.slots[*slot].holder.is_some());
        let Some(slot) = self.reloading else {
            return match std::mem::take(&mut self.reloads_again) {
                true => self.reload_from(0, now),
                false => self.steps.push_back(Step::Reloaded),
            };
        };
        let worker = self.start(slot, now);
        self.steps.push_back(Step::Start { worker, slot });
    }

    fn step_down(&mut self, id: WorkerId, is_last: bool) {
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) else { return };
        if !matches!(worker.state, State::Leaving | State::Killed) {
            worker.state = State::Leaving;
            self.steps.push_back(Step::StepDown { worker: id, slot: worker.slot, is_last });
        }
    }

    fn kill(&mut self, id: WorkerId, why: Failing) {
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) else { return };
        if worker.state != State::Killed {
            worker.state = State::Killed;
            self.steps.push_back(Step::Kill { worker: id, slot: worker.slot, why });
        }
    }

    /// Whether it is the one who serves in this slot, or will. The slot may be gone.
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
