//! One WebSocket of a client as bytes that come when they come: nothing here waits. Messages are taken apart by hand,
//! as far as the stories need.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;

use support::frames::{CLOSE, frame};
use support::handshake;

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Connecting,
    /// The handshake is sent.
    Asked,
    /// Upgraded; the welcome is still to come.
    Upgraded,
    Welcomed,
    /// The client has no more use for it.
    Closing,
}

/// What has come on it.
#[derive(Debug)]
pub enum Came {
    /// The status of a refusal.
    Refused(u16),
    Text(String),
    Closed(u16),
    /// The stream has ended, or never was: by which error, if by any.
    Ended(Option<ErrorKind>),
}

pub struct Link {
    pub socket: TcpStream,
    pub client: usize,
    pub stage: Stage,
    /// The position of the newest publication that came on it.
    pub heard: u64,
    request: String,
    unread: Vec<u8>,
}

impl Link {
    /// Begins to connect; behind this id it is to resume.
    pub fn open(address: SocketAddr, client: usize, last_event_id: Option<&str>) -> Self {
        let query = last_event_id.map(|id| format!("?last_event_id={id}")).unwrap_or_default();
        let request = handshake(&format!("/ws{query}"));
        let socket = TcpStream::connect(address).expect("there are descriptors left");
        Self { socket, client, stage: Stage::Connecting, heard: 0, request, unread: vec![] }
    }

    /// The socket can be written to: the handshake goes out once it is connected.
    pub fn on_writable(&mut self) {
        if self.stage == Stage::Connecting && self.socket.peer_addr().is_ok() {
            self.socket.write_all(self.request.as_bytes()).expect("a new connection takes a handshake");
            self.stage = Stage::Asked;
        }
    }

    /// Takes all that has come, and hands it on piece by piece.
    pub fn take(&mut self, scratch: &mut [u8]) -> Vec<Came> {
        let ended = loop {
            match self.socket.read(scratch) {
                Ok(0) => break Some(None),
                Ok(count) => self.unread.extend(&scratch[..count]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break None,
                Err(e) => break Some(Some(e.kind())),
            }
        };
        let mut came: Vec<Came> = std::iter::from_fn(|| self.next()).collect();
        came.extend(ended.map(Came::Ended));
        came
    }

    /// Sends a close frame with this code; the server ends the stream.
    pub fn close(&mut self, code: u16) {
        self.stage = Stage::Closing;
        // The server may have gone already.
        let _ = self.socket.write_all(&frame(CLOSE, code.to_be_bytes()));
    }

    fn next(&mut self) -> Option<Came> {
        if matches!(self.stage, Stage::Connecting | Stage::Asked) {
            let end = self.unread.windows(4).position(|octets| octets == b"\r\n\r\n")? + 4;
            let head = String::from_utf8(self.unread.drain(..end).collect()).expect("a head is ASCII");
            let status = head[9..12].parse().expect("a status line");
            if status != 101 {
                return Some(Came::Refused(status));
            }
            self.stage = Stage::Upgraded;
        }
        let (first, start, length) = match *self.unread.get(..2)? {
            [first, 126] => (first, 4, u16::from_be_bytes(self.unread.get(2..4)?.try_into().ok()?).into()),
            [first, length] => (first, 2, usize::from(length)),
            _ => return None,
        };
        let payload = self.unread.get(start..start + length)?.to_vec();
        self.unread.drain(..start + length);
        Some(match first {
            0x81 => Came::Text(String::from_utf8(payload).expect("text is UTF-8")),
            CLOSE => Came::Closed(u16::from_be_bytes([payload[0], payload[1]])),
            other => panic!("nothing else is sent to a client, not {other:#x}"),
        })
    }
}

/// What a member of a message holds that is a string or a number.
pub fn member<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let rest = message.split_once(&format!("\"{name}\":"))?.1;
    match rest.strip_prefix('"') {
        Some(text) => text.split('"').next(),
        None => rest.split([',', '}']).next(),
    }
}
