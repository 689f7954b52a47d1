//! What a supervisor and its workers say to each other: it means the same however it is cut, a list that is only
//! announced takes little memory, and what is read can be sent on.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use slackwater::wire::link::{self, Garbled, ToSupervisor, ToWorker};
use slackwater_fuzz::{in_pieces, within};

/// What lists reserve that are announced and do not come: one within the other, a mebibyte each at most.
const ANNOUNCED_BYTES: usize = 4 << 20;

/// Reads one message, and gives it as it would be sent on.
type Reader = fn(&mut &[u8]) -> Result<Option<BytesMut>, Garbled>;

fuzz_target!(|input: &[u8]| {
    let Some((content, pieces)) = in_pieces(input) else { return };
    let length = u32::try_from(content.len()).expect("no input is as long");
    let message = [&length.to_be_bytes(), content].concat();
    for reader in [read_worker, read_supervisor] as [Reader; 2] {
        assert_eq!(hear(reader, [content]), hear(reader, pieces.clone()));
        hear(reader, [&message[..]]);
    }
});

/// The messages, and how much of another has come; nothing where one is none.
fn hear<'a>(reader: Reader, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<BytesMut>, Option<usize>) {
    let (mut input, mut messages) = (Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        let mut rest = &input[..];
        loop {
            match within(ANNOUNCED_BYTES + 32 * rest.len(), || reader(&mut rest)) {
                Ok(Some(message)) => {
                    assert_eq!(reader(&mut &message[..]).as_ref(), Ok(&Some(message.clone())));
                    messages.push(message);
                }
                Ok(None) => break,
                Err(Garbled) => return (messages, None),
            }
        }
        input = rest.to_vec();
    }
    (messages, Some(input.len()))
}

fn read_worker(input: &mut &[u8]) -> Result<Option<BytesMut>, Garbled> {
    Ok(link::next::<ToSupervisor>(input)?.map(|message| sent(&message)))
}

fn read_supervisor(input: &mut &[u8]) -> Result<Option<BytesMut>, Garbled> {
    Ok(link::next::<ToWorker<'_>>(input)?.map(|message| sent(&message)))
}

fn sent(message: &impl Serialize) -> BytesMut {
    let mut octets = BytesMut::new();
    link::encode(message, &mut octets);
    octets
}
