//! How a client is brought what was published: as it comes, behind it, or piece by piece from the history.

use std::time::Duration;

use bytes::Bytes;

use super::{Connection, Phase, Speaks};
use crate::frame::{Frame, Kind};
use crate::message::Message;
use crate::server::clock::Now;
use crate::server::limits::Limits;
use crate::server::socket::Socket;
use crate::wire::deflate::{Compressor, is_worthwhile};
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
        compressor: &mut Compressor,
        limits: &Limits,
    ) -> Result<(), Overflow> {
        let room = limits.outbox_bytes.saturating_sub(self.outbox.place_bytes());
        self.push_message(message, compressor, if self.is_stalled() { room } else { usize::MAX })
    }

    /// Whether its socket has taken something lately, or is about to be written to again.
    pub(in crate::server) fn is_taking(&self, now: Now) -> bool {
        self.dirty || self.outbox.stalled_since().is_none_or(|since| now.instant < since + LATELY)
    }

    /// Queues a part of a replay, which is bounded by the room that there was for it.
    pub(in crate::server) fn send_missed(&mut self, message: &Message, compressor: &mut Compressor) {
        let sent = self.push_message(message, compressor, usize::MAX);
        debug_assert!(sent.is_ok(), "there is no limit");
    }

    /// Queues a message as it goes on this wire, if any does.
    fn push_message(
        &mut self,
        message: &Message,
        compressor: &mut Compressor,
        limit_bytes: usize,
    ) -> Result<(), Overflow> {
        match self.speaks() {
            Speaks::WebSocket => self.outbox.push(self.frame_of(message, compressor), limit_bytes),
            Speaks::EventStream => self.outbox.push_pieces(self.event_of(message), limit_bytes),
            Speaks::Http | Speaks::NoMore => Ok(()),
        }
    }

    /// Compressed where that is of use to this peer, by whoever needs it first.
    fn frame_of(&self, message: &Message, compressor: &mut Compressor) -> Bytes {
        let compress = |json: &[u8]| compressor.compress(Kind::Text, json).map(Frame::into_bytes);
        let is_of_use = self.compresses(|| message.json().len());
        let compressed = if is_of_use { message.deflated(compress) } else { None };
        compressed.unwrap_or_else(|| message.frame())
    }

    /// Sends a message back as it has come, compressed if that is of use to the peer.
    pub(in crate::server) fn send_back(
        &mut self,
        kind: Kind,
        message: &[u8],
        compressor: &mut Compressor,
        now: Now,
        limits: &Limits,
    ) {
        let is_of_use = self.compresses(|| message.len());
        let compressed = if is_of_use { compressor.compress(kind, message) } else { None };
        self.send(compressed.unwrap_or_else(|| Frame::message(kind, message)), now, limits);
    }

    /// Whether what it sends may be compressed.
    pub(in crate::server) fn may_compress(&self) -> bool {
        matches!(&self.phase, Phase::Open { session, .. } if session.compression().is_some())
    }

    /// Whether to compress a message of this length for this peer: it is of use, and the peer's window has room for all of it.
    fn compresses(&self, bytes: impl FnOnce() -> usize) -> bool {
        let Phase::Open { session, .. } = &self.phase else { return false };
        session.compression().is_some_and(|compression| {
            let bytes = bytes();
            is_worthwhile(bytes) && compression.fits(bytes)
        })
    }

    /// How much of a replay can be queued without this much waiting.
    pub(in crate::server) fn room(&self, bytes: usize) -> usize {
        bytes.saturating_sub(self.outbox.queued_bytes())
    }
}
