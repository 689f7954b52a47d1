//! Encodes commands: an array of bulk strings each, the same in RESP2 and RESP3. It knows no command.

use std::fmt::Write;

use bytes::BytesMut;

/// Appends a command: its name and its arguments, of any octets. There has to be one part at least, the name: a server answers
/// nothing to none.
///
/// Each is answered by one reply, in the order in which they were sent; but those of publish/subscribe by pushes.
pub fn encode<Parts>(buffer: &mut BytesMut, parts: Parts)
where
    Parts: IntoIterator<Item: AsRef<[u8]>, IntoIter: ExactSizeIterator>,
{
    let parts = parts.into_iter();
    debug_assert_ne!(parts.len(), 0, "a command has a name");
    begin(buffer, '*', parts.len());
    for part in parts {
        let part = part.as_ref();
        begin(buffer, '$', part.len());
        buffer.extend_from_slice(part);
        buffer.extend_from_slice(b"\r\n");
    }
}

fn begin(buffer: &mut BytesMut, kind: char, length: usize) {
    write!(buffer, "{kind}{length}\r\n").expect("memory takes all of it");
}
