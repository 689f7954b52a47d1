//! How a WebSocket is brought what was published: as it comes, behind it, or piece by piece from the history.

use std::time::Duration;

use super::{Connection, Speaks};
use crate::frame::Frame;
use crate::message::Message;
use crate::policy::sequencer::Position;
use crate::server::clock::Now;
use crate::server::limits::Limits;
use crate::server::socket::Socket;
use crate::wire::outbox::Overflow;

/// Who has taken something within this time is not too slow for what waits, however much that is: what does not fit into
/// its outbox waits in the shared history.
const LATELY: Duration = Duration::from_secs(1);

impl<S: Socket> Connection<S> {
    /// Like `send`, behind publications that the peer did not ask for: if it takes what waits, they do not count against it.
    pub(in crate::server) fn send_behind_pending(&mut self, reply: Frame, now: Now, limits: &Limits) {
        let outbox_bytes = if self.is_taking(now) { usize::MAX } else { limits.outbox_bytes };
        self.send(reply, now, &Limits { outbox_bytes, ..*limits });
    }

    /// Queues what was published. Until its socket was met full, all that one turn brings is as good as sent, however
    /// much it is. From then on the limit is one of memory.
    ///
    /// # Errors
    /// `Overflow` when there is no room. What follows is for the caller to decide.
    pub(in crate::server) fn send_pending(
        &mut self,
        message: &Message,
        limits: &Limits,
    ) -> Result<(), Overflow> {
        let room = limits.outbox_bytes.saturating_sub(self.outbox.place_bytes());
        self.outbox.push(message.frame(), if self.is_stalled() { room } else { usize::MAX })
    }

    /// Whether its socket has taken something lately, or is about to be written to again.
    pub(in crate::server) fn is_taking(&self, now: Now) -> bool {
        self.dirty || self.outbox.stalled_since().is_none_or(|since| now.instant < since + LATELY)
    }

    /// Queues a piece of a replay, which is bounded by the room that there was for it.
    pub(in crate::server) fn send_piece(&mut self, piece: Vec<(Position, Message)>) {
        if self.speaks() != Speaks::WebSocket {
            return;
        }
        for (_, message) in piece {
            self.outbox.push_unbounded(message.frame());
        }
    }

    /// How much of a replay can be queued without this much waiting.
    pub(in crate::server) fn room(&self, bytes: usize) -> usize {
        bytes.saturating_sub(self.outbox.queued_bytes())
    }
}
