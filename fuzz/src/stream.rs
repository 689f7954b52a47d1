//! What a client has been sent, taken apart: answers in HTTP, and frames of JSON behind an upgrade.

use serde_json::Value;

use crate::line::Line;

/// Checks that it is an answer in HTTP or, on a WebSocket, whole frames of JSON; the last may be cut when the stream is not
/// ended behind it. Gives the messages.
pub fn check(line: &Line) -> Vec<Value> {
    let octets = &line.written[..];
    assert!(octets.is_empty() || octets.starts_with(b"HTTP/1.1 "));
    let mut messages = Vec::new();
    if !octets.starts_with(b"HTTP/1.1 101 ") {
        return messages;
    }
    let (mut rest, mut has_closed) = (&octets[head_bytes(octets).unwrap_or(octets.len())..], false);
    while let Some((opcode, payload, behind)) = split_frame(rest) {
        assert!(!has_closed, "something follows a close");
        match opcode {
            0x81 => {
                let message: Value = serde_json::from_slice(payload).expect("a message is JSON");
                assert!(message["type"].is_string());
                messages.push(message);
            }
            0x88 => has_closed = true,
            0x89 | 0x8a => {}
            _ => panic!("no frame of ours: {opcode:#x}"),
        }
        rest = behind;
    }
    assert!(rest.is_empty() || !line.is_finished, "a frame is cut");
    messages
}

/// How many whole answers there are, to whom nothing but GET and POST was sent. An upgrade is the last.
pub fn count_answers(mut octets: &[u8]) -> usize {
    let mut count = 0;
    while let Some(length) = head_bytes(octets) {
        let (head, rest) = octets.split_at(length);
        if head.starts_with(b"HTTP/1.1 101 ") {
            return count + 1;
        }
        let head = str::from_utf8(head).expect("a head is text").to_ascii_lowercase();
        let body = head.split("\r\ncontent-length: ").nth(1).and_then(|value| value.split("\r\n").next());
        let body: usize = body.map_or(0, |length| length.parse().expect("a length is a number"));
        let Some(behind) = rest.get(body..) else { break };
        octets = behind;
        count += 1;
    }
    count
}

/// The first frame and what follows it, if all of it is there.
pub fn split_frame(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (opcode, length, rest) = match octets {
        [opcode, length @ 0..=125, rest @ ..] => (*opcode, usize::from(*length), rest),
        [opcode, 126, high, low, rest @ ..] => {
            (*opcode, usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        [_, 127..=255, ..] => panic!("masked, or longer than anything here"),
        _ => return None,
    };
    let (payload, behind) = rest.split_at_checked(length)?;
    Some((opcode, payload, behind))
}

/// How long the head of the first answer is.
pub fn head_bytes(octets: &[u8]) -> Option<usize> {
    octets.windows(4).position(|end| end == b"\r\n\r\n").map(|end| end + 4)
}
