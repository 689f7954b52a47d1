//! How the roster takes the orders to leave: an operator's begins it, the first signal as well, and a second one insists.

use std::time::Instant;

use super::Roster;
use super::departure::{Departure, Stage, Urgency};
use super::step::Step;
use super::worker::State;

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
                self.begin(now);
                self.insist(now);
            }
            Urgency::Insisted => {}
        }
    }

    /// Whether every worker has been told to leave.
    pub(super) fn has_begun_to_leave(&self) -> bool {
        matches!(self.departure, Some(Departure { stage: Stage::Begun { .. }, .. }))
    }

    /// When the leaving begins, if it is delayed.
    pub(super) fn begins(&self) -> Option<Instant> {
        match self.departure?.stage {
            Stage::Delayed { begins } => Some(begins),
            Stage::Begun { .. } => None,
        }
    }

    pub(super) fn begin_if_due(&mut self, now: Instant) {
        if self.begins().is_some_and(|begins| begins <= now) {
            self.begin(now);
        }
    }

    fn depart(&mut self, urgency: Urgency, now: Instant) {
        let stage = Stage::Delayed { begins: now + self.times.drain_delay };
        self.departure = Some(Departure { stage, urgency });
        self.steps.push_back(Step::Announce);
    }

    fn begin(&mut self, now: Instant) {
        let Some(departure) = self.departure.as_mut().filter(|d| matches!(d.stage, Stage::Delayed { .. }))
        else {
            return;
        };
        let limit = now + self.times.patience;
        departure.stage = Stage::Begun { limit };
        self.reloading = None;
        self.slots.iter_mut().for_each(|slot| slot.start_at = None);
        for worker in self.workers.iter_mut().filter(|worker| worker.serves()) {
            worker.state = State::Leaving { until: Some(limit) };
        }
        self.steps.push_back(Step::LeaveAll);
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
