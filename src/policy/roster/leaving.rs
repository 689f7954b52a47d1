//! How the roster takes the orders to leave: an operator's begins it, the first signal as well, and a second one insists.

use std::time::{Duration, Instant};

use super::departure::{Departure, Stage, Urgency};
use super::step::Step;
use super::worker::State;
use super::{Roster, WorkerId};

/// How long workers have to close their listeners before the leaving goes on regardless.
pub(super) const CLOSING: Duration = Duration::from_secs(1);

impl Roster {
    /// An operator wants the whole server to leave: that begins it, and never hastens it.
    pub fn ask_to_leave(&mut self, now: Instant) {
        if self.departure.is_none() {
            self.depart(Urgency::Asked, now);
        }
    }

    /// A signal to leave: the first is gentle, a second is not, more change nothing.
    pub fn signal(&mut self, now: Instant) {
        let Some(departure) = &mut self.departure else { return self.depart(Urgency::Signalled, now) };
        match departure.urgency {
            Urgency::Asked => {
                departure.urgency = Urgency::Signalled;
                self.steps.push_back(Step::Armed);
            }
            Urgency::Signalled => {
                departure.urgency = Urgency::Insisted;
                match departure.stage {
                    Stage::Delayed { .. } => self.begin(now),
                    // It follows what tells everyone to leave.
                    Stage::Closing { .. } => {}
                    Stage::Begun => self.insist(now),
                }
            }
            Urgency::Insisted => {}
        }
    }

    /// A worker has closed its listener.
    pub fn on_closed(&mut self, id: WorkerId) {
        self.workers.iter_mut().filter(|worker| worker.id == id).for_each(|worker| worker.listens = false);
    }

    /// Whether the delay is over: nobody is started or replaced any more.
    pub(super) fn has_begun_to_leave(&self) -> bool {
        self.departure.is_some_and(|departure| !matches!(departure.stage, Stage::Delayed { .. }))
    }

    /// When the leaving goes on by itself.
    pub(super) fn next_stage_at(&self) -> Option<Instant> {
        match self.departure?.stage {
            Stage::Delayed { begins: at } | Stage::Closing { until: at } => Some(at),
            Stage::Begun => None,
        }
    }

    pub(super) fn depart_if_due(&mut self, now: Instant) {
        match self.departure {
            Some(Departure { stage: Stage::Delayed { begins }, .. }) if begins <= now => self.begin(now),
            Some(Departure { stage: Stage::Closing { until }, .. }) => self.leave_if_closed(until, now),
            _ => {}
        }
    }

    fn depart(&mut self, urgency: Urgency, now: Instant) {
        let stage = Stage::Delayed { begins: now + self.times.drain_delay };
        self.departure = Some(Departure { stage, urgency });
        self.steps.push_back(Step::Announce);
    }

    fn begin(&mut self, now: Instant) {
        let Some(departure) = &mut self.departure else { return };
        departure.stage = Stage::Closing { until: now + CLOSING };
        self.reload = None;
        self.slots.iter_mut().for_each(|slot| slot.start_at = None);
        let limit = now + self.times.patience;
        for nth in 0..self.workers.len() {
            match self.workers[nth].state {
                State::Starting => self.withdraw(self.workers[nth].id),
                State::Serving { .. } => self.workers[nth].state = State::Leaving { until: Some(limit) },
                State::Leaving { .. } | State::Killed { .. } => {}
            }
        }
        self.steps.push_back(Step::CloseAll);
    }

    /// Goes on once the port is free for a successor.
    fn leave_if_closed(&mut self, until: Instant, now: Instant) {
        let Some(departure) = &mut self.departure else { return };
        let workers = self.workers.iter().filter(|worker| worker.listens).count();
        if workers > 0 && now < until {
            return;
        }
        departure.stage = Stage::Begun;
        let is_insisted = departure.urgency == Urgency::Insisted;
        if workers > 0 {
            self.steps.push_back(Step::StillListening { workers });
        }
        self.steps.push_back(Step::LeaveAll);
        if is_insisted {
            self.insist(now);
        }
    }

    /// Ends a worker that has not served, and so has nobody to wait for.
    pub(super) fn withdraw(&mut self, id: WorkerId) {
        self.reload.iter_mut().for_each(|reload| _ = reload.attempt.take_if(|attempt| *attempt == id));
        if let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) {
            worker.state = State::Killed { why: None };
            self.steps.push_back(Step::Withdraw { worker: id, slot: worker.slot });
        }
    }

    fn insist(&mut self, now: Instant) {
        self.was_forced = true;
        for worker in &mut self.workers {
            if let State::Leaving { until: Some(until) } = &mut worker.state {
                *until = now;
            }
        }
        self.steps.push_back(Step::InsistAll);
    }
}

#[cfg(test)]
#[path = "leaving_tests.rs"]
mod tests;
