//! Compressed messages: whatever is inflated is within the limit and takes no more memory than that; what is compressed is shorter,
//! and inflates to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slackwater::frame::{Frame, Kind};
use slackwater::wire::deflate::{Compressor, Inflater};
use slackwater_fuzz::within;

/// What an inflater or a compressor needs for itself.
const OWN_BYTES: usize = 512 * 1024;

fuzz_target!(|input: &[u8]| {
    let Some((limit, payload)) = input.split_first() else { return };
    let most_bytes = 1 << (limit % 24);
    let mut inflater = Inflater::default();
    // While a message grows, it is there twice.
    let inflated = within(OWN_BYTES + 3 * most_bytes, || inflater.inflate(payload, most_bytes));
    if let Ok(message) = inflated {
        assert!(message.len() <= most_bytes);
        check_compressed(&message, &mut inflater);
    }
    check_compressed(payload, &mut inflater);
});

fn check_compressed(message: &[u8], inflater: &mut Inflater) {
    let frame = within(OWN_BYTES + 3 * message.len(), || Compressor::default().compress(Kind::Text, message));
    let Some(frame) = frame.map(Frame::into_bytes) else { return };
    assert!(message.len() >= 256 && frame.len() < message.len() + header_bytes(message.len()));
    assert_eq!(frame[0], 0xc1);
    let payload = match &frame[1..] {
        [126, _, _, payload @ ..] => payload,
        [127, _, _, _, _, _, _, _, _, payload @ ..] => payload,
        [_, payload @ ..] => payload,
        [] => panic!("no frame"),
    };
    assert_eq!(inflater.inflate(payload, message.len()).expect("it is our own"), message);
}

fn header_bytes(length: usize) -> usize {
    match length {
        ..126 => 2,
        126..65_536 => 4,
        _ => 10,
    }
}
