//! Understands what a server writes, HTTP responses first, frames behind a 101 and events behind a 200, without the server's own parser.
//! Whatever a server must never write is heard as `Garbled`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::io::Cursor;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::compression::Window;
use crate::event_stream::EventStream;

/// How every publication begins; what follows up to the next quotation mark is its id.
const PUBLICATION: &[u8] = br#"{"type":"notification","id":""#;

/// Says in a frame's first octet that the message is compressed (RFC 7692 §6).
const RSV1: u8 = 0x40;

/// An id as the model reads it. To the clients it is opaque.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// As the engine has it, in decimal.
impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.position)
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
    /// 200 without an end: an event stream from here on.
    Streaming,
    /// How a stream begins: when to come back once it ends, and from where, unless that is still to come or known.
    Primed {
        retry: Duration,
        id: Option<Id>,
    },
    /// Something may have been missed, up to here where that is known.
    Gap(Option<Id>),
    /// The connection lives, and all up to here has been heard, where that is known.
    Heartbeat(Option<Id>),
    /// The last chunk of a stream.
    Complete,
    /// The last words on a stream: when to come back, and why if that is said, and up to where all has been heard.
    Parting {
        retry: Duration,
        notice: Option<Notice>,
        id: Option<Id>,
    },
    Welcome {
        last: Id,
        resumed: bool,
        topics: Vec<String>,
    },
    /// A publication with its whole message.
    Publication(Id, Vec<u8>),
    Subscribed(String),
    Unsubscribed(String),
    /// The answer to a client that has published.
    Published(Id),
    Refreshed,
    /// When to move, and why.
    Reconnect(Notice),
    /// The answer to a text, and up to which id all has been heard, where that is known.
    Echo(String, Option<Id>),
    /// The answer to a command that cannot be carried out.
    Error,
    Ping,
    Pong(Vec<u8>),
    Close(Option<u16>),
    Garbled(String),
}

/// What a client is told of its move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub reason: String,
    pub said_at: Timestamp,
    /// When to move, from then on.
    pub after: Duration,
    /// When all is over, if it ever is.
    pub deadline: Option<Duration>,
    /// Up to which id all has been heard, where the notice itself says it.
    pub last: Option<Id>,
}

/// Listens to one connection's stream from its first byte.
#[derive(Debug, Default)]
pub struct Ear {
    /// Each with the length of the stream up to its end.
    pub heard: Vec<(usize, Heard)>,
    /// Lets everything behind the 101 pass, for those who are there to be many.
    pub is_deaf: bool,
    /// It has asked in HTTP/1.0, which knows no chunks.
    pub is_old: bool,
    /// What its 101 has to agree on.
    pub window: Option<Window>,
    /// Which of what was heard had come compressed, by the length of the stream up to its end.
    pub deflated: BTreeSet<usize>,
    /// The beginning of what is not whole yet.
    partial: Vec<u8>,
    understood_bytes: usize,
    /// What TLS has written beside it.
    beside_bytes: usize,
    speaks_frames: bool,
    pub stream: Option<EventStream>,
    pub close: Option<Option<u16>>,
}

impl Ear {
    /// Takes in the next bytes, however they are cut.
    pub fn listen(&mut self, bytes: &[u8]) {
        if self.is_deaf && self.is_client() {
            return;
        }
        self.partial.extend_from_slice(bytes);
        let mut start = 0;
        while let Some((length, heard)) = self.next(start) {
            let is_deflated = self.speaks_frames && self.partial[start] & RSV1 != 0;
            start += length;
            self.understood_bytes += length;
            let end = self.understood_bytes + self.beside_bytes;
            self.deflated.extend(is_deflated.then_some(end));
            self.speaks_frames |= heard == Heard::Switched;
            if heard == Heard::Streaming {
                self.stream = Some(EventStream::new(!self.is_old));
            }
            if let Heard::Close(code) = heard {
                self.close = Some(code);
            }
            self.heard.push((end, heard));
        }
        self.partial.drain(..start);
    }

