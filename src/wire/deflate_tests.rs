//! Facts about compressing and inflating; the judge of what is compressed is `flate2`, read and written by hand here.

use proptest::prelude::*;

use super::*;

const MOST: usize = 100_000;

/// As a client compresses, with a window of so many bits.
fn deflate(message: &[u8], level: u32, window_bits: u8) -> Vec<u8> {
    let mut stream = Compress::new_with_window_bits(Level::new(level), false, window_bits);
    let mut payload = Vec::with_capacity(2 * message.len() + 100);
    stream.compress_vec(message, &mut payload, FlushCompress::Sync).unwrap();
    assert_eq!(stream.total_in(), message.len() as u64);
    payload.strip_suffix(&TAIL).expect("a flush ends like this").to_vec()
}

/// As a client inflates, with a window of so many bits, and with what RFC 7692 §7.2.2 adds.
fn inflate_by_hand(payload: &[u8], most_bytes: usize, window_bits: u8) -> Vec<u8> {
    let mut stream = Decompress::new_with_window_bits(false, window_bits);
    let input = [payload, &TAIL].concat();
    let mut message = Vec::with_capacity(most_bytes + 1);
    stream.decompress_vec(&input, &mut message, FlushDecompress::Sync).unwrap();
    assert_eq!(stream.total_in(), input.len() as u64, "all of it is read");
    message
}

fn inflate(payload: &[u8]) -> Result<Vec<u8>, Violation> {
    Inflater::default().inflate(payload, MOST)
}

/// What an octet of a frame says, and its payload.
fn taken_apart(frame: &[u8]) -> (u8, &[u8]) {
    match frame {
        [first, 126, high, low, payload @ ..] => {
            assert_eq!(payload.len(), usize::from(u16::from_be_bytes([*high, *low])));
            assert!(payload.len() > 125);
            (*first, payload)
        }
        [first, 127, rest @ ..] => {
            let (length, payload) = rest.split_first_chunk().unwrap();
            assert!(payload.len() as u64 == u64::from_be_bytes(*length) && payload.len() > 65_535);
            (*first, payload)
        }
        [first, length, payload @ ..] => {
            assert_eq!(payload.len(), usize::from(*length));
            (*first, payload)
        }
        _ => panic!("no frame: {frame:?}"),
    }
}

