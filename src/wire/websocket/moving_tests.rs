//! A session that moves from one process to another in the midst of whatever it hears.

use super::*;
use crate::wire::handover::drawn;
use crate::wire::handover::message::{decode, encode};
use crate::wire::handover::record;

/// As it goes on in another process.
fn moved(session: &Session) -> Session {
    let unfinished = session.unfinished();
    let read =
        unfinished.as_ref().map(|unfinished| decode::<record::Unfinished>(&encode(unfinished)).unwrap());
    assert_eq!(read, unfinished);
    let compression = session.compression().map(|it| Compression::unpack(it.pack()).unwrap());
    Session::resumed(compression, read).unwrap()
}

/// All events of what one octet after the other brings, and what is written, if the session moves where this says.
fn hear_moving(
    compression: Option<Compression>,
    input: &[u8],
    rules: &Rules,
    moves: impl Fn(usize) -> bool,
) -> (Vec<Event>, Vec<u8>) {
    let (mut session, mut outbox, mut events) = (Session::new(compression), Outbox::default(), vec![]);
    for (nth, octet) in input.iter().enumerate() {
        let mut piece = std::slice::from_ref(octet);
        while let Some(event) = session.next(&mut piece, rules, &mut Inflater::default(), &mut outbox) {
            events.push(event);
        }
        if matches!(events.last(), Some(Event::Ended(_))) {
            break;
        }
        if moves(nth) {
            session = moved(&session);
        }
    }
    let mut written = vec![];
    outbox.flush_to(&mut written, std::time::Instant::now()).unwrap();
    (events, written)
}

/// Frames of messages, whole or in fragments, compressed or not, of control frames, and of what breaks a rule.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let octets = || prop::collection::vec(any::<u8>(), 0..200);
    let part = prop_oneof![
        6 => any::<String>().prop_map(|text| frame(0x81, text.as_bytes())),
        6 => (any::<String>(), any::<prop::sample::Index>()).prop_map(|(text, at)| {
            let (one, other) = text.as_bytes().split_at(at.index(text.len() + 1));
            [frame(0x01, one), frame(0x89, b"between"), frame(0x80, other)].concat()
        }),
        // "Hello" (RFC 7692 §7.2.3.1).
        4 => (0..=7_usize).prop_map(|at| {
            let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
            [frame(0x41, &hello[..at]), frame(0x8a, b""), frame(0x80, &hello[at..])].concat()
        }),
        4 => octets().prop_map(|octets| frame(0x89, &octets[..octets.len().min(125)])),
        1 => octets().prop_map(|octets| frame(0x82, &octets)),
        1 => Just(frame(0x88, &1000_u16.to_be_bytes())),
        1 => (any::<u8>(), octets()).prop_map(|(first, octets)| frame(first, &octets)),
        1 => octets(),
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn wherever_it_moves_it_hears_what_it_would_have_heard(
        input in input(), compresses: bool, binary: bool, moves: u64,
    ) {
        let compression = compresses.then(Compression::default);
        let rules = Rules { binary, ..RULES };
        let unmoved = hear_with(compression, [&input[..]], &rules);
        prop_assert_eq!(&hear_moving(compression, &input, &rules, |_| true), &unmoved);
        let some = hear_moving(compression, &input, &rules, |nth| moves >> (nth % 64) & 1 == 1);
        prop_assert_eq!(&some, &unmoved);
    }

    #[test]
    fn whatever_it_is_said_to_be_in_the_midst_of_it_keeps_to_the_rules(
        unfinished in drawn::unfinished(), input in input(), compresses: bool,
    ) {
        let compression = compresses.then(Compression::default);
        let begun = unfinished.message.as_ref().map_or(0, |message| message.payload.len());
        let Ok(mut session) = Session::resumed(compression, Some(unfinished)) else { return Ok(()) };
        let (mut rest, mut outbox) = (&input[..], Outbox::default());
        while let Some(event) = session.next(&mut rest, &RULES, &mut Inflater::default(), &mut outbox) {
            match event {
                Event::Text(text) => prop_assert!(text.len() <= RULES.max_message_bytes),
                Event::Binary(_) => prop_assert!(false, "it is not accepted"),
                Event::Pong | Event::Ended(_) => {}
            }
        }
        let kept = session.unfinished().and_then(|unfinished| unfinished.message);
        prop_assert!(kept.is_none_or(|message| message.payload.len() <= begun.max(2 * RULES.max_message_bytes)));
    }
}

