//! When the limits of all peers are looked at next, and when memory is given back.

use std::time::{Duration, Instant};

/// How long after somebody has left, or has begun to catch up, memory is given back: once for a whole crowd.
const SHRINK_PAUSE: Duration = Duration::from_secs(2);

/// The times of both.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    /// No connection's limit is reached earlier.
    next_look: Option<Instant>,
    swept: Option<Instant>,
    /// The most connections since memory was given back.
    crest: usize,
    next_shrink: Option<Instant>,
}

impl Upkeep {
    /// Some limit is reached then.
    pub(super) fn look_by(&mut self, at: Option<Instant>) {
        self.next_look = earliest(self.next_look, at);
    }

    /// When to look at the limits: at the earliest, though not so often that a busy server does little else.
    pub(super) fn next_sweep(&self, pause: Duration) -> Option<Instant> {
        let next_look = self.next_look?;
        Some(self.swept.map_or(next_look, |swept| next_look.max(swept + pause)))
    }

    /// All have been looked at; the earliest of their limits is reached then.
    pub(super) fn on_swept(&mut self, now: Instant, next_look: Option<Instant>) {
        (self.next_look, self.swept) = (next_look, Some(now));
    }

    /// So many are connected.
    pub(super) fn on_admitted(&mut self, connections: usize) {
        self.crest = self.crest.max(connections);
    }

    /// There may be memory to give back.
    pub(super) fn shrink_later(&mut self, now: Instant) {
        self.next_shrink.get_or_insert(now + SHRINK_PAUSE);
    }

    pub(super) fn next_shrink(&self) -> Option<Instant> {
        self.next_shrink
    }

    /// Whether half of a crowd has left, so that what it has needed is to be given back now.
    pub(super) fn begin_to_shrink(&mut self, connections: usize) -> bool {
        self.next_shrink = None;
        let is_worth_it = connections <= self.crest / 2;
        if is_worth_it {
            self.crest = connections;
        }
        is_worth_it
    }
}

/// The earlier of two times, if there is any.
pub(super) fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}