/// Like the JSON of many notifications.
fn json(bytes: usize) -> Vec<u8> {
    let items = (0_u32..).flat_map(|n| format!(r#"{{"order":{},"state":"paid"}},"#, n * 7919).into_bytes());
    items.take(bytes).collect()
}

/// Like random numbers.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
    .take(bytes)
    .collect()
}

#[test]
fn a_message_becomes_one_whole_compressed_frame_of_its_kind() {
    let mut compressor = Compressor::default();
    for (bytes, kind, first) in [
        (256, Kind::Text, 0xc1),
        (300, Kind::Binary, 0xc2),
        (70_000, Kind::Text, 0xc1),
        (300, Kind::Text, 0xc1),
    ] {
        let message = json(bytes);
        let frame = compressor.compress(kind, &message).unwrap().into_bytes();
        let (said, payload) = taken_apart(&frame);
        assert_eq!((said, inflate_by_hand(payload, MOST, 15)), (first, message));
    }
    let long = compressor.compress(Kind::Text, &[json(40_000), noise(80_000)].concat()).unwrap();
    assert!(taken_apart(&long.into_bytes()).1.len() > 65_535);
}

#[test]
fn what_is_short_or_would_not_become_shorter_goes_plain() {
    let mut compressor = Compressor::default();
    assert_eq!(compressor.compress(Kind::Text, &json(255)), None);
    assert!(compressor.stream.is_none(), "nothing is set up in vain");
    assert!(compressor.compress(Kind::Text, &json(256)).is_some());
    for bytes in [256, 1000, 65_535, 65_536, 300_000] {
        assert_eq!(compressor.compress(Kind::Binary, &noise(bytes)), None, "{bytes}");
    }
    assert!(compressor.buffer.capacity() <= KEPT_BYTES);
}

#[test]
fn what_was_compressed_is_counted_and_what_goes_plain_is_not() {
    let mut compressor = Compressor::default();
    let frames = [(); 2].map(|()| compressor.compress(Kind::Text, &json(1000)).unwrap().into_bytes());
    assert_eq!(
        (compressor.compress(Kind::Text, &noise(1000)), compressor.compress(Kind::Text, &json(9))),
        (None, None)
    );
    let bytes_after = 2 * taken_apart(&frames[0]).1.len() as u64;
    assert_eq!(compressor.done(), Compressed { messages: 2, bytes_before: 2000, bytes_after });
}

#[test]
fn each_message_stands_for_itself() {
    let mut compressor = Compressor::default();
    let frames = [(); 2].map(|()| compressor.compress(Kind::Text, &json(500)));
    assert_eq!(frames[0], frames[1]);
    let mut inflater = Inflater::default();
    // Refers to what went before, which nobody keeps.
    let mut stream = Compress::new(Level::default(), false);
    let payloads = [(); 2].map(|()| {
        let mut payload = Vec::with_capacity(1000);
        stream.compress_vec(&json(500), &mut payload, FlushCompress::Sync).unwrap();
        payload.truncate(payload.len() - TAIL.len());
        payload
    });
    assert_eq!(inflater.inflate(&payloads[0], MOST), Ok(json(500)));
    assert_eq!(inflater.inflate(&payloads[1], MOST), Err(Violation::Corrupt));
    assert_eq!(inflater.inflate(&payloads[0], MOST), Ok(json(500)), "what failed leaves no trace");
}

#[test]
fn the_examples_of_the_rfc_are_heard() {
    // RFC 7692 §7.2.3.1 to §7.2.3.6.
    let examples: [&[u8]; 5] = [
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        // Its last block says that it is the last, and nothing follows.
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
    ];
    for payload in examples {
        assert_eq!(inflate(payload), Ok(b"Hello".to_vec()), "{payload:x?}");
    }
    // Needs the window of the message before (§7.2.3.2), which was agreed not to be used.
    assert_eq!(inflate(&[0xf2, 0x00, 0x11, 0x00, 0x00]), Err(Violation::Corrupt));
    assert_eq!(inflate(&[0x00]), Ok(vec![]));
}

#[test]
fn blocks_that_say_that_they_are_the_last_may_be_followed_by_others() {
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let stored_last = [0x01, 0x02, 0x00, 0xfd, 0xff, b'h', b'i'];
    let heard = |parts: &[&[u8]]| inflate(&parts.concat()).map(|message| String::from_utf8(message).unwrap());
    assert_eq!(heard(&[&last, &last, &stored_last]), Ok("HelloHellohi".to_owned()));
    assert_eq!(heard(&[&stored_last, &deflate(&json(300), 6, 15)]).unwrap().len(), 302);
    // The last one is stored and empty, and what is taken away of it is what is always taken away.
    assert_eq!(heard(&[&stored_last, &[0x01]]), Ok("hi".to_owned()));
    for trailing in [&b"\xff"[..], b"\x07", b"hello", b"\0\0"] {
        assert_eq!(heard(&[&last, trailing]), Err(Violation::Corrupt), "{trailing:x?}");
    }
}

#[test]
fn a_tail_that_was_not_taken_away_and_a_message_of_nothing_are_forgiven() {
    for message in [json(0), json(1), json(3000)] {
        let with_tail = [&deflate(&message, 6, 15)[..], &TAIL].concat();
        assert_eq!(inflate(&with_tail), Ok(message));
    }
    assert_eq!(inflate(b""), Ok(vec![]));
    assert_eq!(inflate(&TAIL), Err(Violation::Corrupt));
}

#[test]
fn what_is_cut_off_is_corrupt_wherever_it_is_cut() {
    let message = json(400);
    let in_a_stored_block = [&[0x00, 0x90, 0x01, 0x6f, 0xfe][..], &message, &[0x00]].concat();
    let in_a_last_one = [&[0x01, 0x90, 0x01, 0x6f, 0xfe][..], &message].concat();
    for payload in [deflate(&message, 6, 15), deflate(&message, 1, 9), in_a_stored_block, in_a_last_one] {
        assert_eq!(inflate(&payload), Ok(message.clone()));
        for length in 1..payload.len() {
            let heard = inflate(&payload[..length]);
            // What is always added may stand for what was cut off: then it is a message like any other.
            let is_completed = inflate_whole(&[&payload[..length], &TAIL].concat());
            assert!(heard == Err(Violation::Corrupt) || heard == Ok(is_completed.unwrap()), "{length}");
        }
    }
    let stored = [&[0x00, 0x90, 0x01, 0x6f, 0xfe][..], &message].concat();
    // One zero alone is a message of nothing.
    let completed = (2..stored.len()).filter(|length| inflate(&stored[..*length]).is_ok());
    assert_eq!(completed.collect::<Vec<_>>(), [stored.len() - TAIL.len()]);
}

/// The message, if these blocks are whole.
fn inflate_whole(blocks: &[u8]) -> Option<Vec<u8>> {
    let mut stream = Decompress::new(false);
    let mut message = Vec::with_capacity(MOST);
    let input = [blocks, &[0x01, 0x00, 0x00, 0xff, 0xff]].concat();
    let status = stream.decompress_vec(&input, &mut message, FlushDecompress::Sync).ok()?;
    let is_whole = status == Status::StreamEnd && stream.total_in() >= blocks.len() as u64;
    is_whole.then_some(message)
}

#[test]
fn no_more_is_inflated_than_a_message_may_have() {
    let zeros = vec![0; 1024 * 1024];
    let bomb = deflate(&zeros, 9, 15);
    assert!(bomb.len() < 1100, "{}", bomb.len());
    let mut inflater = Inflater::default();
    assert_eq!(inflater.inflate(&bomb, zeros.len() - 1), Err(Violation::TooBig));
    assert_eq!(inflater.inflate(&bomb, zeros.len()), Ok(zeros));
    assert_eq!(inflater.inflate(&bomb, 0), Err(Violation::TooBig));
    assert_eq!(inflater.inflate(&bomb, 1), Err(Violation::TooBig));
    // Read no further than to the limit.
    assert!(inflater.stream.as_ref().unwrap().total_out() <= 3);
    let stored_bomb = [&[0x00, 0xff, 0xff, 0x00, 0x00][..], &[0; 65_535], &[0x00]].concat();
    assert_eq!(inflater.inflate(&stored_bomb, 65_534), Err(Violation::TooBig));
    assert_eq!(inflater.inflate(&stored_bomb, 65_535).unwrap().len(), 65_535);
}

#[test]
fn any_number_of_empty_blocks_is_a_message_of_nothing() {
    let stored = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(10_000);
    // Ten bits each, and so four of them in five bytes.
    let fixed = [0x02, 0x08, 0x20, 0x80, 0x00].repeat(10_000);
    let last = [0x03, 0x00].repeat(10_000);
    for blocks in [stored, fixed, last] {
        assert_eq!(inflate(&[&blocks[..], &[0x00]].concat()), Ok(vec![]));
    }
}

#[test]
fn what_zlib_makes_of_a_message_is_within_the_bound() {
    for bytes in [0, 1, 2, 8, 9, 100, 16_000, 65_536, 1_000_000] {
        for message in [noise(bytes), json(bytes), vec![0; bytes]] {
            for level in [0, 1, 6, 9] {
                let payload = deflate(&message, level, 15);
                assert!(payload.len() <= most_compressed_bytes(bytes), "{bytes} {level}: {}", payload.len());
            }
        }
    }
    assert_eq!(most_compressed_bytes(usize::MAX), usize::MAX);
}

/// Messages as they may be: text that repeats itself, and octets that do not.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..600),
        prop::collection::vec("[a-c]{1,8}", 0..200).prop_map(|words| words.concat().into_bytes()),
        (prop::collection::vec(any::<u8>(), 1..50), 1..100_usize)
            .prop_map(|(part, times)| part.repeat(times)),
    ]
}

