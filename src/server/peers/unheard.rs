//! What was read of clients and is still to be heard, since it may not be heard yet: a client is held back, has to take its answers
//! first, or has sent what inflates to very much. It goes first when the client is read from again.

use std::collections::HashMap;

use super::Peers;
use crate::server::clock::Now;
use crate::server::socket::Socket;

/// The bytes, by the keys of the clients.
#[derive(Debug, Default)]
pub(super) struct Unheard {
    bytes: HashMap<usize, Box<[u8]>>,
}

impl Unheard {
    /// Keeps what has been read of a client behind what was heard.
    pub(super) fn keep(&mut self, key: usize, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes.insert(key, bytes.into());
        }
    }

    /// What there is of this client.
    pub(super) fn of(&self, key: usize) -> &[u8] {
        self.bytes.get(&key).map_or(&[], |bytes| bytes)
    }

    /// Whether there is anything of this client.
    pub(super) fn holds(&self, key: usize) -> bool {
        !self.bytes.is_empty() && self.bytes.contains_key(&key)
    }

    /// A client ends.
    pub(super) fn forget(&mut self, key: usize) {
        self.bytes.remove(&key);
    }

    /// Gives back the memory that a crowd has needed.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }
}

impl<S: Socket> Peers<S> {
    /// Hears what is left of a client, unless that has to wait.
    pub(super) fn hear_unheard(&mut self, key: usize, now: Now) {
        if self.unheard.holds(key)
            && !self.must_wait(key)
            && !self.is_put_off(key)
            && let Some(bytes) = self.unheard.bytes.remove(&key)
        {
            self.hear_out(key, &bytes, now);
        }
    }
}
