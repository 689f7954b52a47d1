//! Bounded queue of encoded frames and responses; the only thing ever written to a socket.
//! Invariant: whatever the peer has begun to receive it receives whole, or nothing more at all.
//!
//! The limit counts lag, not memory: a broadcast's octets are shared by all who are sent them. An idle outbox owns
//! no heap.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::time::Instant;

use bytes::{Buf, Bytes};
use thiserror::Error;

/// How many pongs in a row wait at most: beyond, the newest takes the place of the one before (RFC 6455 §5.5.3).
const PONGS_IN_A_ROW: u8 = 16;

/// How many frames go into one `writev`: IOV_MAX, writev(2).
const FRAMES_PER_WRITE: usize = 1024;

/// Up to so many, the list of them is short enough to be set up for nothing.
const FEW_FRAMES: usize = 16;

/// The peer reads too slowly: the frame did not fit and was not queued.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the outbox is full")]
pub struct Overflow;

/// What a flush achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Nothing is left.
    Emptied,
    /// The socket takes no more now.
    Blocked,
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

    /// Messages that wait, behind what is promised.
    pub fn queued_messages(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.frames.len() - queue.promised)
    }

    /// Since when the peer has taken nothing of what waits, if it has stalled.
    pub fn stalled_since(&self) -> Option<Instant> {
        self.queue.as_ref()?.stalled_since
    }

    /// Writes until nothing is left or the socket takes no more.
    ///
    /// # Errors
    /// Whatever the socket fails with, but for `WouldBlock` and `Interrupted`, which are outcomes.
    pub fn flush_to(&mut self, socket: &mut impl Write, now: Instant) -> io::Result<Flush> {
        while let Some(queue) = &mut self.queue {
            match queue.write_once(socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => queue.advance(written),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    queue.stalled_since.get_or_insert(now);
                    return Ok(Flush::Blocked);
                }
                Err(e) => return Err(e),
            }
            if queue.frames.is_empty() {
                self.queue = None;
            }
        }
        Ok(Flush::Emptied)
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
mod tests {
    use super::*;

    /// A socket that takes `room` bytes and then blocks, `step` at a time.
    struct Stingy {
        taken: Vec<u8>,
        room: usize,
        step: usize,
        writes: usize,
    }

    impl Stingy {
        fn with_room(room: usize) -> Self {
            Self { taken: vec![], room, step: usize::MAX, writes: 0 }
        }
    }

    impl Write for Stingy {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes += 1;
            let count = bytes.len().min(self.room).min(self.step);
            if count == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.room -= count;
            self.taken.extend(&bytes[..count]);
            Ok(count)
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            self.write(&all)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn outbox(frames: &[&'static str]) -> Outbox {
        let mut outbox = Outbox::default();
        for frame in frames {
            outbox.push(*frame, usize::MAX).unwrap();
        }
        outbox
    }

    #[test]
    fn all_that_waits_leaves_in_one_write() {
        let (mut outbox, mut socket) = (outbox(&["one", "two", "three"]), Stingy::with_room(100));
        assert_eq!(outbox.flush_to(&mut socket, Instant::now()).unwrap(), Flush::Emptied);
        assert_eq!((socket.taken.as_slice(), socket.writes), (&b"onetwothree"[..], 1));
        assert!(outbox.is_empty() && outbox.queue.is_none());
    }

    #[test]
    fn a_blocked_flush_goes_on_where_it_stopped() {
        let (mut outbox, mut socket) = (outbox(&["one", "two", "three"]), Stingy::with_room(4));
        assert_eq!(outbox.flush_to(&mut socket, Instant::now()).unwrap(), Flush::Blocked);
        assert_eq!((socket.taken.as_slice(), outbox.queued_bytes()), (&b"onet"[..], 7));
        socket.room = 100;
        socket.step = 1;
        assert_eq!(outbox.flush_to(&mut socket, Instant::now()).unwrap(), Flush::Emptied);
        assert_eq!(socket.taken, b"onetwothree");
    }

    #[test]
    fn abandoning_keeps_only_what_the_peer_has_begun_to_receive() {
        let (mut begun, mut socket) = (outbox(&["one", "two", "three"]), Stingy::with_room(4));
        begun.flush_to(&mut socket, Instant::now()).unwrap();
        begun.abandon();
        begun.push_unbounded("bye");
        socket.room = 100;
        begun.flush_to(&mut socket, Instant::now()).unwrap();
        assert_eq!(socket.taken, b"onetwobye");

        let mut untouched = outbox(&["one"]);
        untouched.abandon();
        assert!(untouched.is_empty());
    }

    #[test]
    fn what_is_promised_is_not_abandoned() {
        let (mut outbox, mut socket) = (outbox(&["answer", "101"]), Stingy::with_room(2));
        outbox.promise();
        outbox.push("welcome", usize::MAX).unwrap();
        outbox.flush_to(&mut socket, Instant::now()).unwrap();
        outbox.abandon();
        outbox.push_unbounded("bye");
        socket.room = 100;
        outbox.flush_to(&mut socket, Instant::now()).unwrap();
        assert_eq!(socket.taken, b"answer101bye");
        outbox.push("one", usize::MAX).unwrap();
        outbox.abandon();
        assert!(outbox.is_empty(), "a promise is kept once");
    }

    #[test]
    fn overflow_leaves_the_queue_as_it_was() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push("larger than the limit", 8), Ok(()));
        assert_eq!(outbox.push("x", 8), Err(Overflow));
        assert_eq!(outbox.queued_bytes(), 21);
        outbox.push_unbounded("always");
        assert_eq!(outbox.queued_bytes(), 27);
    }

