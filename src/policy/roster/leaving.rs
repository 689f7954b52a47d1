//! How the workers follow the drain of the whole server, which alone decides when it begins and what a signal means.

use std::time::Instant;

use super::step::Step;
use super::worker::State;
use super::{Roster, WorkerId};
use crate::policy::drain::{self, Situation, Workers};

impl Roster {
    /// An operator wants the whole server to leave: that begins it, and never hastens it.
    pub fn ask_to_leave(&mut self, now: Instant) {
        self.drain.ask(now);
        self.take_drain_step(now);
    }

    /// A signal to leave: the first is gentle, a second is not, more change nothing.
    pub fn signal(&mut self, now: Instant) {
        self.drain.signal(now);
        // What there is to say about it goes ahead of what the same turn tells of the workers.
        self.take_drain_step(now);
    }

    /// A worker has closed its listener.
    pub fn on_closed(&mut self, id: WorkerId) {
        self.workers.iter_mut().filter(|worker| worker.id == id).for_each(|worker| worker.listens = false);
    }

    /// When the grace period ends, once all workers wait for their clients.
    pub fn limit(&self) -> Option<Instant> {
        self.drain.limit().filter(|_| self.drain.has_begun())
    }

    /// Takes one step of the drain. Whether there was one.
    pub(super) fn take_drain_step(&mut self, now: Instant) -> bool {
        let workers = Workers {
            left: self.workers.len(),
            listening: self.workers.iter().filter(|worker| worker.listens).count(),
            were_forced: self.were_forced,
        };
        let situation = Situation { workers: Some(workers), ..Situation::default() };
        let Some(step) = self.drain.poll(now, situation) else { return false };
        match step {
            drain::Step::Close => self.begin(now),
            drain::Step::Insisted { .. } => self.hasten(now),
            _ => {}
        }
        self.steps.push_back(Step::Drain(step));
        true
    }

    /// Nobody is started or replaced any more.
    pub(super) fn begin(&mut self, now: Instant) {
        self.slots.iter_mut().for_each(|slot| slot.start_at = None);
        let limit = now + self.times.grace;
        for nth in 0..self.workers.len() {
            match self.workers[nth].state {
                State::Starting => self.withdraw(self.workers[nth].id),
                State::Serving { .. } => self.workers[nth].state = State::Leaving { until: Some(limit) },
                State::Leaving { .. } | State::Killed { .. } => {}
            }
        }
    }

    /// Ends a worker that has not served, and so has nobody to wait for.
    pub(super) fn withdraw(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) {
            worker.state = State::Killed { why: None };
            self.steps.push_back(Step::Withdraw { worker: id, slot: worker.slot });
        }
    }

    fn hasten(&mut self, now: Instant) {
        for worker in &mut self.workers {
            if let State::Leaving { until: Some(until) } = &mut worker.state {
                *until = now;
            }
        }
    }
}

#[cfg(test)]
#[path = "leaving_tests.rs"]
mod tests;
