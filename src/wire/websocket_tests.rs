//! Facts about `Session`, each shown with the input whole, byte by byte, and cut at random.

use proptest::prelude::*;

use super::*;

const MASK: [u8; 4] = [0x1d, 0xe2, 0x53, 0xa4];
const RULES: Rules = Rules { max_message_bytes: 1000, binary: false };

/// A client's frame of at most 65,535 bytes. `first` holds FIN, the reserved bits and the opcode.
#[allow(clippy::cast_possible_truncation)]
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![first];
    match payload.len() {
        short @ ..126 => octets.push(0x80 | short as u8),
        length => octets.extend([0x80 | 126, (length >> 8) as u8, length as u8]),
    }
    octets.extend(MASK);
    octets.extend(payload.iter().zip(MASK.iter().cycle()).map(|(octet, mask)| octet ^ mask));
    octets
}

/// All events of the input handed over in pieces, and what the session wrote.
fn hear_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, rules: &Rules) -> (Vec<Event>, Vec<u8>) {
    let (mut session, mut outbox, mut events) = (Session::default(), Outbox::default(), vec![]);
    for mut piece in pieces {
        while let Some(event) = session.next(&mut piece, rules, &mut outbox) {
            events.push(event);
        }
        assert!(piece.is_empty(), "None means that all input was taken");
    }
    let mut written = vec![];
    outbox.flush_to(&mut written, std::time::Instant::now()).unwrap();
    (events, written)
}

/// The events of the input, which must not depend on how it is cut.
fn hear(input: &[u8]) -> Vec<Event> {
    let (whole, _) = hear_pieces([input], &RULES);
    let (dripped, _) = hear_pieces(input.chunks(1), &RULES);
    assert_eq!(whole, dripped, "cutting the input changed its meaning");
    whole
}

fn text(text: &str) -> Event {
    Event::Text(text.to_owned())
}

fn violated(input: &[u8]) -> Violation {
    match hear(input).pop() {
        Some(Event::Ended(Ending::Violated(violation))) => violation,
        other => panic!("expected a violation, not {other:?}"),
    }
}

#[test]
fn messages_come_whole_with_control_frames_between_their_fragments() {
    let input = [
        frame(0x81, b"one"),
        frame(0x01, b"tw"),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x8a, b"pong"),
        frame(0x80, "ö".as_bytes()),
        frame(0x81, b""),
    ]
    .concat();
    assert_eq!(hear(&input), [text("one"), Event::Pong, text("twö"), text("")]);
    assert_eq!(hear_pieces([&input[..]], &RULES).1, b"\x8a\x04ping");
}

#[test]
fn every_length_form_is_read() {
    for length in [0, 1, 125, 126, 127, 999, 1000] {
        let message = "x".repeat(length);
        assert_eq!(hear(&frame(0x81, message.as_bytes())), [text(&message)]);
    }
}

#[test]
fn a_close_is_told_once_and_nothing_after_it_is_read() {
    let input = [frame(0x88, b"\x10\xe1bye"), frame(0x81, b"late"), frame(0x88, b"")].concat();
    assert_eq!(hear(&input), [Event::Ended(Ending::PeerClosed(Some(4321)))]);
    assert_eq!(hear(&frame(0x88, b"")), [Event::Ended(Ending::PeerClosed(None))]);
}

#[test]
fn of_all_close_codes_the_registered_ones_and_those_of_applications_are_heard() {
    for code in 0..=u16::MAX {
        let heard = hear(&frame(0x88, &code.to_be_bytes()));
        let expected = match code {
            1000
            | 1001
            | 1002
            | 1003
            | 1007
            | 1008
            | 1009
            | 1010
            | 1011
            | 1012
            | 1013
            | 1014
            | 3000..5000 => Ending::PeerClosed(Some(code)),
            _ => Ending::Violated(Violation::Protocol("close code not allowed")),
        };
        assert_eq!(heard, [Event::Ended(expected)], "{code}");
    }
}

