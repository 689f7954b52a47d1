//! How all workers are replaced, one by one, by the program that is there now. One is tried at a time, and nobody leaves
//! before its successor serves. It begins once every worker has served: until then there is nobody to fall back on.

use std::time::Instant;

use super::step::Step;
use super::worker::{State, Worker};
use super::{Roster, WorkerId};

/// Asked for, and not complete.
#[derive(Debug, Default)]
pub(super) struct Reload {
    /// Whether it has begun.
    pub has_begun: bool,
    /// The worker that is to replace another, and does not serve yet.
    pub attempt: Option<WorkerId>,
}

impl Roster {
    /// Replaces all workers that were started before now. If that is under way already, it begins anew: the program may
    /// have changed once more, and the last one may hang.
    pub fn reload(&mut self, now: Instant) {
        if self.drain.has_begun() || self.has_parted {
            return;
        }
        self.abandon_attempt();
        self.generation += 1;
        self.reload = Some(Reload::default());
        // The program may be another: it need not wait for what the last one has failed in.
        for slot in self.slots.iter_mut().filter(|slot| slot.start_at.is_some()) {
            (slot.failures, slot.start_at) = (0, Some(now));
        }
    }

    /// Goes on with the first slot whose worker is to be replaced, once the last attempt serves.
    pub(super) fn continue_reload(&mut self) {
        let is_complete = self.is_complete();
        if !self.has_assembled && is_complete {
            self.has_assembled = true;
            self.steps.push_back(Step::Assembled);
        }
        let Some(reload) = self.reload.as_mut().filter(|reload| reload.attempt.is_none()) else { return };
        if !self.has_assembled {
            return;
        }
        if !std::mem::replace(&mut reload.has_begun, true) {
            self.steps.push_back(Step::Reloading);
        }
        let is_old = |worker: &&Worker| worker.serves() && worker.generation < self.generation;
        let holders = self.slots.iter().filter_map(|slot| self.worker(slot.holder?));
        if let Some(slot) = holders.filter(is_old).map(|worker| worker.slot).next() {
            let worker = self.start(slot);
            self.reload = Some(Reload { has_begun: true, attempt: Some(worker) });
            self.steps.push_back(Step::Start { worker, slot });
        } else if is_complete {
            self.reload = None;
            self.steps.push_back(Step::Reloaded);
        }
    }

    /// The new program breaks: the workers that it has not replaced yet stay.
    pub(super) fn stop_reload(&mut self) {
        self.abandon_attempt();
        self.reload = None;
    }

    fn abandon_attempt(&mut self) {
        let Some(id) = self.reload.as_mut().and_then(|reload| reload.attempt.take()) else { return };
        if self.worker(id).is_some_and(|worker| worker.state == State::Starting) {
            self.withdraw(id);
        }
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
