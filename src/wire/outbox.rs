//! Bounded queue of encoded frames and responses; the only thing ever written to a socket.
//! Invariant: whatever the peer has begun to receive it receives whole, or nothing more at all.
//!
//! The limit counts lag, though a broadcast's octets are shared by all who are sent them. An idle outbox owns no heap.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use thiserror::Error;

/// How many pongs in a row wait at most: beyond, the newest takes the place of the one before (RFC 6455 §5.5.3).
const PONGS_IN_A_ROW: u8 = 16;

/// How many frames go into one `writev`: IOV_MAX, writev(2).
const FRAMES_PER_WRITE: usize = 1024;

/// Up to so many, the list of them is short enough to be set up for nothing.
const FEW_FRAMES: usize = 16;

/// What a frame takes beside its octets: a place in a ring that grows by doubling.
const PLACE_BYTES: usize = 2 * size_of::<Bytes>();

/// What a socket that was full has passed on before it takes more: a third of its buffer, or somewhat less.
const ROOM_BYTES: usize = 16 * 1024;

/// The peer reads too slowly: the frame did not fit and was not queued.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the outbox is full")]
pub struct Overflow;

/// What a flush achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Nothing is left; how fast the peer was, if it has kept us waiting.
    Emptied {
        /// Since it first did.
        pace: Option<Pace>,
    },
    /// The socket takes no more now.
    Blocked,
}

/// How fast a socket has taken what waited for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// So much of it,
    bytes: usize,
    /// in this time.
    time: Duration,
}

impl Pace {
    /// How long that many bytes take.
    pub fn time_for(self, bytes: usize) -> Duration {
        self.time.mul_f64(bytes as f64 / (self.bytes + ROOM_BYTES) as f64)
    }
}

/// What one connection is still to be sent.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Boxed while there is something to send.
    queue: Option<Box<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    /// The front one without what has been written of it.
    frames: VecDeque<Bytes>,
    front_begun: bool,
    /// So many at the front are never abandoned.
    promised: usize,
    trailing_pongs: u8,
    queued_bytes: usize,
    /// Since when the socket has taken nothing.
    stalled_since: Option<Instant>,
    /// When it first took nothing, and what it has taken since.
    slow: Option<(Instant, usize)>,
}

impl Outbox {
    /// Queues a frame or a response. A single one is always taken when nothing else waits, however large.
    ///
    /// # Errors
    /// `Overflow` when more than `limit_bytes` would wait; the queue is as it was.
    pub fn push(&mut self, frame: impl Into<Bytes>, limit_bytes: usize) -> Result<(), Overflow> {
        let frame = frame.into();
        let queued_bytes = self.queued_bytes();
        if queued_bytes > 0 && queued_bytes + frame.len() > limit_bytes {
            return Err(Overflow);
        }
        self.append(frame);
        Ok(())
    }

    /// Queues a pong, beyond the limit too. A peer that pings without reading gets the newest few answered.
    pub fn push_pong(&mut self, pong: impl Into<Bytes>) {
        let pong = pong.into();
        let queue = self.queue.get_or_insert_default();
        if queue.trailing_pongs == PONGS_IN_A_ROW {
            let replaced = queue.frames.pop_back().expect("trailing pongs are queued");
            queue.queued_bytes -= replaced.len();
            queue.trailing_pongs -= 1;
        }
        let pongs = queue.trailing_pongs + 1;
        self.append(pong);
        self.queue.as_mut().expect("just appended").trailing_pongs = pongs;
    }

    /// Queues what must go, beyond the limit too: a last word, or a response that pausing has bounded already.
    pub fn push_unbounded(&mut self, octets: impl Into<Bytes>) {
        self.append(octets.into());
    }