#[test]
fn what_no_session_can_be_in_the_midst_of_is_refused() {
    let frame = |opcode, remaining| record::OpenFrame { opcode, is_final: true, remaining, mask: MASK };
    let text =
        |payload: &[u8]| record::Message { is_text: true, is_compressed: false, payload: payload.to_vec() };
    let of = |frame, message| record::Unfinished { frame, message, ..record::Unfinished::default() };
    let with_header =
        |header: &[u8]| record::Unfinished { header: header.to_vec(), ..record::Unfinished::default() };
    let resumed = |record| Session::resumed(None, Some(record)).is_ok();
    for possible in [
        of(Some(frame(1, 5)), Some(text(b"\xc3"))),
        of(Some(frame(9, 125)), None),
        of(Some(frame(10, 1)), Some(text(b"x"))),
        of(None, Some(text(b""))),
        with_header(&[0x81]),
    ] {
        assert!(resumed(possible.clone()), "{possible:?}");
    }
    for impossible in [
        of(None, None),
        of(Some(frame(1, 0)), Some(text(b"x"))),
        of(Some(frame(1, 5)), None),
        of(Some(frame(3, 5)), Some(text(b"x"))),
        of(Some(frame(11, 5)), None),
        of(Some(frame(16, 5)), Some(text(b"x"))),
        of(Some(frame(255, 5)), Some(text(b"x"))),
        of(Some(frame(9, 126)), None),
        of(Some(frame(9, u64::MAX)), None),
        of(Some(record::OpenFrame { is_final: false, ..frame(9, 1) }), None),
        of(None, Some(text(b"\xff"))),
        of(None, Some(record::Message { is_compressed: true, ..text(b"x") })),
        with_header(&[0x81; 14]),
        with_header(&[0x81, 0x80, 1, 2, 3, 4]),
        with_header(&[0x81, 0x00, 1, 2, 3, 4]),
        record::Unfinished { control: b"x".to_vec(), ..with_header(&[0x81]) },
        record::Unfinished { header: vec![0x81], ..of(Some(frame(9, 5)), None) },
        record::Unfinished { control: b"x".to_vec(), ..of(Some(frame(1, 5)), Some(text(b"x"))) },
    ] {
        assert!(!resumed(impossible.clone()), "{impossible:?}");
    }
    for bits in 0..=255 {
        let record = record::Compression { server_max_window_bits: Some(bits) };
        assert_eq!(Compression::unpack(record).is_ok(), (8..=15).contains(&bits), "{bits}");
    }
}

#[test]
fn a_message_that_has_become_too_long_by_other_rules_ends_it_in_its_midst_or_behind_a_fragment() {
    let long = "x".repeat(900);
    let small = Rules { max_message_bytes: 500, binary: false };
    let whole = frame(0x01, long.as_bytes());
    for input in [&whole[..], &whole[..800]] {
        let (mut session, mut outbox) = (Session::default(), Outbox::default());
        assert_eq!(session.next(&mut &input[..], &RULES, &mut Inflater::default(), &mut outbox), None);
        let mut session = moved(&session);
        let mut rest = [&whole[input.len()..], &frame(0x80, b"")].concat();
        let event = session.next(&mut &rest[..], &small, &mut Inflater::default(), &mut outbox);
        assert_eq!(event, Some(Event::Ended(Ending::Violated(Violation::TooBig))));
        rest.clear();
    }
}
