//! Understands what a server writes to subscribers and publishers, without the server's own parser. Whatever a server
//! must never write is heard as `Garbled`.

use std::fmt;
use std::io::Cursor;

use serde_json::Value;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// How every publication begins; what follows up to the next quotation mark is its id.
const PUBLICATION: &[u8] = br#"{"type":"notification","id":""#;

/// An id as the model reads it. To the clients it is opaque.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub epoch: u32,
    pub position: u64,
}

impl Id {
    pub fn read(text: &str) -> Option<Self> {
        let (epoch, position) = text.split_once('-')?;
        let id = Self { epoch: u32::from_str_radix(epoch, 16).ok()?, position: position.parse().ok()? };
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.epoch, self.position)
    }
}

/// One whole thing that a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// An HTTP response other than 101.
    Response {
        status: u16,
        closes: bool,
        body: Vec<u8>,
    },
    /// 101: frames from here on.
    Switched,
    Welcome {
        last: Id,
        resumed: bool,
        topics: Vec<String>,
    },
    /// A publication with its whole message.
    Publication(Id, Vec<u8>),
    Subscribed(String),
    Unsubscribed(String),
    /// To be elsewhere soon.
    Reconnect,
    Ping,
    Close(Option<u16>),
    Garbled(String),
}

/// Listens to one connection's stream from its first byte.
#[derive(Debug, Default)]
pub struct Ear {
    /// Each with the length of the stream up to its end.
    pub heard: Vec<(usize, Heard)>,
    /// Lets everything behind the 101 pass, for those who are there to be many.
    pub is_deaf: bool,
    partial: Vec<u8>,
    understood_bytes: usize,
    speaks_frames: bool,
    has_closed: bool,
}

impl Ear {
    /// Takes in the next bytes, however they are cut.
    pub fn listen(&mut self, bytes: &[u8]) {
        if self.is_deaf && self.speaks_frames {
            return;
        }
        self.partial.extend_from_slice(bytes);
        let mut start = 0;
        while let Some((length, heard)) = self.next(start) {
            start += length;
            self.understood_bytes += length;
            self.speaks_frames |= heard == Heard::Switched;
            self.has_closed |= matches!(heard, Heard::Close(_));
            self.heard.push((self.understood_bytes, heard));
        }
        self.partial.drain(..start);
    }

    fn next(&self, start: usize) -> Option<(usize, Heard)> {
        let bytes = &self.partial[start..];
        if bytes.is_empty() {
            None
        } else if self.has_closed {
            Some((bytes.len(), Heard::Garbled("bytes behind a close frame".to_owned())))
        } else if self.speaks_frames {
            read_frame(bytes)
        } else {
            read_response(bytes)
        }
    }
}

fn read_response(bytes: &[u8]) -> Option<(usize, Heard)> {
    let head_bytes = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_bytes]);
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let field = |name| head.lines().find_map(|line| line.strip_prefix(name));
    let body_bytes = field("Content-Length: ").and_then(|digits| digits.parse::<usize>().ok());
    match (status, body_bytes) {
        (Some(101), None) => Some((head_bytes, Heard::Switched)),
        (Some(status), Some(body_bytes)) => {
            let body = bytes.get(head_bytes..head_bytes + body_bytes)?.to_vec();
            let closes = field("Connection: ") == Some("close");
            Some((head_bytes + body_bytes, Heard::Response { status, closes, body }))
        }
        _ => Some((bytes.len(), Heard::Garbled(format!("no response: {head:?}")))),
    }
}

fn read_frame(bytes: &[u8]) -> Option<(usize, Heard)> {
    let garbled = |what: &str| Some((bytes.len(), Heard::Garbled(what.to_owned())));
    let mut cursor = Cursor::new(bytes);
    let Ok(parsed) = FrameHeader::parse(&mut cursor) else { return garbled("a reserved opcode") };
    let (header, length) = parsed?;
    if header.mask.is_some() || !header.is_final {
        return garbled("a frame that is masked or in fragments");
    }
    let start = header.len(length);
    let end = start + usize::try_from(length).expect("no frame is that long");
    let payload = bytes.get(start..end)?;
    let heard = match (header.opcode, payload) {
        (OpCode::Data(Data::Text), payload) => read_message(payload),
        (OpCode::Control(Control::Ping), _) => Some(Heard::Ping),
        (OpCode::Control(Control::Close), []) => Some(Heard::Close(None)),
        (OpCode::Control(Control::Close), [high, low, ..]) => {
            Some(Heard::Close(Some(u16::from_be_bytes([*high, *low]))))
        }
        _ => None,
    };
    match heard {
        Some(heard) => Some((end, heard)),
        None => garbled(&format!("{:?} {}", header.opcode, String::from_utf8_lossy(payload))),
    }
}

fn read_message(payload: &[u8]) -> Option<Heard> {
    if let Some(rest) = payload.strip_prefix(PUBLICATION) {
        let id = rest.split(|octet| *octet == b'"').next()?;
        return Some(Heard::Publication(Id::read(str::from_utf8(id).ok()?)?, payload.to_vec()));
    }
    let json: Value = serde_json::from_slice(payload).ok()?;
    let text = |field: &str| json[field].as_str().map(str::to_owned);
    match json["type"].as_str()? {
        "welcome" => {
            let topics = json["topics"].as_array()?;
            let topics = topics.iter().map(|topic| topic.as_str().map(str::to_owned));
            Some(Heard::Welcome {
                last: Id::read(&text("last_event_id")?)?,
                resumed: json["resumed"].as_bool()?,
                topics: topics.collect::<Option<_>>()?,
            })
        }
        "reconnect" => Some(Heard::Reconnect),
        "subscribed" => Some(Heard::Subscribed(text("topic")?)),
        "unsubscribed" => Some(Heard::Unsubscribed(text("topic")?)),
        _ => None,
    }
}
