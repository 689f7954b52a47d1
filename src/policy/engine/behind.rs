//! What is known to be positioned, here or by others, and whether it has been heard. Knows no connection: what was positioned is
//! remembered beyond it.

use std::time::Instant;

use crate::policy::sequencer::PublicationId;

/// How far the stream is known to go, beside what was heard.
#[derive(Debug, Default)]
pub struct Behind {
    newest: Option<PublicationId>,
    /// Since when there is something that is to be heard, while that can be.
    since: Option<Instant>,
}

impl Behind {
    /// The newest id that is known to be positioned.
    pub fn newest(&self) -> Option<PublicationId> {
        self.newest
    }

    /// Since when something is to be heard.
    pub fn since(&self) -> Option<Instant> {
        self.since
    }

    /// How many publications are to be heard behind this one.
    pub fn count(&self, heard: PublicationId) -> u64 {
        match self.newest.filter(|_| self.since.is_some()) {
            Some(newest) if newest.epoch() == heard.epoch() => {
                newest.position().saturating_sub(heard.position())
            }
            _ => 0,
        }
    }

    /// Something was positioned under this id, and so far was heard.
    pub fn on_positioned(&mut self, id: PublicationId, heard: PublicationId, now: Instant) {
        if heard < id {
            self.newest = self.newest.max(Some(id));
            self.since.get_or_insert(now);
        }
    }

    /// All up to this id was heard.
    pub fn on_heard(&mut self, id: PublicationId) {
        if self.newest <= Some(id) {
            self.since = None;
        }
    }

    /// Nothing can be heard any more.
    pub fn on_end(&mut self) {
        self.since = None;
    }
}