    /// Makes what is queued now immune to `abandon`: what follows has no meaning without it.
    pub fn promise(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.promised = queue.frames.len();
        }
    }

    /// Drops all but what is promised and the frame that the peer has begun to receive.
    pub fn abandon(&mut self) {
        let Some(queue) = &mut self.queue else { return };
        queue.frames.truncate(queue.promised.max(usize::from(queue.front_begun)));
        queue.queued_bytes = queue.frames.iter().map(Bytes::len).sum();
        queue.trailing_pongs = 0;
        if queue.frames.is_empty() {
            self.queue = None;
        }
    }

    /// Drops everything: the socket is dead.
    pub fn clear(&mut self) {
        self.queue = None;
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_none()
    }

    /// Bytes that wait.
    pub fn queued_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.queued_bytes)
    }

    /// What the queue itself takes: with very short messages that is most of the memory.
    pub fn place_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.frames.len() * PLACE_BYTES)
    }

    /// Messages that wait, behind what is promised.
    pub fn queued_messages(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.frames.len() - queue.promised)
    }

    /// Since when the peer has taken nothing of what waits, if it has stalled.
    pub fn stalled_since(&self) -> Option<Instant> {
        self.queue.as_ref()?.stalled_since
    }

    /// What has stalled then has stalled only now.
    pub fn restart_stall(&mut self, then: Instant, now: Instant) {
        if let Some(queue) = self.queue.as_mut().filter(|queue| queue.stalled_since == Some(then)) {
            queue.stalled_since = Some(now);
        }
    }

    /// Writes until nothing is left or the socket takes no more.
    ///
    /// # Errors
    /// Whatever the socket fails with, but for `WouldBlock` and `Interrupted`, which are outcomes.
    pub fn flush_to(&mut self, socket: &mut impl Write, now: Instant) -> io::Result<Flush> {
        let mut pace = None;
        while let Some(queue) = &mut self.queue {
            match queue.write_once(socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => queue.advance(written),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    queue.stalled_since.get_or_insert(now);
                    queue.slow.get_or_insert((now, 0));
                    return Ok(Flush::Blocked);
                }
                Err(e) => return Err(e),
            }
            if queue.frames.is_empty() {
                pace = queue
                    .slow
                    .map(|(since, bytes)| Pace { bytes, time: now.saturating_duration_since(since) });
                self.queue = None;
            }
        }
        Ok(Flush::Emptied { pace })
    }

    fn append(&mut self, frame: Bytes) {
        let queue = self.queue.get_or_insert_default();
        queue.queued_bytes += frame.len();
        queue.trailing_pongs = 0;
        queue.frames.push_back(frame);
    }
}

impl Queue {
    fn write_once(&self, socket: &mut impl Write) -> io::Result<usize> {
        if let [frame] = self.frames.as_slices().0
            && self.frames.len() == 1
        {
            return socket.write(frame);
        }
        if self.frames.len() <= FEW_FRAMES {
            self.write_many::<FEW_FRAMES>(socket)
        } else {
            self.write_many::<FRAMES_PER_WRITE>(socket)
        }
    }

    fn write_many<const MOST: usize>(&self, socket: &mut impl Write) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); MOST];
        let count = self.frames.len().min(MOST);
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            *slice = IoSlice::new(frame);
        }
        socket.write_vectored(&slices[..count])
    }

    fn advance(&mut self, mut written: usize) {
        self.queued_bytes -= written;
        self.stalled_since = None;
        if let Some((_, bytes)) = &mut self.slow {
            *bytes += written;
        }
        while written > 0 {
            let front = self.frames.front_mut().expect("no more is written than was queued");
            if written < front.len() {
                front.advance(written);
                self.front_begun = true;
                break;
            }
            written -= front.len();
            self.frames.pop_front();
            self.front_begun = false;
            self.promised = self.promised.saturating_sub(1);
        }
        // Begun pongs must stay; the count only bounds how many wait.
        let waiting = self.frames.len() - usize::from(self.front_begun);
        self.trailing_pongs = self.trailing_pongs.min(u8::try_from(waiting).unwrap_or(u8::MAX));
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
