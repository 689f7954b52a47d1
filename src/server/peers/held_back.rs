//! Clients that send more messages than they may: they are not read from for a while. Nobody is closed for it, nothing is lost,
//! and what they have to hear is brought to them as ever. What was read of them and is not heard yet is kept in `unheard`.

use super::Peers;
use crate::server::clock::Now;
use crate::server::connection::{Connection, Reading, Speaks};
use crate::server::socket::Socket;

/// Bytes that are read of a client at once, so that little has to be kept of one that is held back in their midst.
const READ_BYTES: usize = 4096;

/// Clients that are let go in one turn.
const LET_GO_PER_TURN: usize = 128;

impl<S: Socket> Peers<S> {
    /// Whether a client is not read from since it has sent too many messages.
    pub(super) fn is_held_back(&self, key: usize) -> bool {
        self.held_back.as_ref().is_some_and(|held_back| held_back.holds(key))
            && self.connections[key].speaks() == Speaks::WebSocket
    }

    /// Reads on from those who may send messages again.
    pub(super) fn let_go(&mut self, now: Now) {
        for _ in 0..LET_GO_PER_TURN {
            let Some(held_back) = &mut self.held_back else { return };
            let Some(key) = held_back.next_free(now.instant) else { return };
            let connection = &mut self.connections[key];
            // Nothing announces what has come meanwhile.
            if connection.reading == Reading::HeldBack {
                connection.reading = Reading::Listed;
                self.agenda.list_unread(key);
            }
        }
    }
}

impl<S: Socket> Connection<S> {
    /// How much to read at once where messages are limited.
    pub(super) fn room_for_messages(&self, bytes: usize) -> usize {
        if self.speaks() == Speaks::WebSocket { READ_BYTES.min(bytes) } else { bytes }
    }
}
