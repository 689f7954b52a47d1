//! WebSocket frames: they mean the same however they are cut, what is heard is within the rules, and what is answered
//! is whole frames that may be sent.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use slackwater::wire::deflate::Inflater;
use slackwater::wire::ending::Ending;
use slackwater::wire::extensions::Compression;
use slackwater::wire::outbox::Outbox;
use slackwater::wire::websocket::{Event, Rules, Session};
use slackwater_fuzz::{in_pieces, within};

/// How many pongs may wait.
const MAX_PONGS: usize = 16;

/// How much longer than compressed a message can be, and it is there twice while it grows.
const MOST_RATIO: usize = 2 * 1032;

fuzz_target!(|input: &[u8]| {
    let Some((rules, input)) = input.split_first() else { return };
    let compression = (rules & 2 != 0).then(Compression::default);
    // Up to 2 GiB, which no input reaches: whoever reserves what is announced is found out.
    let rules = Rules { binary: rules % 2 == 1, max_message_bytes: 1 << (rules >> 3) };
    let Some((content, pieces)) = in_pieces(input) else { return };
    let ratio = if compression.is_some() { MOST_RATIO } else { 32 };
    let most_bytes = 128 * 1024 + ratio * content.len();
    let heard = within(most_bytes, || hear(compression, [content], &rules));
    assert_eq!(heard, within(most_bytes, || hear(compression, pieces, &rules)));
});

/// The events, and what was written.
fn hear<'a>(
    compression: Option<Compression>,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    rules: &Rules,
) -> (Vec<Event>, Vec<u8>) {
    let (mut session, mut outbox, mut events) = (Session::new(compression), Outbox::default(), vec![]);
    let mut inflater = Inflater::default();
    for mut piece in pieces {
        while let Some(event) = session.next(&mut piece, rules, &mut inflater, &mut outbox) {
            assert!(!matches!(events.last(), Some(Event::Ended(_))), "nothing is heard after the end");
            check(&event, rules);
            events.push(event);
        }
        assert!(piece.is_empty());
    }
    let mut written = vec![];
    outbox.flush_to(&mut written, Instant::now()).expect("memory takes all of it");
    check_pongs(&written);
    (events, written)
}

fn check(event: &Event, rules: &Rules) {
    match event {
        Event::Text(text) => assert!(text.len() <= rules.max_message_bytes),
        Event::Binary(octets) => assert!(rules.binary && octets.len() <= rules.max_message_bytes),
        Event::Pong => {}
        Event::Ended(ending) => check_close(*ending),
    }
}

/// RFC 6455 §5.5, §5.5.1, §7.4.
fn check_close(ending: Ending) {
    let frame = ending.close_frame().expect("whatever ends a session is said");
    let octets = frame.clone().into_bytes();
    let [0x88, length @ 0..=125, payload @ ..] = &octets[..] else { panic!("no close frame: {frame:?}") };
    assert_eq!(usize::from(*length), payload.len());
    let Some((code, reason)) = payload.split_first_chunk() else {
        assert_eq!((payload, ending), (&[][..], Ending::PeerClosed(None)));
        return;
    };
    let is_never_sent = matches!(u16::from_be_bytes(*code), ..1000 | 1004..=1006 | 1015..=2999 | 5000..);
    assert!(!is_never_sent, "{code:?}");
    assert!(str::from_utf8(reason).is_ok());
}

/// RFC 6455 §5.5.3.
fn check_pongs(mut written: &[u8]) {
    let mut pongs = 0;
    while let [0x8a, length @ 0..=125, rest @ ..] = written {
        written = rest.get(usize::from(*length)..).expect("what is written is whole");
        pongs += 1;
    }
    assert!(written.is_empty() && pongs <= MAX_PONGS);
}
