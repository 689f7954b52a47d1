//! How handshakes of TLS are bounded, which cost far more than anything else a newcomer can ask for: a few in each turn, so that a
//! crowd of them delays nobody who hears, and only so many under way, of which each holds memory.

use std::collections::VecDeque;

use log::{debug, warn};

use super::Peers;
use crate::policy::tally::Tally;
use crate::server::clock::Now;
use crate::server::connection::Connection;
use crate::server::socket::{Handshake, Received, Socket};
use crate::wire::refusal::Refusal;

/// How often peers that agree on keys are read from in one turn. Of a handshake there are two or three reads, one of them dear:
/// some 100 us with an elliptic curve, and up to 1 ms with RSA.
const READS_PER_TURN: usize = 8;

/// How many may be under way. With one more, the one that has taken longest gives way: whoever lets many wait must not keep the
/// others out.
const UNDER_WAY: usize = 1024;

/// As what those are counted that have given way.
const REASON: &str = "tls_handshakes";

/// Those that are under way.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    /// The oldest first.
    under_way: VecDeque<usize>,
    /// Reads in this turn.
    reads: usize,
    /// Those that gave way to others.
    gave_way: Tally,
}

impl Handshakes {
    pub(super) fn begin_turn(&mut self) {
        self.reads = 0;
    }

    /// This one is no longer under way, if it was. A scan, of those that are.
    fn forget(&mut self, key: usize) {
        self.under_way.retain(|other| *other != key);
    }

    /// Gives back the memory that a crowd has needed.
    pub(super) fn shrink(&mut self) {
        self.under_way.shrink_to_fit();
    }
}

impl<S: Socket> Connection<S> {
    /// How far its handshake is.
    pub(super) fn handshake(&self) -> Handshake {
        self.its_socket().handshake()
    }
}

impl<S: Socket> Peers<S> {
    /// Whether its handshake has to wait for another turn.
    pub(super) fn is_in_line(&self, key: usize) -> bool {
        self.handshakes.reads >= READS_PER_TURN
            && self.connections.get(key).is_some_and(|connection| connection.handshake() != Handshake::None)
    }

    /// A connection was read from whose handshake was so far, and that has brought this.
    pub(super) fn note_handshake(&mut self, key: usize, before: Handshake, received: Received, now: Now) {
        if before == Handshake::None {
            return;
        }
        self.handshakes.reads += 1;
        let connection = &self.connections[key];
        match (before, connection.handshake()) {
            (Handshake::Awaited, Handshake::UnderWay) => self.begin_handshake(key, now),
            (_, Handshake::None) => {
                let socket = connection.its_socket();
                if received != Received::PlainHttp {
                    self.counts.on_handshake(socket.agreed());
                }
                if let Some(why) = socket.trouble() {
                    debug!("No TLS with peer {key}: {why}");
                }
                self.handshakes.forget(key);
            }
            _ => {}
        }
    }

    /// A connection is to be removed.
    pub(super) fn forget_handshake(&mut self, key: usize) {
        if self.connections[key].handshake() == Handshake::UnderWay {
            self.counts.on_handshake(None);
            debug!("No TLS with peer {key}: it has not finished its handshake");
            self.handshakes.forget(key);
        }
    }

    fn begin_handshake(&mut self, key: usize, now: Now) {
        self.handshakes.under_way.push_back(key);
        if self.handshakes.under_way.len() > UNDER_WAY
            && let Some(oldest) = self.handshakes.under_way.pop_front()
        {
            self.counts.on_rejected(REASON);
            if let Some(count) = self.handshakes.gave_way.add(now.instant) {
                warn!(
                    "Gave up the longest of more than {UNDER_WAY} handshakes of TLS that were under way: {count}. If they are of few \
                     addresses, set --limit-per-ip"
                );
            }
            self.connections[oldest].end_unheard(now);
            self.mark_dirty(oldest);
        }
    }

    /// Answers a peer that speaks HTTP where TLS is spoken.
    pub(super) fn refuse_plain(&mut self, key: usize, now: Now) {
        self.counts.on_rejected(Refusal::PlainHttp.label());
        self.connections[key].refuse(Refusal::PlainHttp, None, now, &self.terms.limits);
    }
}

#[cfg(test)]
#[path = "handshakes_tests.rs"]
mod tests;
