//! What a server of Redis's protocol answers: it means the same however it is cut, nothing is beyond the limits, and what only is
//! announced takes no memory. What consists of strings is read again as it was when it is encoded as a command.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use slackwater::wire::resp::command::encode;
use slackwater::wire::resp::decoder::{Decoder, Limits};
use slackwater::wire::resp::reply::Reply;
use slackwater::wire::resp::{MAX_LINE_BYTES, RespError};
use slackwater_fuzz::{in_pieces, within};

/// Small enough to be reached.
const LIMITS: Limits = Limits { reply_bytes: 600, elements: 40, depth: 4 };

/// What a value takes for each octet of it: null has three, and takes 40 bytes of a list, which is copied when it grows.
const BYTES_EACH: usize = 64;

/// What the first value takes of a list of its own, and of that of unfinished aggregates.
const FIRST_BYTES: usize = 2048;

fuzz_target!(|input: &[u8]| {
    let Some((content, pieces)) = in_pieces(input) else { return };
    let (replies, error) = hear([content], LIMITS);
    // As text: a NaN is not equal to itself.
    assert_eq!(format!("{:?}", (&replies, error)), format!("{:?}", hear(pieces.clone(), LIMITS)));
    hear(pieces, Limits::default());
    for reply in &replies {
        let (mut elements, mut bytes) = (0, 0);
        measure(reply, LIMITS.depth, &mut elements, &mut bytes);
        assert!(elements <= LIMITS.elements && bytes <= LIMITS.reply_bytes, "beyond the limits");
        check_command(reply);
    }
});

/// The replies, and why there are no more.
fn hear<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: Limits) -> (Vec<Reply>, Option<RespError>) {
    let (mut decoder, mut replies) = (Decoder::new(limits), Vec::new());
    let mut heard_bytes = 0;
    for mut piece in pieces {
        heard_bytes += piece.len();
        let most_bytes = FIRST_BYTES + BYTES_EACH * heard_bytes.min(limits.reply_bytes + MAX_LINE_BYTES);
        loop {
            match within(most_bytes, || decoder.next(&mut piece)) {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next(&mut &b"+OK\r\n"[..]), Err(error), "it stays broken");
                    return (replies, Some(error));
                }
            }
        }
        assert!(piece.is_empty(), "all of it is taken");
    }
    (replies, None)
}

/// Counts what a reply consists of. It has no more aggregates within each other than that.
fn measure(reply: &Reply, depth: u8, elements: &mut usize, bytes: &mut usize) {
    *elements += 1;
    let inner = || depth.checked_sub(1).expect("it is nested too deep");
    match reply {
        Reply::Simple(octets) | Reply::Bulk(octets) | Reply::BigNumber(octets) => *bytes += octets.len(),
        Reply::Error(error) => assert!(error.to_string().starts_with(error.code())),
        Reply::Array(list) | Reply::Set(list) | Reply::Push(list) => {
            let depth = inner();
            list.iter().for_each(|value| measure(value, depth, elements, bytes));
        }
        Reply::Map(pairs) => {
            let depth = inner();
            pairs
                .iter()
                .flat_map(|(key, value)| [key, value])
                .for_each(|value| measure(value, depth, elements, bytes));
        }
        Reply::Integer(_) | Reply::Null | Reply::Double(_) | Reply::Boolean(_) => {}
    }
}

fn check_command(reply: &Reply) {
    let Reply::Array(parts) = reply else { return };
    let strings = parts.iter().map(|part| match part {
        Reply::Bulk(octets) => Some(octets.clone()),
        _ => None,
    });
    let Some(strings) = strings.collect::<Option<Vec<Bytes>>>().filter(|strings| !strings.is_empty()) else {
        return;
    };
    let mut octets = BytesMut::new();
    encode(&mut octets, strings);
    assert_eq!(hear([&octets[..]], LIMITS), (vec![reply.clone()], None));
}
