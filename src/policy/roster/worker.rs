//! One worker process, as the roster knows it.

use std::time::Instant;

use super::silence::Silence;
use super::{SlotId, WorkerId};

#[derive(Debug)]
pub(super) struct Worker {
    pub id: WorkerId,
    pub slot: SlotId,
    pub state: State,
    pub silence: Silence,
    /// It takes nothing of what waits for it: to be judged by the next look.
    pub is_stuck: bool,
    /// Its link is broken: when that is acted upon, unless it has ended by then.
    pub lost_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Starting,
    Serving {
        since: Instant,
    },
    /// Its clients are its own affair until then; none: its time is over.
    Leaving {
        until: Option<Instant>,
    },
    Killed,
}

impl Worker {
    pub(super) fn new(id: WorkerId, slot: SlotId) -> Self {
        Self { id, slot, state: State::Starting, silence: Silence::new(), is_stuck: false, lost_at: None }
    }

    pub(super) fn serves(&self) -> bool {
        matches!(self.state, State::Serving { .. })
    }

    /// When something is to be done about it, should nothing happen before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = if let State::Leaving { until } = self.state { until } else { None };
        let verdict = self.silence.verdict().map(|(at, _)| at).filter(|_| self.may_be_killed());
        until.into_iter().chain(verdict).chain(self.lost_at).min()
    }

    /// Whether its silence may be its end.
    pub(super) fn may_be_killed(&self) -> bool {
        !matches!(self.state, State::Killed | State::Leaving { until: Some(_) })
    }
}
