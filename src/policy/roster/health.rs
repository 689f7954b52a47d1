//! Whether the workers live: what is heard and seen of them, and which have to go for it.

use std::time::{Duration, Instant};

use super::silence::{Bounds, Doing, Sight};
use super::step::{Exit, Failing, Step};
use super::worker::State;
use super::{Roster, WorkerId};

/// Beats that a worker may leave unanswered, if it is seen to do nothing. They are counted, not timed: what this process
/// has slept through nobody could answer.
pub(super) const UNANSWERED_BEATS: u32 = 5;

/// How long a worker may do nothing from its start on, and not serve.
const STARTUP: Duration = Duration::from_secs(10);

/// How long a worker may wait for a disk or for memory that was swapped out, or wake only to sleep on.
const DULL: Duration = Duration::from_secs(60);

/// A process that ends loses its link first: how long it has for the rest.
const ENDING: Duration = Duration::from_secs(1);

impl Roster {
    /// A worker has shown a sign of life, or was given no occasion to.
    pub fn on_heard(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) {
            worker.silence.end();
        }
    }

    /// What a worker's process does, as far as that can be seen.
    pub fn on_seen(&mut self, id: WorkerId, sight: Option<Sight>, now: Instant) {
        let (startup, dull) = (self.beats_in(STARTUP), self.beats_in(DULL));
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) else { return };
        let idle = if worker.state == State::Starting { startup } else { UNANSWERED_BEATS };
        worker.silence.on_seen(sight, Bounds { idle, dull }, now);
        if std::mem::take(&mut worker.is_stuck) {
            let is_idle = sight.is_some_and(|sight| matches!(sight.doing, Doing::Sleeping | Doing::Stopped));
            if is_idle || !worker.serves() {
                return self.kill(id, Failing::ToKeepUp);
            }
            worker.lost_at = Some(now);
            self.steps.push_back(Step::Cut { worker: id, slot: worker.slot });
        }
    }

    /// A worker takes nothing, and too much waits for it. If it is frozen, it has to go; if it only has no time, it leaves
    /// with its clients, who are told elsewhere what they have missed.
    pub fn on_stuck(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) else { return };
        match worker.state {
            State::Killed { .. } => {}
            State::Leaving { .. } => self.steps.push_back(Step::Cut { worker: id, slot: worker.slot }),
            State::Starting | State::Serving { .. } => {
                if !std::mem::replace(&mut worker.is_stuck, true) {
                    self.steps.push_back(Step::Look { worker: id });
                }
            }
        }
    }

    /// The link to a worker is broken: nothing can be said to it any more. It notices that, and leaves by itself.
    pub fn on_lost(&mut self, id: WorkerId, now: Instant) {
        if let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id && worker.serves()) {
            worker.lost_at.get_or_insert(now + ENDING);
        }
    }

    pub(super) fn next_beat(&mut self, now: Instant) -> Option<Step> {
        if now < self.next_beat {
            return None;
        }
        // From now, not from when it was due: what this process has slept through nobody could answer.
        self.next_beat = now + self.beat_interval;
        for worker in &mut self.workers {
            if worker.silence.on_beat() {
                self.steps.push_back(Step::Look { worker: worker.id });
            }
        }
        Some(Step::Beat)
    }

    /// Does what has become due for single workers.
    pub(super) fn judge(&mut self, now: Instant) {
        for nth in 0..self.workers.len() {
            let worker = &mut self.workers[nth];
            let (id, slot, state) = (worker.id, worker.slot, worker.state);
            if worker.lost_at.take_if(|at| *at <= now).is_some() && worker.serves() {
                worker.state = State::Leaving { until: Some(now + self.times.grace) };
                if self.holds(id, slot) && !self.has_parted {
                    self.replace(slot, state, Exit::LinkLost, now);
                }
            }
            let worker = &mut self.workers[nth];
            if worker.insist_at.take_if(|at| *at <= now).is_some()
                && !self.drain.is_leaving()
                && let State::Leaving { until } = &mut worker.state
            {
                *until = until.map(|until| until.min(now));
                self.steps.push_back(Step::Insist { worker: id });
            }
            if let State::Leaving { until } = &mut worker.state
                && until.take_if(|until| *until <= now).is_some()
                && worker.silence.reconsider()
            {
                self.steps.push_back(Step::Look { worker: id });
            }
            let worker = &self.workers[nth];
            let verdict = worker.silence.verdict().filter(|(at, _)| *at <= now && worker.may_be_killed());
            if let Some((_, symptom)) = verdict {
                let why = match worker.state {
                    State::Starting => Failing::ToStart(symptom),
                    State::Leaving { .. } => Failing::ToLeave(symptom),
                    State::Serving { .. } | State::Killed { .. } => Failing::ToAnswer(symptom),
                };
                self.kill(id, why);
            }
        }
    }

    fn kill(&mut self, id: WorkerId, why: Failing) {
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) else { return };
        if !matches!(worker.state, State::Killed { .. }) {
            worker.state = State::Killed { why: Some(why) };
            self.steps.push_back(Step::Kill { worker: id, slot: worker.slot, why });
        }
    }

    /// So many beats take at least that long.
    fn beats_in(&self, duration: Duration) -> u32 {
        let beats = duration.as_nanos().div_ceil(self.beat_interval.as_nanos().max(1));
        u32::try_from(beats).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
