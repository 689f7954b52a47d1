//! What is fanned out: JSON strings of such a length that the whole frame has about so many octets.

use super::common::floor::publications;

/// A size of message.
#[derive(Debug)]
pub struct Payload {
    pub name: &'static str,
    /// The JSON value that is published.
    pub data: String,
    /// The octets of the frame: its header (RFC 6455 §5.2) and the JSON object around the value. Ids grow with the
    /// number of publications before, so that it may be an octet less or two more.
    pub frame_bytes: usize,
}

impl Payload {
    /// 128 B and 2 KiB.
    pub fn all() -> Vec<Self> {
        vec![Self::of("128 B", 128), Self::of("2 KiB", 2048)]
    }

    fn of(name: &'static str, frame_bytes: usize) -> Self {
        let mut filler = 0;
        loop {
            let data = format!("\"{}\"", "x".repeat(filler));
            let length = publications(&data, 10, 1)[0].len();
            if length >= frame_bytes {
                return Self { name, data, frame_bytes: length };
            }
            // A longer header may be needed for a longer payload: step by step.
            filler += (frame_bytes - length).div_ceil(2);
        }
    }
}
