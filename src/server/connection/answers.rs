//! What a peer is still to be answered by others: what it sends next is read meanwhile, but some of it has to wait.

use super::{Connection, Phase};
use crate::server::clock::Now;
use crate::server::socket::Socket;

/// Requests of one peer for which there may be no answer yet.
const AT_MOST: u16 = 256;

/// Questions that were asked for one peer, and what waits for their answers.
#[derive(Debug, Default)]
pub(in crate::server) struct Awaited {
    count: u16,
    /// The next request has to wait for all of them.
    is_held: bool,
    /// The peer has ended its side.
    has_finished: bool,
}

impl Awaited {
    /// One more is asked. If it `holds`, the next request has to wait for all that are awaited.
    pub(in crate::server) fn ask(&mut self, holds: bool) {
        self.count += 1;
        self.is_held |= holds;
    }

    /// One of them has come.
    pub(in crate::server) fn on_answer(&mut self) {
        self.count -= 1;
        // Whoever is held waits for the last one.
        self.is_held &= self.count > 0;
    }

    /// Nothing more is asked for it, if anything is awaited: the connection ends behind the last one.
    pub(in crate::server) fn hold(&mut self) {
        self.is_held |= self.count > 0;
    }

    /// Whether any is awaited.
    pub(in crate::server) fn any(&self) -> bool {
        self.count > 0
    }

    /// Whether the next request has to wait.
    pub(in crate::server) fn stops_reading(&self) -> bool {
        self.is_held || self.count >= AT_MOST
    }

    /// The peer has ended its side; whether that counts yet.
    fn finish(&mut self) -> bool {
        self.has_finished = true;
        !self.any()
    }
}

impl<S: Socket> Connection<S> {
    /// Whether it has not been answered yet.
    pub(in crate::server) fn is_new(&self) -> bool {
        matches!(self.phase, Phase::Request { served: false, .. })
    }

    /// Whether an answer is on its way to somebody who is no client, or, if it `serves`, is still to be given.
    pub(in crate::server) fn is_owed_an_answer(&self, serves: bool) -> bool {
        !self.is_client && (self.awaited.any() || !self.outbox.is_empty() || serves && self.is_new())
    }

    /// Whether the peer's end of its side counts, now that it has come: not before all answers have.
    pub(super) fn has_finished_asking(&mut self) -> bool {
        self.awaited.finish()
    }

    /// An answer has come: with the last one, the peer's end of its side counts.
    pub(in crate::server) fn finish_if_answered(&mut self, now: Now) {
        if self.awaited.has_finished {
            self.on_finished(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_may_be_asked_for_meanwhile_up_to_a_number() {
        let mut awaited = Awaited::default();
        (1..AT_MOST).for_each(|_| awaited.ask(false));
        assert!(awaited.any() && !awaited.stops_reading());
        awaited.ask(false);
        assert!(awaited.stops_reading());
        awaited.on_answer();
        assert!(!awaited.stops_reading());
    }

    #[test]
    fn whoever_is_held_waits_for_the_last_answer() {
        let mut awaited = Awaited::default();
        awaited.hold();
        assert!(!awaited.stops_reading(), "there is nothing to wait for");
        awaited.ask(true);
        awaited.ask(false);
        awaited.on_answer();
        assert!(awaited.stops_reading());
        awaited.on_answer();
        assert!(!awaited.stops_reading() && !awaited.any());
        awaited.ask(false);
        awaited.hold();
        assert!(awaited.stops_reading());
    }

    #[test]
    fn the_end_of_the_peers_side_counts_behind_the_last_answer() {
        let mut awaited = Awaited::default();
        awaited.ask(false);
        assert!(!awaited.finish() && awaited.has_finished);
        awaited.on_answer();
        assert!(awaited.finish());
    }
}