    #[test]
    fn a_flood_of_pings_from_a_deaf_peer_stays_bounded_and_the_newest_is_answered() {
        let mut outbox = outbox(&["a message"]);
        for n in 0..100_000_u32 {
            outbox.push_pong(n.to_be_bytes().to_vec());
        }
        let queue = outbox.queue.as_ref().unwrap();
        assert_eq!(queue.frames.len(), 1 + usize::from(PONGS_IN_A_ROW));
        assert_eq!(queue.frames.back().unwrap()[..], 99_999_u32.to_be_bytes());
        assert_eq!(queue.queued_bytes, 9 + 4 * usize::from(PONGS_IN_A_ROW));
    }

    #[test]
    fn a_begun_pong_is_never_replaced() {
        let (mut outbox, mut socket) = (Outbox::default(), Stingy::with_room(2));
        outbox.push_pong("pong");
        outbox.flush_to(&mut socket, Instant::now()).unwrap();
        for _ in 0..100 {
            outbox.push_pong("PONG");
        }
        socket.room = 1000;
        outbox.flush_to(&mut socket, Instant::now()).unwrap();
        assert_eq!(socket.taken, ["pong", &"PONG".repeat(usize::from(PONGS_IN_A_ROW))].concat().as_bytes());
    }

    #[test]
    fn a_stall_is_timed_from_the_last_progress() {
        let (mut outbox, mut socket) = (outbox(&["one", "two"]), Stingy::with_room(0));
        let start = Instant::now();
        let later = start + std::time::Duration::from_secs(1);
        outbox.flush_to(&mut socket, start).unwrap();
        outbox.flush_to(&mut socket, later).unwrap();
        assert_eq!(outbox.stalled_since(), Some(start));
        socket.room = 1;
        outbox.flush_to(&mut socket, later).unwrap();
        assert_eq!(outbox.stalled_since(), Some(later));
    }

    #[test]
    fn a_socket_that_fails_says_so_and_one_that_is_interrupted_goes_on() {
        struct Failing(Vec<ErrorKind>);
        impl Write for Failing {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.pop().map_or(Ok(bytes.len()), |kind| Err(kind.into()))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let broken = outbox(&["x"]).flush_to(&mut Failing(vec![ErrorKind::BrokenPipe]), Instant::now());
        assert_eq!(broken.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let interrupted = outbox(&["x"]).flush_to(&mut Failing(vec![ErrorKind::Interrupted]), Instant::now());
        assert_eq!(interrupted.unwrap(), Flush::Emptied);
    }
}
