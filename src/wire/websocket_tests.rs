//! Facts about `Session`, each shown with the input whole, byte by byte, and cut at random.

use proptest::prelude::*;
use support::frames::deflated;

use super::*;

#[path = "websocket/moving_tests.rs"]
mod moving;

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
    hear_with(None, pieces, rules)
}

/// The same, where compression was agreed on or not.
fn hear_with<'a>(
    compression: Option<Compression>,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    rules: &Rules,
) -> (Vec<Event>, Vec<u8>) {
    let (mut session, mut outbox, mut events) = (Session::new(compression), Outbox::default(), vec![]);
    let mut inflater = Inflater::default();
    for mut piece in pieces {
        while let Some(event) = session.next(&mut piece, rules, &mut inflater, &mut outbox) {
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
    hear_cut(None, input)
}

/// The same, where compression was agreed on.
fn hear_compressed(input: &[u8]) -> Vec<Event> {
    hear_cut(Some(Compression::default()), input)
}

fn hear_cut(compression: Option<Compression>, input: &[u8]) -> Vec<Event> {
    let (whole, _) = hear_with(compression, [input], &RULES);
    let (dripped, _) = hear_with(compression, input.chunks(1), &RULES);
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
    assert_eq!(session.next(&mut gigabyte, &generous, &mut Inflater::default(), &mut outbox), None);
    assert!(session.unfinished.unwrap().message.unwrap().payload.capacity() < 64);
}

#[test]
fn an_idle_session_owns_no_heap() {
    let (mut session, mut outbox) = (Session::default(), Outbox::default());
    let mut input = &[frame(0x01, b"a"), frame(0x80, b"b"), frame(0x8a, b"pong")].concat()[..];
    while session.next(&mut input, &RULES, &mut Inflater::default(), &mut outbox).is_some() {}
    assert!(session.unfinished.is_none());
}

#[test]
fn a_session_is_no_larger_for_compression_and_owns_as_little_behind_a_compressed_message() {
    assert_eq!(size_of::<Session>(), 2 * size_of::<usize>());
    let (mut session, mut outbox) = (Session::new(Some(Compression::default())), Outbox::default());
    let mut input = &[frame(0x41, HELLO), frame(0x80, b"")].concat()[..];
    while session.next(&mut input, &RULES, &mut Inflater::default(), &mut outbox).is_some() {}
    assert!(session.unfinished.is_none());
}

/// As RFC 7692 §7.2.3.1 compresses "Hello".
const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

#[test]
fn a_compressed_message_is_heard_among_plain_ones_in_fragments_and_with_control_frames_between() {
    let input = [
        frame(0xc1, HELLO),
        frame(0x81, b"plain"),
        frame(0x41, &HELLO[..3]),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x8a, b""),
        frame(0x00, &HELLO[3..6]),
        frame(0x80, &HELLO[6..]),
        frame(0x01, b"pl"),
        frame(0x80, b"ain"),
        frame(0xc1, b"\0"),
    ]
    .concat();
    let expected = [text("Hello"), text("plain"), Event::Pong, text("Hello"), text("plain"), text("")];
    assert_eq!(hear_compressed(&input), expected);
    let (_, written) = hear_with(Some(Compression::default()), [&input[..]], &RULES);
    assert_eq!(written, b"\x8a\x04ping");
    let accepting = Rules { binary: true, ..RULES };
    let (events, _) = hear_with(Some(Compression::default()), [&frame(0xc2, HELLO)[..]], &accepting);
    assert_eq!(events, [Event::Binary(b"Hello".to_vec())]);
}

#[test]
fn the_first_reserved_bit_is_for_the_first_frame_of_a_message_and_only_where_compression_was_agreed_on() {
    let reserved = Event::Ended(Ending::Violated(Violation::Protocol("reserved bit set")));
    assert_eq!(hear(&frame(0xc1, HELLO)), std::slice::from_ref(&reserved));
    for (before, bad) in [
        (vec![], frame(0xd1, HELLO)),
        (vec![], frame(0xe1, HELLO)),
        (vec![], frame(0xf1, HELLO)),
        (vec![], frame(0xa1, b"x")),
        (vec![], frame(0x91, b"x")),
        (vec![], frame(0xc8, b"")),
        (vec![], frame(0xc9, HELLO)),
        (vec![], frame(0xca, b"")),
        (vec![], frame(0xc0, HELLO)),
        (frame(0x41, HELLO), frame(0xc0, b"")),
        (frame(0x01, b"x"), frame(0xc0, b"")),
        (frame(0x41, HELLO), frame(0xc9, b"")),
    ] {
        assert_eq!(
            hear_compressed(&[before, bad.clone()].concat()),
            std::slice::from_ref(&reserved),
            "{bad:x?}"
        );
    }
    let inside = Event::Ended(Ending::Violated(Violation::Protocol("new message inside a fragmented one")));
    assert_eq!(hear_compressed(&[frame(0x41, HELLO), frame(0xc1, HELLO)].concat()), [inside]);
}

#[test]
fn a_compressed_message_is_judged_by_what_it_inflates_to() {
    let ended = |violation| [Event::Ended(Ending::Violated(violation))];
    let compressed = |message: &[u8]| hear_compressed(&frame(0xc1, &deflated(message)));
    assert_eq!(compressed("ö".as_bytes()), [text("ö")]);
    assert_eq!(compressed(&[b'x'; 1000]), [text(&"x".repeat(1000))]);
    assert_eq!(compressed(&[b'x'; 1001]), ended(Violation::TooBig));
    assert_eq!(compressed(b"ok\xff"), ended(Violation::NotUtf8));
    assert_eq!(compressed(b"\xe2\x82"), ended(Violation::NotUtf8));
    assert_eq!(hear_compressed(&frame(0xc1, b"\xff\xff")), ended(Violation::Corrupt));
    assert_eq!(hear_compressed(&frame(0xc1, &HELLO[..4])), ended(Violation::Corrupt));
    assert_eq!(hear_compressed(&frame(0xc2, HELLO)), ended(Violation::Binary));
    // Octets that are no UTF-8 may be in the payload of text that is.
    assert_eq!(hear_compressed(&frame(0x41, b"\xf2"))[..], []);
}

#[test]
fn the_payload_of_a_compressed_message_may_be_as_long_as_zlib_makes_it_and_no_longer() {
    let most = most_compressed_bytes(RULES.max_message_bytes);
    assert!(most > RULES.max_message_bytes);
    let empty = [0x02, 0x08, 0x20, 0x80, 0x00].repeat(most);
    let (good, bad) = (&empty[..most / 5 * 5], &empty[..most + 1]);
    let good = [&good[..good.len() - 5], b"\0"].concat();
    assert_eq!(hear_compressed(&frame(0xc1, &good)), [text("")]);
    let too_big = [Event::Ended(Ending::Violated(Violation::TooBig))];
    // As soon as a header announces it.
    assert_eq!(hear_compressed(&frame(0xc1, bad)[..8]), too_big);
    let fragments = [frame(0x41, &empty[..most]), frame(0x00, b""), frame(0x00, &empty[..1])].concat();
    assert_eq!(hear_compressed(&fragments), too_big);
}

#[test]
fn binary_is_refused_unless_the_rules_accept_it() {
    assert_eq!(violated(&frame(0x82, b"x")), Violation::Binary);
    let accepting = Rules { binary: true, ..RULES };
    assert_eq!(hear_pieces([&frame(0x82, b"\xff")[..]], &accepting).0, [Event::Binary(vec![0xff])]);
}

/// What a client may send, each with what is heard: a text, a pong, or nothing.
fn speech() -> impl Strategy<Value = Vec<(Vec<u8>, Option<Option<String>>)>> {
    let message = (
        "[a-cö]{0,60}",
        any::<bool>(),
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        any::<bool>(),
    );
    let message = message.prop_map(|(message, is_compressed, cuts, with_pings)| {
        let payload = if is_compressed { deflated(message.as_bytes()) } else { message.clone().into_bytes() };
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([payload.len()]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let fragments: Vec<&[u8]> = starts.zip(ends).map(|(start, end)| &payload[start..end]).collect();
        let mut octets = vec![];
        for (n, fragment) in fragments.iter().enumerate() {
            let is_first = n == 0;
            let last = u8::from(n + 1 == fragments.len()) << 7;
            octets.extend(frame(
                last | u8::from(is_first && is_compressed) << 6 | u8::from(is_first),
                fragment,
            ));
            if with_pings && last == 0 {
                octets.extend(frame(0x89, b"?"));
            }
        }
        (octets, Some(Some(message)))
    });
    let control = prop_oneof![Just((frame(0x89, b"!"), None)), Just((frame(0x8a, b""), Some(None)))];
    prop::collection::vec(prop_oneof![4 => message, 1 => control], 0..8)
}

proptest! {
    #[test]
    fn any_mixture_of_messages_is_heard_the_same_however_it_is_cut(
        speech in speech(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let input: Vec<u8> = speech.iter().flat_map(|(octets, _)| octets.clone()).collect();
        let expected = speech.into_iter().filter_map(|(_, heard)| heard);
        let expected: Vec<Event> = expected.map(|heard| heard.map_or(Event::Pong, Event::Text)).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]);
        prop_assert_eq!(hear_with(Some(Compression::default()), pieces, &RULES).0, expected);
    }

    #[test]
    fn garbage_among_compressed_messages_never_panics_and_means_the_same_however_it_is_cut(
        messages in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..4),
        cut in 1_usize..40,
    ) {
        let input: Vec<u8> = messages.iter().flat_map(|(first, payload)| frame(*first, payload)).collect();
        let compression = Some(Compression::default());
        prop_assert_eq!(
            hear_with(compression, [&input[..]], &RULES),
            hear_with(compression, input.chunks(cut), &RULES)
        );
    }

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
