//! What waits for a peer, moved from one process to another at any time.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::wire::handover::drawn;
use crate::wire::handover::message::{decode, encode};
use crate::wire::outbox::Flush;

/// A socket that takes only so much.
struct Stingy {
    taken: Vec<u8>,
    room: usize,
}

impl std::io::Write for Stingy {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        let count = octets.len().min(self.room);
        if count == 0 {
            return Err(std::io::ErrorKind::WouldBlock.into());
        }
        self.room -= count;
        self.taken.extend(&octets[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How it goes on in another process, whose clock stands elsewhere. Every second piece is shared, and known there with more ahead of it.
fn moved(outbox: &Outbox, at: Moment, there: Moment) -> Outbox {
    let mut shared: Vec<Bytes> = vec![];
    let mut count = 0;
    let piece = |octets: &Bytes| {
        count += 1;
        if count % 2 == 0 {
            return Ok::<_, Damaged>(Piece::Own(octets.to_vec()));
        }
        shared.push([b"ahead ", &octets[..]].concat().into());
        Ok(Piece::Shared { number: shared.len() as u64 - 1, skip: 6 })
    };
    match outbox.pack(at, piece).unwrap() {
        Some(record) => Outbox::unpack(decode(&encode(&record)).unwrap(), there, &shared).unwrap(),
        None => Outbox::default(),
    }
}

#[derive(Debug, Clone)]
enum Act {
    Push(Vec<u8>),
    Pong(Vec<u8>),
    Promise,
    Write(usize),
    Abandon,
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let octets = || prop::collection::vec(any::<u8>(), 1..9);
    let act = prop_oneof![
        4 => octets().prop_map(Act::Push),
        4 => octets().prop_map(Act::Pong),
        1 => Just(Act::Promise),
        4 => (0..12_usize).prop_map(Act::Write),
        1 => Just(Act::Abandon),
        2 => (0..5_000_u64).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 0..60)
}

/// Does this, and says what it has written and how that went.
fn act(outbox: &mut Outbox, act: &Act, now: Instant) -> (Vec<u8>, Option<Flush>) {
    let mut socket = Stingy { taken: vec![], room: 0 };
    let mut flushed = None;
    match act {
        Act::Push(octets) => drop(outbox.push(octets.clone(), 40)),
        Act::Pong(octets) => outbox.push_pong(octets.clone()),
        Act::Promise => outbox.promise(),
        Act::Write(room) => {
            socket.room = *room;
            flushed = Some(outbox.flush_to(&mut socket, now).unwrap());
        }
        Act::Abandon => outbox.abandon(),
        Act::Wait(_) => {}
    }
    (socket.taken, flushed)
}

proptest! {
    #[test]
    fn whenever_it_moves_all_goes_on_as_if_it_had_not(acts in acts(), moves in any::<u64>()) {
        let mut now = Instant::now();
        let shift = Duration::from_secs(77);
        let (mut unmoved, mut other) = (Outbox::default(), Outbox::default());
        for (nth, next) in acts.iter().enumerate() {
            if let Act::Wait(millis) = next {
                now += Duration::from_millis(*millis);
            }
            prop_assert_eq!(act(&mut unmoved, next, now), act(&mut other, next, now + shift));
            if moves >> (nth % 64) & 1 == 1 {
                // There and back.
                let (here, there) =
                    (Moment { instant: now + shift, monotonic: 7 }, Moment { instant: now, monotonic: 7 });
                let away = moved(&other, here, there);
                prop_assert_eq!(away.stalled_since(), unmoved.stalled_since());
                other = moved(&away, there, here);
            }
            let counts = |outbox: &Outbox| (outbox.queued_bytes(), outbox.queued_messages(), outbox.is_empty());
            prop_assert_eq!(counts(&unmoved), counts(&other));
        }
        let rest = Act::Write(usize::MAX);
        prop_assert_eq!(act(&mut unmoved, &rest, now), act(&mut other, &rest, now + shift));
    }

    #[test]
    fn any_record_is_refused_or_written_to_its_end(
        record in drawn::outbox(), shared in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..3),
        acts in acts(),
    ) {
        let at = Moment { instant: Instant::now(), monotonic: 0 };
        let shared: Vec<Bytes> = shared.into_iter().map(Bytes::from).collect();
        let Ok(mut outbox) = Outbox::unpack(record, at, &shared) else { return Ok(()) };
        for next in acts.iter().chain([&Act::Write(0), &Act::Write(usize::MAX)]) {
            if let (_, Some(Flush::Emptied { pace: Some(pace) })) = act(&mut outbox, next, at.instant) {
                let _ = pace.time_for(1 << 20);
            }
        }
        prop_assert!(outbox.is_empty());
    }
}

#[test]
fn what_none_can_be_is_refused() {
    let at = Moment { instant: Instant::now(), monotonic: 0 };
    let shared = [Bytes::from_static(b"abc")];
    let unpack = |record| Outbox::unpack(record, at, &shared).map(|outbox| outbox.queued_bytes());
    let own = || vec![Piece::Own(b"x".to_vec()), Piece::Own(b"yz".to_vec())];
    let of = |pieces| record::Outbox { pieces, ..record::Outbox::default() };
    let piece = |number, skip| of(vec![Piece::Shared { number, skip }]);
    assert_eq!(unpack(of(own())), Ok(3));
    assert_eq!(unpack(piece(0, 2)), Ok(1));
    for impossible in [
        of(vec![]),
        of(vec![Piece::Own(vec![])]),
        piece(0, 3),
        piece(0, u64::MAX),
        piece(1, 0),
        piece(u64::MAX, 0),
        record::Outbox { promised: 3, ..of(own()) },
        record::Outbox { promised: u64::MAX, ..of(own()) },
        record::Outbox { trailing_pongs: 3, ..of(own()) },
        record::Outbox { trailing_pongs: 2, front_begun: true, ..of(own()) },
    ] {
        assert_eq!(unpack(impossible.clone()), Err(Damaged), "{impossible:?}");
    }
}
