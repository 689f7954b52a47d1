//! How a supervisor hands over, with all its workers: what `Predecessor` does for one process, and between that what each
//! worker has to do. All of them are held before any moves, so that nobody hears what another has not; either all are the
//! successor's, or all go on.
//!
//! ```text
//! supervisor           worker
//! WindUp         →                serves on; says so at the first moment in which no request is half read
//! Hold           →                reads no more, accepts nobody; answers what was asked
//! Move           →                packs its connections and sends them to a worker of the successor's
//! Commit, Resume →                parts with them, or goes on
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Heard, LEAVING, Predecessor, Stage, Step, WINDING_UP, Why};
use crate::policy::roster::WorkerId;

/// How long it is waited for the answers that held workers still owe. Nobody is heard meanwhile; but who has asked is not to
/// hear that it was in vain. They come at once, unless the machine has much else to do.
pub const HOLDING: Duration = Duration::from_millis(500);

/// How long held workers wait for the rest of requests that are half read, which may never come.
pub const FINISHING: Duration = Duration::from_millis(100);

/// How far a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Serving,
    WoundUp,
    Held,
    Moved,
}

/// What a worker has said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// No request was half read.
    WoundUp,
    /// It owes no answer.
    Held,
    /// All its connections that can move have been taken.
    Moved {
        /// How many.
        moved: u64,
        /// How many cannot.
        stayed: u64,
    },
    /// They have not.
    NotMoved(String),
}

/// What a supervisor does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CrewStep {
    /// Send what is listened on.
    Offer {
        /// The format of what follows.
        format: u32,
    },
    /// Tell the workers to wind up.
    WindUp,
    /// Tell them to hold.
    Hold,
    /// Position nothing more; tell them to move, and send how everything else stands; then say `moving`.
    Move,
    /// Say that all is the successor's; then it is, unless that fails.
    Commit,
    /// Tell the successor and the workers, and go on.
    GiveUp(Why),
}

/// What all workers are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    WindingUp { until: Instant },
    Holding { until: Instant },
    Moving,
}

/// A supervisor that hands over.
#[derive(Debug, Clone)]
pub struct CrewPredecessor {
    own: Predecessor,
    phase: Phase,
    parts: BTreeMap<WorkerId, Part>,
    moved: u64,
    stayed: u64,
}

impl CrewPredecessor {
    /// These workers are to move.
    pub fn new(own: Predecessor, workers: impl IntoIterator<Item = WorkerId>) -> Self {
        let parts = workers.into_iter().map(|worker| (worker, Part::Serving)).collect();
        Self { own, phase: Phase::Serving, parts, moved: 0, stayed: 0 }
    }

    /// The workers that are to move, in the order of their channels.
    pub fn workers(&self) -> impl Iterator<Item = WorkerId> {
        self.parts.keys().copied()
    }

    /// Connections that have moved, and those that could not.
    pub fn counted(&self) -> (u64, u64) {
        (self.moved, self.stayed)
    }

    /// Whether workers are silent because they were told to be.
    pub fn is_held(&self) -> bool {
        matches!(self.phase, Phase::Holding { .. } | Phase::Moving)
    }

    /// When there is something to do though nothing is heard.
    pub fn next_deadline(&self) -> Instant {
        match self.phase {
            Phase::WindingUp { until } | Phase::Holding { until } => until.min(self.own.deadline()),
            Phase::Serving | Phase::Moving => self.own.deadline(),
        }
    }

    /// The successor has said something.
    pub fn on_heard(&mut self, heard: Heard, now: Instant) {
        self.own.on_heard(heard, now);
    }

    /// A worker has said something.
    pub fn on_said(&mut self, worker: WorkerId, said: Said) {
        let phase = self.phase;
        let Some(part) = self.parts.get_mut(&worker) else { return };
        *part = match (said, *part, phase) {
            (Said::WoundUp, Part::Serving, Phase::WindingUp { .. }) => Part::WoundUp,
            (Said::Held, Part::Serving | Part::WoundUp, Phase::Holding { .. }) => Part::Held,
            // On its way when that was no longer waited for.
            (Said::WoundUp | Said::Held, part, _) => part,
            (Said::Moved { moved, stayed }, Part::Serving | Part::WoundUp | Part::Held, Phase::Moving) => {
                self.moved += moved;
                self.stayed += stayed;
                Part::Moved
            }
            (Said::Moved { .. }, part, _) => {
                self.own.on_failed("a worker has moved though it was not told to".to_owned());
                part
            }
            (Said::NotMoved(why), part, _) => {
                self.own.on_failed(why);
                part
            }
        };
    }

    /// A worker has ended, or does not serve any more.
    pub fn on_gone(&mut self, worker: WorkerId) {
        if self.parts.contains_key(&worker) {
            self.own.on_cause("one of its workers has left or ended meanwhile".to_owned());
        }
    }

    /// The same, where the others can be left without it: nobody has to take over all or nothing. What it has left whole is left.
    pub fn do_without(&mut self, worker: WorkerId) {
        self.parts.remove(&worker);
    }

    /// The server has been told to leave.
    pub fn on_leaving(&mut self) {
        self.own.on_cause(LEAVING.to_owned());
    }

    /// What could not be done here.
    pub fn on_failed(&mut self, why: String) {
        self.own.on_failed(why);
    }

    /// How everything else stands was sent.
    pub fn moving(&mut self) {
        self.own.moving(0);
    }

    /// What to do next; `None` until something is heard or due.
    pub fn poll(&mut self, now: Instant) -> Option<CrewStep> {
        let is_ready = matches!(self.own.stage(), Stage::Ready(_));
        let waits = match self.phase {
            Phase::Serving | Phase::WindingUp { .. } | Phase::Holding { .. } => is_ready,
            Phase::Moving => self.own.stage() == Stage::Prepared && !self.have_all(Part::Moved),
        };
        if !waits {
            return self.own.poll(now, || false).and_then(said_of_a_crew);
        }
        if let Some(failed) = self.own.poll_failed(now) {
            return said_of_a_crew(failed);
        }
        match self.phase {
            Phase::Serving => {
                self.phase = Phase::WindingUp { until: now + WINDING_UP };
                Some(CrewStep::WindUp)
            }
            Phase::WindingUp { until } if now >= until || self.have_all(Part::WoundUp) => {
                self.phase = Phase::Holding { until: now + HOLDING };
                Some(CrewStep::Hold)
            }
            Phase::Holding { until } if now >= until || self.have_all(Part::Held) => {
                self.phase = Phase::Moving;
                self.own.poll(now, || false).and_then(said_of_a_crew)
            }
            Phase::WindingUp { .. } | Phase::Holding { .. } | Phase::Moving => None,
        }
    }

    fn have_all(&self, reached: Part) -> bool {
        self.parts.values().all(|part| *part >= reached)
    }
}

/// A supervisor has no connections of its own: there are no batches.
fn said_of_a_crew(step: Step) -> Option<CrewStep> {
    Some(match step {
        Step::Offer { format } => CrewStep::Offer { format },
        Step::Cut => CrewStep::Move,
        Step::Batch(_) => return None,
        Step::Commit => CrewStep::Commit,
        Step::GiveUp(why) => CrewStep::GiveUp(why),
    })
}

#[cfg(test)]
#[path = "crew_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "crew_model_tests.rs"]
mod model;
