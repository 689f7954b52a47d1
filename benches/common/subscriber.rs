//! One client that listens, and says nothing but pongs. It reads no more of a message than shows that it is the next
//! one, so that a single core can listen for a thousand.

use std::io::ErrorKind;
use std::net::SocketAddr;

use mio::net::TcpStream;
use serde_json::Value;

use super::PATIENCE;
use super::channel::Channel;

/// How every publication begins, up to its id.
const BEGINNING: &[u8] = br#"{"type":"notification","id":""#;

/// The first octets of whole frames (RFC 6455 §5.2).
pub const TEXT: u8 = 0x81;
pub const PING: u8 = 0x89;

/// A socket, and the beginning of a message whose rest is still to come there.
pub struct Inbound<C = TcpStream> {
    pub channel: C,
    cut: Vec<u8>,
}

impl<C: Channel> Inbound<C> {
    pub fn new(channel: C) -> Self {
        Self { channel, cut: Vec::new() }
    }

    /// What has come, behind the beginning that was kept; `None` if nothing has.
    pub fn read<'s>(&mut self, scratch: &'s mut [u8]) -> Option<&'s [u8]> {
        let kept = self.cut.len();
        scratch[..kept].copy_from_slice(&self.cut);
        loop {
            match self.channel.read(&mut scratch[kept..]) {
                Ok(0) => panic!("a client was disconnected"),
                Ok(count) => return Some(&scratch[..kept + count]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return None,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => panic!("a client cannot read: {e}"),
            }
        }
    }

    /// Keeps what is still to be read on, in place of what was.
    pub fn keep(&mut self, rest: &[u8]) {
        self.cut.clear();
        self.cut.extend_from_slice(rest);
    }
}

/// A client and how far it has heard.
pub struct Subscriber<C = TcpStream> {
    pub inbound: Inbound<C>,
    /// The position of the newest publication that it has heard.
    heard: u64,
}

impl Subscriber {
    /// Joins a server, and is welcomed.
    pub fn join(server: SocketAddr) -> Self {
        let stream = connect(server);
        let upgraded = tungstenite::client::client(format!("ws://{server}/ws"), stream);
        let (mut websocket, _) = upgraded.expect("the handshake succeeds");
        let welcome = websocket.read().expect("a welcome comes");
        let welcome: Value = serde_json::from_slice(&welcome.into_data()).expect("messages are JSON");
        let newest = welcome["last_event_id"].as_str().expect("the welcome has an id");
        // Nothing is published yet: nothing can be in the buffer that is given up here.
        Self::hears(websocket.into_inner(), position_of(newest.as_bytes()))
    }

    /// Connects to the floor, which sends publications and nothing else.
    pub fn join_floor(floor: SocketAddr) -> Self {
        Self::hears(connect(floor), 0)
    }

    fn hears(stream: std::net::TcpStream, heard: u64) -> Self {
        stream.set_nonblocking(true).expect("a socket can be made so");
        Self::new(TcpStream::from_std(stream), heard)
    }
}

impl<C: Channel> Subscriber<C> {
    /// One that has been welcomed already, and told the position of the newest publication.
    pub fn new(channel: C, heard: u64) -> Self {
        Self { inbound: Inbound::new(channel), heard }
    }

    /// The next publication is expected to be the one behind this.
    pub fn go_on_behind(&mut self, position: u64) {
        self.heard = position;
    }

    /// Reads what has come, and says how many publications that were. `scratch` is large enough for a few of them.
    pub fn read(&mut self, scratch: &mut [u8]) -> u64 {
        let before = self.heard;
        let room = scratch.len();
        while let Some(mut rest) = self.inbound.read(scratch) {
            // Less than there was room for: the socket is empty (epoll(7)).
            let is_emptied = rest.len() < room;
            while let Some((opcode, payload)) = next_frame(&mut rest) {
                match opcode {
                    TEXT => self.hear(payload),
                    PING => self.answer_ping(payload),
                    _ => panic!("nothing but whole text messages and pings comes"),
                }
            }
            self.inbound.keep(rest);
            if is_emptied {
                break;
            }
        }
        self.heard - before
    }

    /// The mask is four zeros, which leave the payload as it is (RFC 6455 §5.3).
    fn answer_ping(&mut self, payload: &[u8]) {
        let length = u8::try_from(payload.len()).expect("control frames are short (RFC 6455 §5.5)");
        let pong = [&[0x8a, 0x80 | length, 0, 0, 0, 0], payload].concat();
        self.inbound.channel.write_all(&pong).expect("an idle socket takes a pong");
    }

    fn hear(&mut self, payload: &[u8]) {
        let id = payload.strip_prefix(BEGINNING).expect("nothing but publications comes");
        let id = id.split(|octet| *octet == b'"').next().unwrap_or_default();
        let position = position_of(id);
        assert_eq!(position, self.heard + 1, "each publication is heard once and in order");
        self.heard = position;
    }
}

fn connect(address: SocketAddr) -> std::net::TcpStream {
    let stream = std::net::TcpStream::connect(address).expect("the program listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket can have a timeout");
    stream
}

/// What the server's ids have behind the epoch.
pub fn position_of(id: &[u8]) -> u64 {
    let (_, digits) = id.split_at_checked("00000000-".len()).expect("an id has an epoch");
    assert!(!digits.is_empty() && digits.iter().all(u8::is_ascii_digit), "an id ends with a position");
    digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// Takes the first frame (RFC 6455 §5.2) from `input`, if all of it is there: its first octet, and its payload.
pub fn next_frame<'a>(input: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (first, start, length) = match **input {
        [first, length @ ..=125, ..] => (first, 2, usize::from(length)),
        [first, 126, high, low, ..] => (first, 4, usize::from(u16::from_be_bytes([high, low]))),
        [_, 127..=255, ..] => panic!("no message is so long"),
        _ => return None,
    };
    let payload = input.get(start..start + length)?;
    *input = &input[start + length..];
    Some((first, payload))
}
