//! One encoded WebSocket frame (RFC 6455 §5.2): built once, shared by every connection that is sent it.
//! A server's frames are never masked, so the same octets serve every peer, and a clone is a reference count.

use std::ops::Range;

use bytes::Bytes;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// What a message is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Octets.
    Binary,
}

impl From<Kind> for OpCode {
    fn from(kind: Kind) -> Self {
        Self::Data(match kind {
            Kind::Text => Data::Text,
            Kind::Binary => Data::Binary,
        })
    }
}

/// The encoded octets of one whole, unfragmented, unmasked frame. Cloning shares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// A text message in one frame.
    pub fn text(payload: impl AsRef<[u8]>) -> Self {
        Self::message(Kind::Text, payload.as_ref())
    }

    /// A message in one frame.
    pub fn message(kind: Kind, payload: &[u8]) -> Self {
        Self::encode(kind.into(), payload)
    }

    /// A message in one frame, whose payload is compressed (RFC 7692 §6.1).
    pub fn compressed(kind: Kind, payload: &[u8]) -> Self {
        let header = FrameHeader { opcode: kind.into(), rsv1: true, ..FrameHeader::default() };
        Self(encode(&header, payload, b""))
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

    /// The encoded octets, header included.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    fn encode(opcode: OpCode, payload: &[u8]) -> Self {
        Self(encode(&FrameHeader { opcode, ..FrameHeader::default() }, payload, b""))
    }
}

/// The octets of a text message in one frame, and what is to follow it in memory.
pub fn text_followed_by(payload: &[u8], rest: &[u8]) -> Bytes {
    let header = FrameHeader { opcode: Kind::Text.into(), ..FrameHeader::default() };
    encode(&header, payload, rest)
}

/// Where the message is in octets that begin with one unfragmented, unmasked text message as it is encoded here.
pub fn text_range(octets: &[u8]) -> Option<Range<usize>> {
    let (start, length, least) = match octets {
        [0x81, length @ 0..=125, ..] => (2, u64::from(*length), 0),
        [0x81, 126, a, b, ..] => (4, u64::from(u16::from_be_bytes([*a, *b])), 126),
        [0x81, 127, rest @ ..] => (10, u64::from_be_bytes(*rest.first_chunk()?), 65_536),
        _ => return None,
    };
    let end = usize::try_from(length).ok()?.checked_add(start)?;
    (length >= least && end <= octets.len()).then_some(start..end)
}

fn encode(header: &FrameHeader, payload: &[u8], rest: &[u8]) -> Bytes {
    let length = payload.len() as u64;
    let mut octets = Vec::with_capacity(header.len(length) + payload.len() + rest.len());
    header.format(length, &mut octets).expect("writing to a Vec cannot fail");
    octets.extend_from_slice(payload);
    octets.extend_from_slice(rest);
    octets.into()
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
        assert_eq!(octets(Frame::message(Kind::Binary, b"\x00")), b"\x82\x01\x00");
        assert_eq!(octets(Frame::compressed(Kind::Text, b"x")), b"\xc1\x01x");
        assert_eq!(octets(Frame::compressed(Kind::Binary, b"x")), b"\xc2\x01x");
        assert_eq!(octets(Frame::ping()), b"\x89\x00");
        assert_eq!(octets(Frame::pong(b"x")), b"\x8a\x01x");
        assert_eq!(octets(Frame::text(vec![b'a'; 126]))[..4], [0x81, 126, 0, 126]);
        assert_eq!(octets(Frame::text(vec![b'a'; 65_536]))[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_text_message_is_found_in_what_begins_with_it_and_in_nothing_else() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let octets = octets(Frame::text(vec![b'a'; length]));
            let start = octets.len() - length;
            assert_eq!(text_range(&octets), Some(start..octets.len()));
            assert_eq!(text_range(&[&octets[..], b"b"].concat()), Some(start..octets.len()));
            assert_eq!(text_range(&octets[..octets.len() - 1]), None, "{length}");
        }
        let others: [&[u8]; 8] = [
            b"",
            b"\x82\x01a",
            b"\x01\x01a",
            b"\xc1\x01a",
            b"\x81\x81\0\0\0\0a",
            b"\x81\x7e\0\x01a",
            b"\x81\x7f\0\0\0\0\0\0\0\x01a",
            b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xffa",
        ];
        others.iter().for_each(|octets| assert_eq!(text_range(octets), None));
    }

    #[test]
    fn a_close_carries_its_code_and_reason_or_nothing() {
        assert_eq!(octets(Frame::close(Some(1012), "bye")), b"\x88\x05\x03\xf4bye");
        assert_eq!(octets(Frame::close(None, "")), b"\x88\x00");
    }
}