    /// The same where so many bytes have been written to bring it.
    pub fn listen_within(&mut self, bytes: &[u8], written_bytes: usize) {
        self.beside_bytes = written_bytes - self.understood_bytes - self.partial.len() - bytes.len();
        self.listen(bytes);
    }

    /// Whether it has become a WebSocket.
    pub fn is_switched(&self) -> bool {
        self.speaks_frames
    }

    /// Whether it has become a client of either kind.
    pub fn is_client(&self) -> bool {
        self.speaks_frames || self.stream.is_some()
    }

    /// Whether it was told of the end: by a close frame, or when to come back.
    pub fn has_parted(&self) -> bool {
        self.close.is_some() || self.stream.as_ref().is_some_and(|stream| stream.has_parted)
    }

    /// Whether a stream has said that nothing follows, if there is a way to.
    pub fn is_complete(&self) -> bool {
        self.is_old || self.stream.as_ref().is_some_and(|stream| stream.is_complete)
    }

    /// Whether the stream so far ends with the end of a response, of a frame or of a block.
    pub fn is_whole(&self) -> bool {
        self.partial.is_empty()
    }

    /// The position of the newest publication that was heard.
    pub fn newest(&self) -> Option<u64> {
        self.heard.iter().rev().find_map(|(_, heard)| match heard {
            Heard::Publication(id, _) => Some(id.position),
            _ => None,
        })
    }

    fn next(&mut self, start: usize) -> Option<(usize, Heard)> {
        let bytes = &self.partial[start..];
        if bytes.is_empty() {
            None
        } else if self.close.is_some() {
            Some((bytes.len(), Heard::Garbled("bytes behind a close frame".to_owned())))
        } else if let Some(stream) = &mut self.stream {
            stream.next(bytes)
        } else if self.speaks_frames {
            read_frame(bytes, self.window)
        } else {
            read_response(bytes, self.window, self.is_old)
        }
    }
}

fn read_response(bytes: &[u8], window: Option<Window>, is_old: bool) -> Option<(usize, Heard)> {
    let garbled = || {
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
        Some((bytes.len(), Heard::Garbled(format!("no response: {start:?}"))))
    };
    if !b"HTTP/1.1 ".iter().zip(bytes).all(|(a, b)| a == b) {
        return garbled();
    }
    let head_bytes = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_bytes]);
    let status = head.get(9..12).and_then(|digits| digits.parse().ok());
    let field = |name| head.lines().find_map(|line| line.strip_prefix(name));
    let body_bytes = field("Content-Length: ").and_then(|digits| digits.parse::<usize>().ok());
    let extensions = field("Sec-WebSocket-Extensions: ");
    match (status, body_bytes) {
        (Some(101), None) if extensions == window.map(|window| window.to_string()).as_deref() => {
            Some((head_bytes, Heard::Switched))
        }
        (Some(200), None) if is_stream(&head, is_old) => Some((head_bytes, Heard::Streaming)),
        (Some(status), Some(body_bytes)) => {
            let body = bytes.get(head_bytes..head_bytes + body_bytes)?.to_vec();
            let closes = field("Connection: ") == Some("close");
            Some((head_bytes + body_bytes, Heard::Response { status, closes, body }))
        }
        _ => garbled(),
    }
}

/// Whether it ends with the connection, is kept by nobody on the way, and comes as it is written.
fn is_stream(head: &str, is_old: bool) -> bool {
    let fields = [
        "Content-Type: text/event-stream; charset=utf-8",
        "Cache-Control: no-store",
        "X-Accel-Buffering: no",
        "Connection: close",
    ];
    let has = |field: &str| head.lines().any(|line| line == field);
    fields.iter().all(|field| has(field)) && has("Transfer-Encoding: chunked") != is_old
}

