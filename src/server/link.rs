//! One end of the socket pair between the supervisor and a worker: messages go out in batches, one write a turn, and
//! come in as whole messages. Decides nothing.
//!
//! What the machine has no memory for at the moment is tried again: no event will say when there is some, so a timer
//! does. Only when the other end is gone is a link dead.

use std::io::{self, ErrorKind, IoSlice, Write};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::server::socket::Socket;
use crate::wire::link::{self, Garbled};
use crate::wire::outbox::Outbox;

/// Bytes taken from the other end in one turn.
const READ_BUDGET: usize = 256 * 1024;

/// Until what has failed for want of memory is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What a batch takes from memory beside its octets: its place in the queue, and the count of those that share it.
const BATCH_BYTES: usize = 96;

/// How far a reading went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nothing is left for now; the next event announces more.
    All,
    /// The budget is used up.
    Some,
    /// The other end is gone, behind what was taken.
    Last,
}

/// A socket with what is still to go out, and what came in and is not whole yet.
#[derive(Debug)]
pub(super) struct Link<S> {
    socket: S,
    /// Encoded this turn.
    batch: BytesMut,
    outbox: Outbox,
    inbox: BytesMut,
    /// When to try again what has failed for want of memory.
    retry_at: Option<Instant>,
}

/// What has come, to be read message by message; then given back with what is not whole yet.
#[derive(Debug)]
pub(super) struct Inbox {
    octets: BytesMut,
    read: usize,
}

impl<S: Socket> Link<S> {
    pub(super) fn new(socket: S) -> Self {
        Self {
            socket,
            batch: BytesMut::new(),
            outbox: Outbox::default(),
            inbox: BytesMut::new(),
            retry_at: None,
        }
    }

    /// Queues a message.
    pub(super) fn send(&mut self, message: &impl Serialize) {
        link::encode(message, &mut self.batch);
    }

    /// Queues messages that were encoded for all.
    pub(super) fn send_encoded(&mut self, messages: Bytes) {
        self.gather();
        self.outbox.push_unbounded(messages);
    }

    /// Bytes of memory that wait for the other end to take them.
    pub(super) fn queued_bytes(&self) -> usize {
        self.batch.len() + self.outbox.queued_bytes() + self.outbox.queued_messages() * BATCH_BYTES
    }

    /// Since when the other end has taken nothing of what waits.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        self.outbox.stalled_since()
    }

    /// Whether there is something to write that no event will announce.
    pub(super) fn wants_flush(&self) -> bool {
        self.queued_bytes() > 0 && self.stalled_since().is_none()
    }

    /// When to read and write again, though nothing has happened.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Whether it is time for that.
    pub(super) fn take_retry(&mut self, now: Instant) -> bool {
        self.retry_at.take_if(|at| *at <= now).is_some()
    }

    /// Writes what the other end takes.
    ///
    /// # Errors
    /// When it is gone.
    pub(super) fn flush(&mut self, now: Instant) -> io::Result<()> {
        self.gather();
        let mut socket = Tolerant { socket: &mut self.socket, is_short: false };
        self.outbox.flush_to(&mut socket, now)?;
        if socket.is_short {
            self.retry_at.get_or_insert(now + RETRY_PAUSE);
        }
        Ok(())
    }

    /// Nothing more goes out, and the other end is told so.
    pub(super) fn hang_up(&mut self) {
        self.batch = BytesMut::new();
        self.outbox.clear();
        self.retry_at = None;
        // It may be gone.
        let _ = self.socket.finish();
    }

    /// Takes in what has come.
    pub(super) fn take(&mut self, scratch: &mut [u8], now: Instant) -> Taken {
        let mut budget = READ_BUDGET;
        while budget > 0 {
            match self.socket.read(scratch) {
                Ok(0) => return Taken::Last,
                Ok(count) => {
                    self.inbox.extend_from_slice(&scratch[..count]);
                    budget = budget.saturating_sub(count);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Taken::All,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if is_end(&e) => return Taken::Last,
                Err(_) => {
                    self.retry_at.get_or_insert(now + RETRY_PAUSE);
                    return Taken::All;
                }
            }
        }
        Taken::Some
    }

    /// What has come so far.
    pub(super) fn open_inbox(&mut self) -> Inbox {
        Inbox { octets: std::mem::take(&mut self.inbox), read: 0 }
    }

    /// Keeps what is not whole yet.
    pub(super) fn close_inbox(&mut self, inbox: Inbox) {
        let Inbox { mut octets, read } = inbox;
        octets.advance(read);
        // An idle link keeps no memory.
        self.inbox = if octets.is_empty() { BytesMut::new() } else { octets };
    }

    fn gather(&mut self) {
        if !self.batch.is_empty() {
            self.outbox.push_unbounded(self.batch.split().freeze());
        }
    }
}

/// Whether the other end is gone. Anything else passes: ENOBUFS and ENOMEM, for instance (send(2), recv(2)).
fn is_end(error: &io::Error) -> bool {
    let ends = [
        ErrorKind::BrokenPipe,
        ErrorKind::ConnectionReset,
        ErrorKind::ConnectionAborted,
        ErrorKind::NotConnected,
        ErrorKind::WriteZero,
    ];
    ends.contains(&error.kind())
}

/// A socket that would block where the machine has no memory for what is written.
struct Tolerant<'a, S> {
    socket: &'a mut S,
    is_short: bool,
}

impl<S: Socket> Tolerant<'_, S> {
    fn tolerate(&mut self, written: io::Result<usize>) -> io::Result<usize> {
        let passes = |e: &io::Error| e.kind() != ErrorKind::Interrupted && !is_end(e);
        written.map_err(|e| {
            self.is_short |= passes(&e) && e.kind() != ErrorKind::WouldBlock;
            if passes(&e) { ErrorKind::WouldBlock.into() } else { e }
        })
    }
}

impl<S: Socket> Write for Tolerant<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.socket.write(bytes);
        self.tolerate(written)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.socket.write_vectored(slices);
        self.tolerate(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Inbox {
    /// The next whole message.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn next<'a, M: Deserialize<'a>>(&'a mut self) -> Result<Option<M>, Garbled> {
        let Self { octets, read } = self;
        let mut input = &octets[*read..];
        let whole = input.len();
        let message = link::next(&mut input)?;
        *read += whole - input.len();
        Ok(message)
    }
}
