//! A bounded queue of encoded frames and responses: all that is ever written to a socket comes from here.
//! Invariant: a frame that the peer has begun to receive is received whole, or nothing more at all is.
//!
//! The limit bounds how far a peer lags behind, not memory: the octets of a broadcast are shared. An empty outbox owns no
//! heap.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use thiserror::Error;

mod moving;

/// How many pongs in a row may wait: after that, a new one replaces the last one (RFC 6455 §5.5.3).
const PONGS_IN_A_ROW: u8 = 16;

/// How many frames one `writev` takes: IOV_MAX, writev(2).
const FRAMES_PER_WRITE: usize = 1024;

/// Up to this many frames, setting up the list for `writev` costs next to nothing.
const FEW_FRAMES: usize = 16;

/// What a frame takes besides its octets: a place in a ring that grows by doubling.
const PLACE_BYTES: usize = 2 * size_of::<Bytes>();

/// What a full socket has to pass on before it takes more: a third of its buffer, or somewhat less.
const ROOM_BYTES: usize = 16 * 1024;

/// The peer reads too slowly: the frame did not fit and was not queued.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the outbox is full")]
pub struct Overflow;

/// What a flush achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Nothing is left.
    Emptied {
        /// How fast the peer was since it first kept us waiting, if it did.
        pace: Option<Pace>,
    },
    /// The socket takes no more now.
    Blocked,
}

/// How fast a socket has taken what waited for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How much of it,
    bytes: usize,
    /// and in which time.
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
    /// The first one lacks what has been written of it already.
    frames: VecDeque<Bytes>,
    front_begun: bool,
    /// How many of the first frames are never abandoned.
    promised: usize,
    trailing_pongs: u8,
    queued_bytes: usize,
    /// Since when the socket has taken nothing.
    stalled_since: Option<Instant>,
    /// When it first took nothing, and what it has taken since.
    slow: Option<(Instant, usize)>,
}

impl Outbox {
    /// Queues a frame or a response. When nothing else waits it is always taken, however large it is.
    ///
    /// # Errors
    /// `Overflow` when more than `limit_bytes` would wait; the queue is unchanged then.
    pub fn push(&mut self, frame: impl Into<Bytes>, limit_bytes: usize) -> Result<(), Overflow> {
        self.push_pieces([frame.into()], limit_bytes)
    }

    /// Queues pieces that mean something together, all of them or none. Nothing comes between them; but where the rest is
    /// abandoned it may be cut behind any of them, and nothing may be queued behind that.
    ///
    /// # Errors
    /// As `push`.
    pub fn push_pieces<const N: usize>(
        &mut self,
        pieces: [Bytes; N],
        limit_bytes: usize,
    ) -> Result<(), Overflow> {
        let queued_bytes = self.queued_bytes();
        if queued_bytes > 0 && queued_bytes + pieces.iter().map(Bytes::len).sum::<usize>() > limit_bytes {
            return Err(Overflow);
        }
        pieces.into_iter().for_each(|piece| self.append(piece));
        Ok(())
    }

    /// Queues a pong, even beyond the limit. Of a peer that pings without reading, only the latest few pings are answered.
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

    /// Queues what has to be sent, even beyond the limit: a close frame, or a response that is bounded by pausing.
    pub fn push_unbounded(&mut self, octets: impl Into<Bytes>) {
        self.append(octets.into());
    }

    /// Protects what is queued now from `abandon`: what follows has no meaning without it.
    pub fn promise(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.promised = queue.frames.len();
        }
    }

    /// Drops everything but what is promised and the frame that the peer has begun to receive.
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

    /// How many bytes wait.
    pub fn queued_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.queued_bytes)
    }

    /// What the places in the queue take: with very short messages, most of the memory.
    pub fn place_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.frames.len() * PLACE_BYTES)
    }

    /// How many messages, or pieces of them, wait behind what is promised.
    pub fn queued_messages(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.frames.len() - queue.promised)
    }

    /// Since when the peer has taken nothing of what waits, if it has stalled.
    pub fn stalled_since(&self) -> Option<Instant> {
        self.queue.as_ref()?.stalled_since
    }

    /// Counts a stall that began at `then` from now on instead.
    pub fn restart_stall(&mut self, then: Instant, now: Instant) {
        if let Some(queue) = self.queue.as_mut().filter(|queue| queue.stalled_since == Some(then)) {
            queue.stalled_since = Some(now);
        }
    }

    /// Writes until nothing is left or the socket takes no more.
    ///
    /// # Errors
    /// Any failure of the socket; `WouldBlock` and `Interrupted` are outcomes instead.
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
        // A socket may have something to write that is nobody's here.
        match socket.flush() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(Flush::Blocked),
            flushed => flushed.map(|()| Flush::Emptied { pace }),
        }
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
        // A pong that has begun must stay: the count only bounds how many wait.
        let waiting = self.frames.len() - usize::from(self.front_begun);
        self.trailing_pongs = self.trailing_pongs.min(u8::try_from(waiting).unwrap_or(u8::MAX));
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
