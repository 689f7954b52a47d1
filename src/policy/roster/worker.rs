//! One worker process, as the roster knows it.

use std::time::Instant;

use super::silence::Silence;
use super::step::{Exit, Failing};
use super::{SlotId, WorkerId};

#[derive(Debug)]
pub(super) struct Worker {
    pub id: WorkerId,
    pub slot: SlotId,
    pub state: State,
    pub silence: Silence,
    /// It was sent a signal to leave: another is the second.
    pub was_signalled: bool,
    /// It was sent a second one: when that is acted upon, unless all are about to leave by then.
    pub insist_at: Option<Instant>,
    /// It may hold its slot's listener open.
    pub listens: bool,
    /// It takes nothing of what waits for it: to be judged by the next look.
    pub is_stuck: bool,
    /// Its link is broken: when that is acted upon, unless it has ended by then.
    pub lost_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It was not told to serve yet.
    Starting,
    Serving {
        since: Instant,
    },
    /// Its clients are its own affair until then; none: its time is over.
    Leaving {
        until: Option<Instant>,
    },
    /// By the supervisor; for nothing that it has failed to do if it was not needed any more, and had not served.
    Killed {
        why: Option<Failing>,
    },
}

impl Worker {
    pub(super) fn new(id: WorkerId, slot: SlotId) -> Self {
        Self {
            id,
            slot,
            state: State::Starting,
            silence: Silence::new(),
            was_signalled: false,
            insist_at: None,
            listens: true,
            is_stuck: false,
            lost_at: None,
        }
    }

    pub(super) fn serves(&self) -> bool {
        matches!(self.state, State::Serving { .. })
    }

    /// Whether it may have had clients.
    pub(super) fn has_served(&self) -> bool {
        !matches!(self.state, State::Starting | State::Killed { why: None | Some(Failing::ToStart(_)) })
    }

    /// How it has ended: what looks like anybody's signal may have been the supervisor's.
    pub(super) fn end_of(&self, exit: Exit) -> Exit {
        match (self.state, exit) {
            (State::Killed { why: Some(why) }, Exit::Signal(_)) => Exit::Killed(why),
            _ => exit,
        }
    }

    /// When something is to be done about it, should nothing happen before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = if let State::Leaving { until } = self.state { until } else { None };
        let verdict = self.silence.verdict().map(|(at, _)| at).filter(|_| self.may_be_killed());
        until.into_iter().chain(verdict).chain(self.lost_at).chain(self.insist_at).min()
    }

    /// Whether its silence may be its end.
    pub(super) fn may_be_killed(&self) -> bool {
        !matches!(self.state, State::Killed { .. } | State::Leaving { until: Some(_) })
    }
}