#[test]
fn framing_errors_are_protocol_violations() {
    let broken: [(&str, Vec<u8>); 14] = [
        ("reserved bit set", frame(0xc1, b"x")),
        ("reserved bit set", frame(0xa1, b"x")),
        ("reserved bit set", frame(0x91, b"x")),
        ("reserved opcode", frame(0x83, b"")),
        ("reserved opcode", frame(0x8f, b"")),
        ("frame not masked", b"\x81\x01x".to_vec()),
        ("fragmented control frame", frame(0x09, b"")),
        ("control frame over 125 bytes", frame(0x89, &[b'x'; 126])),
        ("continuation of nothing", frame(0x80, b"x")),
        ("new message inside a fragmented one", [frame(0x01, b"x"), frame(0x81, b"y")].concat()),
        ("length not in the shortest form", [&[0x81, 0xfe, 0, 1][..], &MASK, b"x"].concat()),
        ("length over 63 bits", [&[0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0][..], &MASK].concat()),
        ("close code cut short", frame(0x88, b"\x03")),
        ("close code not allowed", frame(0x88, &1005_u16.to_be_bytes())),
    ];
    for (what, input) in broken {
        assert_eq!(violated(&input), Violation::Protocol(what));
    }
}

#[test]
fn invalid_utf8_fails_with_the_byte_that_shows_it() {
    // Each is cut off right behind the first byte that cannot be continued, in the middle of its frame.
    for bad in [&b"ok\xff"[..], b"\xc0", b"\xe0\x80", b"\xed\xa0", b"\xf4\x90", b"\xf5", b"\xce\xba\xed\xa0"]
    {
        let long = [bad, &[b'x'; 50][..]].concat();
        let whole = frame(0x81, &long);
        let cut = &whole[..6 + bad.len()];
        assert_eq!(violated(cut), Violation::NotUtf8, "{bad:x?}");
        let before = &whole[..5 + bad.len()];
        assert_eq!(hear(before), [], "{bad:x?} was refused too early");
    }
}

#[test]
fn utf8_may_be_cut_between_fragments_but_not_at_the_end() {
    let cut = [frame(0x01, b"\xe2\x82"), frame(0x80, b"\xac")].concat();
    assert_eq!(hear(&cut), [text("€")]);
    assert_eq!(violated(&frame(0x81, b"\xe2\x82")), Violation::NotUtf8);
    assert_eq!(violated(&frame(0x88, b"\x03\xe8\xff")), Violation::NotUtf8);
}

#[test]
fn too_big_is_told_by_the_header_and_over_all_fragments() {
    assert_eq!(violated(&frame(0x81, &[b'x'; 1001])[..8]), Violation::TooBig);
    let fragments = [frame(0x01, &[b'x'; 600]), frame(0x80, &[b'x'; 401])].concat();
    assert_eq!(violated(&fragments), Violation::TooBig);
    let gigabyte = [&[0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0][..], &MASK].concat();
    assert_eq!(violated(&gigabyte), Violation::TooBig);
}

#[test]
fn a_header_reserves_nothing() {
    let (mut session, mut outbox) = (Session::default(), Outbox::default());
    let generous = Rules { max_message_bytes: usize::MAX, binary: false };
    let mut gigabyte = &[&[0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0][..], &MASK, b"x"].concat()[..];
    assert_eq!(session.next(&mut gigabyte, &generous, &mut outbox), None);
    assert!(session.unfinished.unwrap().message.unwrap().payload.capacity() < 64);
}

#[test]
fn an_idle_session_owns_no_heap() {
    let (mut session, mut outbox) = (Session::default(), Outbox::default());
    let mut input = &[frame(0x01, b"a"), frame(0x80, b"b"), frame(0x8a, b"pong")].concat()[..];
    while session.next(&mut input, &RULES, &mut outbox).is_some() {}
    assert!(session.unfinished.is_none());
}

#[test]
fn binary_is_refused_unless_the_rules_accept_it() {
    assert_eq!(violated(&frame(0x82, b"x")), Violation::Binary);
    let accepting = Rules { binary: true, ..RULES };
    assert_eq!(hear_pieces([&frame(0x82, b"\xff")[..]], &accepting).0, [Event::Binary(vec![0xff])]);
}

proptest! {
    #[test]
    fn garbage_never_panics_and_means_the_same_however_it_is_cut(
        input in proptest::collection::vec(any::<u8>(), 0..300),
        cut in 1_usize..40,
    ) {
        prop_assert_eq!(hear_pieces([&input[..]], &RULES), hear_pieces(input.chunks(cut), &RULES));
    }

    #[test]
    fn text_survives_any_fragmenting_and_any_cutting(
        message in "\\PC{0,120}",
        fragment in 1_usize..20,
        cut in 1_usize..20,
    ) {
        let mut fragments: Vec<Vec<u8>> = message.as_bytes().chunks(fragment).map(|part| frame(0x00, part)).collect();
        fragments.push(frame(0x80, b""));
        fragments[0][0] |= 0x01;
        let input = fragments.concat();
        prop_assert_eq!(hear_pieces(input.chunks(cut), &RULES).0, vec![Event::Text(message)]);
    }
}