proptest! {
    #[test]
    fn what_is_compressed_is_inflated_with_every_window_of_at_least_the_message(message in messages()) {
        let Some(frame) = Compressor::default().compress(Kind::Text, &message) else { return Ok(()) };
        let frame = frame.into_bytes();
        let (first, payload) = taken_apart(&frame);
        prop_assert_eq!(first, 0xc1);
        prop_assert!(frame.len() < Frame::text(&message).into_bytes().len());
        for window_bits in (9..=15).filter(|bits| message.len() <= 1 << bits) {
            prop_assert_eq!(&inflate_by_hand(payload, message.len(), window_bits), &message);
        }
    }

    #[test]
    fn what_any_client_compresses_is_heard(message in messages(), level in 0..=9_u32, window_bits in 9..=15_u8) {
        let payload = deflate(&message, level, window_bits);
        let mut inflater = Inflater::default();
        prop_assert_eq!(inflater.inflate(&payload, message.len()), Ok(message.clone()));
        if !message.is_empty() {
            prop_assert_eq!(inflater.inflate(&payload, message.len() - 1), Err(Violation::TooBig));
        }
    }

    #[test]
    fn whatever_is_inflated_is_within_the_limit(payload in prop::collection::vec(any::<u8>(), 0..300), most in 0..500_usize) {
        if let Ok(message) = Inflater::default().inflate(&payload, most) {
            prop_assert!(message.len() <= most && message.capacity() <= most + 1);
        }
    }

    #[test]
    fn what_is_damaged_is_heard_or_refused_within_the_limit(
        message in messages(),
        place in any::<prop::sample::Index>(),
        octet in any::<u8>(),
    ) {
        let mut payload = deflate(&message, 6, 15);
        let place = place.index(payload.len());
        payload[place] = octet;
        if let Ok(heard) = Inflater::default().inflate(&payload, message.len()) {
            prop_assert!(heard.len() <= message.len());
        }
    }
}
