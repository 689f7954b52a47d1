//! How handshakes of TLS are bounded, which cost far more than anything else a newcomer can ask for: a few in each turn, so that a
//! crowd of them delays nobody who hears, and only so many under way, of which each holds memory.

use log::{debug, warn};

use super::Peers;
use crate::policy::addresses::Address;
use crate::policy::crowd::Crowd;
use crate::policy::tally::Tally;
use crate::server::clock::Now;
use crate::server::connection::Connection;
use crate::server::socket::{Handshake, Received, Socket};
use crate::wire::refusal::Refusal;
use crate::wire::response::{Exchange, Response};

/// How often peers that agree on keys are read from in one turn. Of a handshake there are two or three reads, one of them dear:
/// some 100 us with an elliptic curve, and up to 1 ms with RSA.
const READS_PER_TURN: usize = 8;

/// How many may be under way. With one more, the longest of the address that has most of them gives way: whoever lets many wait must
/// not keep the others out.
const UNDER_WAY: usize = 1024;

/// As what those are counted that have given way.
const REASON: &str = "tls_handshakes";

/// Those that are under way.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    under_way: Crowd,
    /// Reads in this turn.
    reads: usize,
    /// Those that gave way to others.
    gave_way: Tally,
}

impl Handshakes {
    pub(super) fn begin_turn(&mut self) {
        self.reads = 0;
    }

    /// Gives back the memory that a crowd has needed.
    pub(super) fn shrink(&mut self) {
        self.under_way.shrink();
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
                if !matches!(received, Received::PlainHttp { .. }) {
                    self.counts.on_handshake(socket.agreed());
                }
                if let Some(why) = socket.trouble() {
                    debug!("No TLS with peer {key}: {why}");
                }
                self.handshakes.under_way.leave(key);
            }
            _ => {}
        }
    }

    /// A connection is to be removed.
    pub(super) fn forget_handshake(&mut self, key: usize) {
        if self.connections[key].handshake() == Handshake::UnderWay {
            self.counts.on_handshake(None);
            debug!("No TLS with peer {key}: it has not finished its handshake");
            self.handshakes.under_way.leave(key);
        }
    }

    fn begin_handshake(&mut self, key: usize, now: Now) {
        let connection = &self.connections[key];
        // Behind a proxy, that of the client where it is counted.
        let peer = || connection.peer_address().ok().flatten().map(Address::from);
        self.handshakes.under_way.enter(key, connection.address.or_else(peer));
        if self.handshakes.under_way.len() > UNDER_WAY
            && let Some(longest) = self.handshakes.under_way.give_way()
        {
            self.counts.on_rejected(REASON);
            if let Some(count) = self.handshakes.gave_way.add(now.instant) {
                warn!(
                    "Gave up the longest of the address with most of more than {UNDER_WAY} handshakes of TLS that were under way: \
                     {count}. --limit-per-ip bounds what one address may have"
                );
            }
            self.connections[longest].end_unheard(now);
            self.mark_dirty(longest);
        }
    }

    /// Answers a peer that speaks HTTP where TLS is spoken.
    pub(super) fn refuse_plain(&mut self, key: usize, head_only: bool, now: Now) {
        self.counts.on_rejected(Refusal::PlainHttp.label());
        let (status, what) = Refusal::PlainHttp.status();
        let exchange = Exchange { head_only, ..Exchange::last(now.wall, None) };
        self.connections[key].respond(Response::error(status, &what), &exchange, now, &self.terms.limits);
    }
}

#[cfg(test)]
#[path = "handshakes_tests.rs"]
mod tests;
