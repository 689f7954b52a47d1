//! Facts about what waits for a peer, and about the socket that takes it.

use super::*;

const EMPTIED: Flush = Flush::Emptied { pace: None };

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
    assert_eq!(outbox.flush_to(&mut socket, Instant::now()).unwrap(), EMPTIED);
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
    assert!(matches!(outbox.flush_to(&mut socket, Instant::now()).unwrap(), Flush::Emptied { .. }));
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
fn a_pong_replaces_only_pongs() {
    let mut outbox = Outbox::default();
    (0..PONGS_IN_A_ROW).for_each(|_| outbox.push_pong("pong"));
    outbox.push("frame", 1000).unwrap();
    outbox.push_pong("pong");
    let queue = outbox.queue.as_ref().unwrap();
    assert_eq!(queue.frames.len(), usize::from(PONGS_IN_A_ROW) + 2);
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
fn a_peer_that_kept_us_waiting_needs_as_long_again_for_as_much() {
    let (mut outbox, mut socket) = (outbox(&["x"; 16]), Stingy::with_room(0));
    let (start, second) = (Instant::now(), Duration::from_secs(1));
    outbox.push_unbounded(vec![0; ROOM_BYTES - 16]);
    for seconds in 0..8 {
        outbox.flush_to(&mut socket, start + seconds * second).unwrap();
        socket.room = ROOM_BYTES / 8;
    }
    let Flush::Emptied { pace: Some(pace) } = outbox.flush_to(&mut socket, start + 8 * second).unwrap()
    else {
        panic!("it was slow, and has taken all");
    };
    // What has passed through its buffer meanwhile counts, too.
    assert_eq!(pace.time_for(2 * ROOM_BYTES), 8 * second);
    outbox.push("x", usize::MAX).unwrap();
    assert_eq!(outbox.flush_to(&mut Stingy::with_room(1), start).unwrap(), EMPTIED);
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
    assert_eq!(interrupted.unwrap(), EMPTIED);
}

#[test]
fn very_short_messages_take_more_than_their_octets() {
    let mut outbox = outbox(&["a", "b", "c"]);
    assert_eq!((outbox.queued_bytes(), outbox.place_bytes()), (3, 3 * 64));
    outbox.flush_to(&mut Stingy::with_room(2), Instant::now()).unwrap();
    assert_eq!((outbox.queued_bytes(), outbox.place_bytes()), (1, 64));
}

fn pieces(text: &'static str) -> [Bytes; 2] {
    let (one, other) = text.split_at(2);
    [Bytes::from_static(one.as_bytes()), Bytes::from_static(other.as_bytes())]
}

#[test]
fn pieces_are_queued_together_or_not_at_all() {
    let mut outbox = outbox(&["123"]);
    assert_eq!(outbox.push_pieces(pieces("abcd"), 6), Err(Overflow));
    assert_eq!((outbox.queued_bytes(), outbox.queued_messages()), (3, 1));
    assert_eq!(outbox.push_pieces(pieces("abcd"), 7), Ok(()));
    assert_eq!((outbox.queued_bytes(), outbox.queued_messages()), (7, 3));
    assert_eq!(Outbox::default().push_pieces(pieces("abcd"), 0), Ok(()), "nothing else waits");
}

#[test]
fn what_is_abandoned_behind_a_first_piece_ends_there() {
    for (room, expected) in [(0, ""), (1, "ab"), (2, "ab"), (3, "abcd"), (4, "abcd"), (5, "abcdAB")] {
        let (mut outbox, mut socket) = (Outbox::default(), Stingy::with_room(room));
        outbox.push_pieces(pieces("abcd"), usize::MAX).unwrap();
        outbox.push_pieces(pieces("ABCD"), usize::MAX).unwrap();
        assert_eq!(outbox.flush_to(&mut socket, Instant::now()).unwrap(), Flush::Blocked);
        outbox.abandon();
        socket.room = usize::MAX;
        assert_eq!(outbox.flush_to(&mut socket, Instant::now()).map(|_| ()).ok(), Some(()));
        assert_eq!(socket.taken, expected.as_bytes(), "{room}");
    }
}