fn read_frame(bytes: &[u8], window: Option<Window>) -> Option<(usize, Heard)> {
    let garbled = |what: &str| Some((bytes.len(), Heard::Garbled(what.to_owned())));
    let mut cursor = Cursor::new(bytes);
    let Ok(parsed) = FrameHeader::parse(&mut cursor) else { return garbled("a reserved opcode") };
    let (header, length) = parsed?;
    let may_be_deflated = window.is_some() && header.opcode == OpCode::Data(Data::Text);
    if header.rsv1 && !may_be_deflated
        || header.rsv2
        || header.rsv3
        || header.mask.is_some()
        || !header.is_final
    {
        return garbled("a frame that is masked, in fragments or has a reserved bit");
    }
    let start = header.len(length);
    if start as u64 != cursor.position() {
        return garbled("a length not in the shortest form");
    }
    let end = start + usize::try_from(length).expect("no frame is that long");
    let payload = bytes.get(start..end)?;
    let heard = match header.opcode {
        OpCode::Data(Data::Text) => {
            let window = window.filter(|_| header.rsv1);
            inflated(payload, window).and_then(|message| read_message(&message))
        }
        OpCode::Control(Control::Ping) => Some(Heard::Ping),
        OpCode::Control(Control::Pong) => Some(Heard::Pong(payload.to_vec())),
        OpCode::Control(Control::Close) => read_close(payload),
        _ => None,
    };
    match heard {
        Some(heard) => Some((end, heard)),
        None => garbled(&format!("{:?} {}", header.opcode, String::from_utf8_lossy(payload))),
    }
}

/// A message, however it has come; `None` if it should not have come like that.
fn inflated(payload: &[u8], window: Option<Window>) -> Option<Cow<'_, [u8]>> {
    let Some(window) = window else { return Some(payload.into()) };
    let message = window.inflate(payload)?;
    (window.takes(message.len()) && payload.len() < message.len()).then_some(message.into())
}

fn read_close(payload: &[u8]) -> Option<Heard> {
    match payload {
        [] => Some(Heard::Close(None)),
        [high, low, reason @ ..] => {
            str::from_utf8(reason).ok().map(|_| Heard::Close(Some(u16::from_be_bytes([*high, *low]))))
        }
        [_] => None,
    }
}

pub fn read_message(payload: &[u8]) -> Option<Heard> {
    if let Some(rest) = payload.strip_prefix(PUBLICATION) {
        let id = rest.split(|octet| *octet == b'"').next()?;
        return Some(Heard::Publication(Id::read(str::from_utf8(id).ok()?)?, payload.to_vec()));
    }
    let json: Value = serde_json::from_slice(payload).ok()?;
    let text = |field: &str| json[field].as_str().map(str::to_owned);
    // `None` if it is there and is no id.
    let last = || match text("last_event_id") {
        None => Some(None),
        Some(id) => Id::read(&id).map(Some),
    };
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
        "reconnect" => Some(Heard::Reconnect(Notice {
            reason: text("reason")?,
            said_at: json["timestamp"].as_str()?.parse().ok()?,
            after: Duration::from_millis(json["after_ms"].as_u64()?),
            deadline: match &json["deadline_ms"] {
                Value::Null => None,
                number => Some(Duration::from_millis(number.as_u64()?)),
            },
            last: last()?,
        })),
        "echo" => Some(Heard::Echo(text("message")?.strip_prefix("Server received: ")?.to_owned(), last()?)),
        "error" => json["message"].as_str().map(|_| Heard::Error),
        "gap" => Some(Heard::Gap(last()?)),
        "subscribed" => Some(Heard::Subscribed(text("topic")?)),
        "published" => Some(Heard::Published(Id::read(&text("id")?)?)),
        "refreshed" => Some(Heard::Refreshed),
        "unsubscribed" => Some(Heard::Unsubscribed(text("topic")?)),
        _ => None,
    }
}
