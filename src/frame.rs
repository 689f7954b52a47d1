//! One encoded WebSocket frame (RFC 6455 §5.2): built once, shared by every connection that is sent it.
//! A server's frames are never masked, so the same octets serve every peer, and a clone is a reference count.

use bytes::Bytes;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// What counts the clones of a frame: allocated with the first of them.
const SHARED_BYTES: usize = 24;

/// What an allocation of this size takes from memory: it is preceded by its length, and rounded up (glibc's malloc).
pub fn allocated_bytes(bytes: usize) -> usize {
    (bytes + 8).next_multiple_of(16).max(32)
}

/// The encoded octets of one whole, unfragmented, unmasked frame. Cloning shares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// A text message in one frame.
    pub fn text(payload: impl AsRef<[u8]>) -> Self {
        Self::encode(OpCode::Data(Data::Text), payload.as_ref())
    }

    /// A binary message in one frame.
    pub fn binary(payload: impl AsRef<[u8]>) -> Self {
        Self::encode(OpCode::Data(Data::Binary), payload.as_ref())
    }

    /// A ping (RFC 6455 §5.5.2) without payload: any pong answers it.
    pub fn ping() -> Self {
        Self::encode(OpCode::Control(Control::Ping), b"")
    }

    /// The pong to a ping of this payload, at most 125 bytes (RFC 6455 §5.5.3).
    pub fn pong(payload: &[u8]) -> Self {
        debug_assert!(payload.len() <= 125, "control frames carry at most 125 bytes");
        Self::encode(OpCode::Control(Control::Pong), payload)
    }

    /// A close frame (RFC 6455 §5.5.1); without a code its payload is empty. The reason is at most 123 bytes.
    pub fn close(code: Option<u16>, reason: &'static str) -> Self {
        debug_assert!(reason.len() <= 123, "control frames carry at most 125 bytes");
        let payload = code.map(|code| [&code.to_be_bytes(), reason.as_bytes()].concat());
        Self::encode(OpCode::Control(Control::Close), &payload.unwrap_or_default())
    }

    /// A frame that was encoded before and kept as its octets.
    pub fn from_encoded(octets: impl Into<Bytes>) -> Self {
        Self(octets.into())
    }

    /// The message, if these octets are exactly one unfragmented, unmasked text message as `text` encodes it.
    pub fn as_text(&self) -> Option<&[u8]> {
        let (payload, announced, least) = match self.0.as_ref() {
            [0x81, length @ 0..=125, payload @ ..] => (payload, u64::from(*length), 0),
            [0x81, 126, a, b, payload @ ..] => (payload, u64::from(u16::from_be_bytes([*a, *b])), 126),
            [0x81, 127, rest @ ..] => {
                let (length, payload) = rest.split_first_chunk()?;
                (payload, u64::from_be_bytes(*length), 65_536)
            }
            _ => return None,
        };
        (payload.len() as u64 == announced && announced >= least).then_some(payload)
    }

    /// Its encoded octets, header included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many octets it has, header included.
    #[allow(clippy::len_without_is_empty)] // A frame is never empty.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes of memory that it takes, however many share it.
    pub fn held_bytes(&self) -> usize {
        allocated_bytes(self.len()) + allocated_bytes(SHARED_BYTES)
    }

    /// The encoded octets, header included.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    fn encode(opcode: OpCode, payload: &[u8]) -> Self {
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let length = payload.len() as u64;
        let mut octets = Vec::with_capacity(header.len(length) + payload.len());
        header.format(length, &mut octets).expect("writing to a Vec cannot fail");
        octets.extend_from_slice(payload);
        Self(octets.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(frame: Frame) -> Vec<u8> {
        frame.into_bytes().to_vec()
    }

    #[test]
    fn frames_are_final_unmasked_and_of_minimal_length() {
        assert_eq!(octets(Frame::text("hi")), b"\x81\x02hi");
        assert_eq!(octets(Frame::binary(&b"\x00"[..])), b"\x82\x01\x00");
        assert_eq!(octets(Frame::ping()), b"\x89\x00");
        assert_eq!(octets(Frame::pong(b"x")), b"\x8a\x01x");
        assert_eq!(octets(Frame::text(vec![b'a'; 126]))[..4], [0x81, 126, 0, 126]);
        assert_eq!(octets(Frame::text(vec![b'a'; 65_536]))[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn only_one_whole_text_message_is_read_as_text() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let (text, frame) = (vec![b'a'; length], Frame::text(vec![b'a'; length]));
            assert_eq!(frame.as_text(), Some(&text[..]));
            let octets = octets(frame);
            let cut = Frame::from_encoded(octets[..octets.len() - 1].to_vec());
            let longer = Frame::from_encoded([&octets[..], b"a"].concat());
            assert_eq!((cut.as_text(), longer.as_text()), (None, None), "{length}");
        }
        let others: [&[u8]; 8] = [
            b"",
            b"\x82\x01a",
            b"\x01\x01a",
            b"\xc1\x01a",
            b"\x81\x81\0\0\0\0a",
            b"\x81\x7e\0\x01a",
            b"\x81\x7f\0\0\0\0\0\0\0\x01a",
            b"\x81\x01a\x81\x01b",
        ];
        others.iter().for_each(|octets| assert_eq!(Frame::from_encoded(octets.to_vec()).as_text(), None));
    }

    #[test]
    fn a_close_carries_its_code_and_reason_or_nothing() {
        assert_eq!(octets(Frame::close(Some(1012), "bye")), b"\x88\x05\x03\xf4bye");
        assert_eq!(octets(Frame::close(None, "")), b"\x88\x00");
    }
}
