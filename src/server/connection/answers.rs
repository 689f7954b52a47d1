//! What a peer that speaks HTTP is still to be answered.

use super::{Connection, Phase};
use crate::server::clock::Now;
use crate::server::socket::Socket;

/// Requests of one peer for which the supervisor may have no answer yet.
const AWAITED_AT_MOST: u16 = 256;

impl<S: Socket> Connection<S> {
    /// Whether as many answers are awaited as may be.
    pub(in crate::server) fn awaits_answers(&self) -> bool {
        self.is_held || self.awaited >= AWAITED_AT_MOST
    }

    /// Whether it has not been answered yet.
    pub(in crate::server) fn is_new(&self) -> bool {
        matches!(self.phase, Phase::Request { served: false, .. })
    }

    /// Whether an answer is on its way to somebody who is no client, or, if it `serves`, is still to be given.
    pub(in crate::server) fn is_owed_an_answer(&self, serves: bool) -> bool {
        !self.is_client && (self.awaited > 0 || !self.outbox.is_empty() || serves && self.is_new())
    }

    /// An answer has come: with the last one, the peer's end of its side counts.
    pub(in crate::server) fn finish_if_answered(&mut self, now: Now) {
        if self.has_finished {
            self.on_finished(now);
        }
    }
}
