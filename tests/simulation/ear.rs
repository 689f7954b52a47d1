//! Understands what a server writes, HTTP responses first and frames behind a 101, without the server's own parser.
//! Whatever a server must never write is heard as `Garbled`.

use std::io::Cursor;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// One whole thing that a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// An HTTP response other than 101.
    Response {
        status: u16,
        closes: bool,
    },
    /// 101: frames from here on.
    Switched,
    /// The position of the newest publication before.
    Welcome(u64),
    Notification {
        position: u64,
        number: u64,
        active_connections: u64,
    },
    /// Said at this time: when to move, and when all is over, from then on.
    Reconnect {
        said_at: Timestamp,
        after: Duration,
        deadline: Duration,
    },
    Echo(String),
    /// The answer to a command that cannot be carried out.
    Error,
    Ping,
    Pong(Vec<u8>),
    Close(Option<u16>),
    Garbled(String),
}

/// Listens to one connection's stream from its first byte.
#[derive(Debug, Default)]
pub struct Ear {
    /// Each with the length of the stream up to its end.
    pub heard: Vec<(usize, Heard)>,
    /// The beginning of what is not whole yet.
    partial: Vec<u8>,
    understood_bytes: usize,
    speaks_frames: bool,
    pub close: Option<Option<u16>>,
}

impl Ear {
    /// Takes in the next bytes, however they are cut.
    pub fn listen(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        while let Some((length, heard)) = self.next() {
            self.partial.drain(..length);
            self.understood_bytes += length;
            self.speaks_frames |= heard == Heard::Switched;
            if let Heard::Close(code) = heard {
                self.close = Some(code);
            }
            self.heard.push((self.understood_bytes, heard));
        }
    }

    /// Whether it has become a WebSocket.
    pub fn is_switched(&self) -> bool {
        self.speaks_frames
    }

    /// Whether the stream so far ends with the end of a response or of a frame.
    pub fn is_whole(&self) -> bool {
        self.partial.is_empty()
    }

    /// The newest notification.
    pub fn newest_number(&self) -> Option<u64> {
        self.heard.iter().rev().find_map(|(_, heard)| match heard {
            Heard::Notification { number, .. } => Some(*number),
            _ => None,
        })
    }

    fn next(&self) -> Option<(usize, Heard)> {
        if self.partial.is_empty() {
            None
        } else if self.close.is_some() {
            Some((self.partial.len(), Heard::Garbled("bytes behind a close frame".to_owned())))
        } else if self.speaks_frames {
            read_frame(&self.partial)
        } else {
            read_response(&self.partial)
        }
    }
}

fn read_response(bytes: &[u8]) -> Option<(usize, Heard)> {
    let garbled = |what: &str| {
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        Some((bytes.len(), Heard::Garbled(format!("{what}: {start:?}"))))
    };
    if !b"HTTP/1.1 ".iter().zip(bytes).all(|(a, b)| a == b) {
        return garbled("not an HTTP response");
    }
    let head_bytes = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_bytes]);
    let Some(status) = head.get(9..12).and_then(|digits| digits.parse().ok()) else {
        return garbled("no status");
    };
    if status == 101 {
        return Some((head_bytes, Heard::Switched));
    }
    let field = |name| head.lines().find_map(|line| line.strip_prefix(name));
    let Some(body_bytes) = field("Content-Length: ").and_then(|digits| digits.parse::<usize>().ok()) else {
        return garbled("no length");
    };
    let closes = field("Connection: ") == Some("close");
    let length = head_bytes + body_bytes;
    (length <= bytes.len()).then_some((length, Heard::Response { status, closes }))
}

fn read_frame(bytes: &[u8]) -> Option<(usize, Heard)> {
    let garbled = |what: &str| Some((bytes.len(), Heard::Garbled(what.to_owned())));
    let mut cursor = Cursor::new(bytes);
    let Ok(parsed) = FrameHeader::parse(&mut cursor) else { return garbled("a reserved opcode") };
    let (header, length) = parsed?;
    if header.rsv1 || header.rsv2 || header.rsv3 || header.mask.is_some() || !header.is_final {
        return garbled("a frame that is masked, in fragments or has a reserved bit");
    }
    let start = header.len(length);
    if start as u64 != cursor.position() {
        return garbled("a length not in the shortest form");
    }
    let end = start + usize::try_from(length).expect("no frame is that long");
    let payload = bytes.get(start..end)?;
    let heard = match header.opcode {
        OpCode::Data(Data::Text) => read_message(payload),
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

fn read_close(payload: &[u8]) -> Option<Heard> {
    match payload {
        [] => Some(Heard::Close(None)),
        [high, low, reason @ ..] => {
            str::from_utf8(reason).ok().map(|_| Heard::Close(Some(u16::from_be_bytes([*high, *low]))))
        }
        [_] => None,
    }
}

fn read_message(payload: &[u8]) -> Option<Heard> {
    let json: Value = serde_json::from_slice(payload).ok()?;
    let position = |field: &str| json[field].as_str()?.rsplit_once('-')?.1.parse().ok();
    if json["type"] == "reconnect" {
        return Some(Heard::Reconnect {
            said_at: json["timestamp"].as_str()?.parse().ok()?,
            after: Duration::from_millis(json["after_ms"].as_u64()?),
            deadline: Duration::from_millis(json["deadline_ms"].as_u64()?),
        });
    }
    let message = json["message"].as_str()?;
    match json["type"].as_str()? {
        "welcome" => Some(Heard::Welcome(position("last_event_id")?)),
        "notification" => Some(Heard::Notification {
            position: position("id")?,
            number: message.strip_prefix("Periodic notification #")?.parse().ok()?,
            active_connections: json["active_connections"].as_u64()?,
        }),
        "echo" => message.strip_prefix("Server received: ").map(|text| Heard::Echo(text.to_owned())),
        "error" => Some(Heard::Error),
        _ => None,
    }
}
