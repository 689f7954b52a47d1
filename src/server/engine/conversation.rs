//! One connection to the engine: what is still to be sent, what has come and is not whole yet, and which answers are expected.
//! Any fault of it is the end of it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::policy::engine::fault::Fault;
use crate::server::socket::{Handshake, Socket};
use crate::wire::outbox::Outbox;
use crate::wire::resp::decoder::{Decoder, Limits};
use crate::wire::resp::reply::Reply;

/// Bytes taken from the engine in one turn.
const READ_BUDGET: usize = 1024 * 1024;

/// How much of an answer that is not whole has to come before its limit: a page takes its time on a slow link, but whoever sends
/// less does not answer.
const PROGRESS_BYTES: usize = 64 * 1024;

/// A connection, and what was asked by it. `E` says what is expected of an answer.
#[derive(Debug)]
pub(super) struct Conversation<S, E> {
    /// `None` until it is there.
    socket: Option<S>,
    batch: BytesMut,
    outbox: Outbox,
    decoder: Decoder,
    /// Each with when it was asked for.
    expected: VecDeque<(E, Instant)>,
    /// How long an answer may take.
    limit: Duration,
    /// Since when an answer is waited for, or when one, or much of one, has come last.
    quiet_since: Option<Instant>,
    /// What has come since then of an answer that is not whole.
    come_bytes: usize,
    /// When something was said last.
    said: Instant,
    /// What is said from here on stays here.
    is_held: bool,
    is_unread: bool,
    /// Something has come.
    is_answered: bool,
}

impl<S: Socket, E> Conversation<S, E> {
    /// The connection is not there yet.
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self {
            socket: None,
            batch: BytesMut::new(),
            outbox: Outbox::default(),
            decoder: Decoder::new(Limits::default()),
            expected: VecDeque::new(),
            limit,
            quiet_since: Some(now),
            come_bytes: 0,
            said: now,
            is_held: false,
            is_unread: false,
            is_answered: false,
        }
    }

    /// It is there, or will be once the socket can be written to.
    pub(super) fn connect(&mut self, socket: S) {
        (self.socket, self.is_unread) = (Some(socket), true);
    }

    /// Says something: `write` appends it. Each answer to it is to be expected.
    pub(super) fn write<R>(&mut self, now: Instant, write: impl FnOnce(&mut BytesMut) -> R) -> R {
        self.quiet_since.get_or_insert(now);
        self.said = now;
        write(&mut self.batch)
    }

    /// This is expected in return for what was said, behind all that is expected already.
    pub(super) fn expect(&mut self, expected: E) {
        self.expected.push_back((expected, self.said));
    }

    /// Sends what has been said, and keeps what is said from here on until it is to `go_on`.
    pub(super) fn hold(&mut self) {
        self.send();
        self.is_held = true;
    }

    /// Whether what is said now stays here.
    pub(super) fn is_held(&self) -> bool {
        self.is_held
    }

    /// What was kept may be sent.
    pub(super) fn go_on(&mut self) {
        self.is_held = false;
    }

    /// The socket is ready.
    pub(super) fn on_ready(&mut self) {
        self.is_unread = true;
    }

    /// Whether something may have come.
    pub(super) fn is_unread(&self) -> bool {
        self.is_unread && self.socket.is_some()
    }

    /// Bytes that wait to be taken by the engine.
    pub(super) fn queued_bytes(&self) -> usize {
        self.batch.len() + self.outbox.queued_bytes()
    }

    /// Whether there is something to write that no event will announce.
    pub(super) fn wants_flush(&self) -> bool {
        let kept = if self.is_held { self.batch.len() } else { 0 };
        self.socket.is_some() && self.queued_bytes() > kept && self.outbox.stalled_since().is_none()
    }

    /// Writes what the engine takes.
    ///
    /// # Errors
    /// The connection has come to its end.
    pub(super) fn flush(&mut self, now: Instant) -> Result<(), Fault> {
        if self.socket.is_some() && !self.is_held {
            self.send();
        }
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let flushed = self.outbox.flush_to(socket, now).and_then(|_| match socket.flush() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        });
        flushed.map_err(|e| self.failure(&e))
    }

    /// Takes in what has come: each reply with what was expected, until so much has come that the rest waits for the next turn.
    ///
    /// # Errors
    /// The connection has come to its end, behind what was taken.
    pub(super) fn take(
        &mut self,
        scratch: &mut [u8],
        now: Instant,
        replies: &mut Vec<(E, Reply)>,
    ) -> Result<(), Fault> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let mut budget = READ_BUDGET;
        while budget > 0 {
            let count = match socket.read(scratch) {
                Ok(0) => return Err(Fault::Closed),
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.is_unread = false;
                    break;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(self.failure(&e)),
            };
            self.is_answered = true;
            budget = budget.saturating_sub(count);
            let mut input = &scratch[..count];
            let mut left = count;
            while let Some(reply) =
                self.decoder.next(&mut input).map_err(|why| Fault::Garbled(why.to_string()))?
            {
                left = input.len();
                // What nobody has asked for answers nothing.
                if matches!(reply, Reply::Push(_)) {
                    self.come_bytes = 0;
                    continue;
                }
                let (expected, _) =
                    self.expected.pop_front().ok_or_else(|| Fault::Garbled("more than was asked".into()))?;
                replies.push((expected, reply));
                (self.quiet_since, self.come_bytes) = (Some(now), 0);
            }
            if !self.decoder.is_in_push() {
                self.come_bytes += left;
            }
            if self.come_bytes >= PROGRESS_BYTES {
                (self.quiet_since, self.come_bytes) = (Some(now), 0);
            }
        }
        if self.expected.is_empty() {
            self.quiet_since = None;
        }
        Ok(())
    }

    /// When the oldest question was asked that is not answered.
    pub(super) fn asked(&self) -> Option<Instant> {
        self.expected.front().map(|(_, asked)| *asked)
    }

    /// It is not listened to at the moment, and is not to blame for its silence.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.quiet_since = self.quiet_since.map(|_| now);
    }

    /// When it counts as gone unless an answer comes, or much of one.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.quiet_since.map(|since| since + self.limit)
    }

    /// What is wrong where none has come until then.
    pub(super) fn silence(&self) -> Fault {
        match self.socket.as_ref().map_or(Handshake::None, Socket::handshake) {
            Handshake::None => Fault::Silent(self.limit),
            Handshake::Awaited | Handshake::UnderWay => Fault::Unsecured(self.limit),
        }
    }

    /// Gives up what was asked and not answered, oldest first.
    pub(super) fn into_expected(self) -> impl Iterator<Item = E> {
        self.expected.into_iter().map(|(expected, _)| expected)
    }

    /// What is wrong where the socket has failed so.
    fn failure(&self, why: &io::Error) -> Fault {
        let speaks_tls = |socket: &S| socket.agreed().is_some() || socket.handshake() != Handshake::None;
        let is_plain = !self.socket.as_ref().is_some_and(speaks_tls);
        // So a server of TLS does to what is none.
        let is_repelled = why.kind() == ErrorKind::ConnectionReset && !self.is_answered;
        Fault::Connection(match is_plain && is_repelled {
            true => format!(
                "{why}, before anything was answered: if TLS is spoken there, give rediss:// (rediss+sentinel:// with sentinels)"
            ),
            false => why.to_string(),
        })
    }

    fn send(&mut self) {
        if !self.batch.is_empty() {
            self.outbox.push_unbounded(std::mem::take(&mut self.batch).freeze());
        }
    }
}

#[cfg(test)]
#[path = "conversation_tests.rs"]
mod tests;
