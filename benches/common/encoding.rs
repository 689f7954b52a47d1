//! How a publication comes to a client: as it is, compressed, or as an event of a stream. What a client asks with, how it is
//! answered, and what it hears.

use flate2::{Decompress, FlushDecompress};
use httparse::Status;
use serde::Serialize;
use serde_json::Value;

use super::arrival::REQUEST;
use super::subscriber::{TEXT, next_frame, position_of};

/// What a browser offers.
const OFFER: &str = "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

const STREAM_REQUEST: &str = "GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";

/// The first octet of a whole text frame whose payload is compressed (RFC 7692 §6).
const COMPRESSED_TEXT: u8 = TEXT | 0x40;

/// No message of this bench is longer.
const LONGEST_BYTES: usize = 64 * 1024;

/// How a publication comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Encoding {
    /// In a WebSocket's frame.
    Plain,
    /// In such a frame, compressed where the server finds that worth it.
    Compressed,
    /// As an event of a stream.
    Stream,
}

/// What begins some octets: a message, or a block of a stream.
#[derive(Debug)]
pub struct Said {
    /// The octets that it takes.
    pub length: usize,
    /// Empty, if it is a block without data.
    pub json: Vec<u8>,
    /// Of a block.
    pub id: Option<String>,
}

impl Encoding {
    pub fn request(self) -> String {
        match self {
            Self::Plain => REQUEST.to_owned(),
            Self::Compressed => REQUEST.replacen("\r\n\r\n", OFFER, 1),
            Self::Stream => STREAM_REQUEST.to_owned(),
        }
    }

    /// The position of the newest publication, once the whole greeting is there: the answer to the request, and the welcome or
    /// the block that the stream begins with.
    pub fn greeted(self, answer: &[u8]) -> Option<u64> {
        let end = answer.windows(4).position(|octets| octets == b"\r\n\r\n")? + 4;
        let (head, rest) = answer.split_at(end);
        let head = String::from_utf8_lossy(head);
        let (status, has_field) = match self {
            Self::Plain => ("HTTP/1.1 101 ", !head.contains("Sec-WebSocket-Extensions:")),
            Self::Compressed => {
                ("HTTP/1.1 101 ", head.contains("Sec-WebSocket-Extensions: permessage-deflate"))
            }
            Self::Stream => {
                let is_chunked = head.contains("Transfer-Encoding: chunked");
                ("HTTP/1.1 200 ", is_chunked && head.contains("text/event-stream"))
            }
        };
        assert!(head.starts_with(status) && has_field, "{self:?} was asked for, and answered with {head}");
        let said = self.first(rest)?;
        assert_eq!(said.length, rest.len(), "nothing but a greeting follows the answer");
        let id = match self {
            Self::Stream => said.id.expect("a stream begins with an id"),
            Self::Plain | Self::Compressed => {
                let welcome: Value = serde_json::from_slice(&said.json).expect("messages are JSON");
                welcome["last_event_id"].as_str().expect("the welcome has an id").to_owned()
            }
        };
        Some(position_of(id.as_bytes()))
    }

    /// What these octets begin with, if all of it is there.
    pub fn first(self, octets: &[u8]) -> Option<Said> {
        if self == Self::Stream {
            return first_chunk(octets);
        }
        let mut rest = octets;
        let (first, payload) = next_frame(&mut rest)?;
        let json = match first {
            TEXT => payload.to_vec(),
            COMPRESSED_TEXT if self == Self::Compressed => inflate(payload),
            _ => panic!("a frame comes that begins with {first:#x}"),
        };
        Some(Said { length: octets.len() - rest.len(), json, id: None })
    }
}

/// A block of the stream, which is one chunk of the response (RFC 9112 §7.1).
fn first_chunk(octets: &[u8]) -> Option<Said> {
    let Ok(Status::Complete((start, size))) = httparse::parse_chunk_size(octets) else { return None };
    let end = start + usize::try_from(size).expect("no chunk is so long");
    let length = end + "\r\n".len();
    let block = octets.get(start..length)?.strip_suffix(b"\n\n\r\n").expect("a chunk is a block");
    let block = str::from_utf8(block).expect("a stream is text");
    let (mut data, mut id) = (Vec::new(), None);
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("data", rest)) => data.push(rest),
            Some(("id", rest)) => id = Some(rest.to_owned()),
            Some(("retry" | "", _)) => {}
            None if line == ":" => {}
            _ => panic!("a stream says {line:?}"),
        }
    }
    Some(Said { length, json: data.join("\n").into_bytes(), id })
}

/// A message that was compressed by itself (RFC 7692 §7.2.2).
fn inflate(payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(LONGEST_BYTES);
    let compressed = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut stream = Decompress::new(false);
    stream.decompress_vec(&compressed, &mut message, FlushDecompress::Sync).expect("it can be inflated");
    assert_eq!(stream.total_in(), compressed.len() as u64, "all of it is inflated");
    message
}
