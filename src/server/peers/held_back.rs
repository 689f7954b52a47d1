//! Clients that send more messages than they may: they are not read from for a while. Nobody is closed for it, nothing is lost,
//! and what they have to hear is brought to them as ever.

use std::collections::HashMap;
use std::time::Instant;

use super::Peers;
use crate::policy::message_limit::MessageLimit;
use crate::policy::rate::Rate;
use crate::server::clock::Now;
use crate::server::connection::{Connection, Reading, Speaks};
use crate::server::socket::Socket;

/// Bytes that are read of a client at once, so that little has to be kept of one that is held back in their midst.
const READ_BYTES: usize = 4096;

/// Clients that are let go in one turn.
const LET_GO_PER_TURN: usize = 128;

/// Who is held back, and what was read of it and is still to be heard.
#[derive(Debug)]
pub(super) struct HeldBack {
    limit: MessageLimit,
    unheard: HashMap<usize, Box<[u8]>>,
}

impl HeldBack {
    /// Nobody, yet.
    pub(super) fn new(rate: Rate) -> Self {
        Self { limit: MessageLimit::new(rate), unheard: HashMap::new() }
    }

    /// When the next one is let go.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.limit.next_deadline()
    }

    /// A message has been heard, and this was read behind it. Whether the client is held back: then that is kept.
    pub(super) fn on_message(&mut self, key: usize, behind: &[u8], now: Now) -> bool {
        let is_held = self.limit.on_message(key, now.instant);
        if is_held && !behind.is_empty() {
            self.unheard.insert(key, behind.into());
        }
        is_held
    }

    /// Gives back the memory that a crowd has needed.
    pub(super) fn shrink(&mut self) {
        self.limit.shrink();
        self.unheard.shrink_to_fit();
    }

    /// A client ends.
    pub(super) fn forget(&mut self, key: usize) {
        self.limit.forget(key);
        self.unheard.remove(&key);
    }
}

impl<S: Socket> Peers<S> {
    /// Whether a client is not read from since it has sent too many messages.
    pub(super) fn is_held_back(&self, key: usize) -> bool {
        self.held_back.as_ref().is_some_and(|held_back| held_back.limit.holds(key))
            && self.connections[key].speaks() == Speaks::WebSocket
    }

    /// Goes on with those who may send messages again: with what was read of them, and then with what has come.
    pub(super) fn let_go(&mut self, now: Now) {
        for _ in 0..LET_GO_PER_TURN {
            let Some(held_back) = &mut self.held_back else { return };
            let Some(key) = held_back.limit.next_free(now.instant) else { return };
            if let Some(unheard) = held_back.unheard.remove(&key) {
                self.hear_out(key, &unheard, now);
                self.mark_dirty(key);
            }
            let is_free = !self.is_held_back(key);
            let connection = &mut self.connections[key];
            // Nothing announces what has come meanwhile.
            if is_free && connection.reading == Reading::HeldBack {
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
