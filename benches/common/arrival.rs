//! A client on its way in: it connects, asks for the upgrade, and waits for the 101 and the welcome, without blocking.

use std::io::ErrorKind;
use std::net::SocketAddr;

use mio::net::TcpStream;
use serde_json::Value;
use socket2::Type;

use super::channel::Channel;
use super::encoding::Encoding;
use super::sources::Sources;
use super::subscriber::{TEXT, next_frame, position_of};

/// The opening handshake, with the key that RFC 6455 §1.3 has for an example and the answer to it.
pub const REQUEST: &str = "GET /ws HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
pub const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Whether something follows the 101.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    /// A welcome, which tells the position of the newest publication.
    Welcome,
    /// What clients are told who look at every octet.
    Of(Encoding),
    /// Nothing: the floor says no more than it must.
    None,
}

/// The client.
#[derive(Debug)]
pub struct Arrival<C = TcpStream> {
    pub channel: C,
    has_asked: bool,
    answer: Vec<u8>,
}

impl Arrival {
    /// Begins to connect, and to ask with this request.
    pub fn begin(address: SocketAddr, request: &[u8], sources: &mut Sources) -> Self {
        Self::begin_over(address, &(), request, sources)
    }
}

impl<C: Channel> Arrival<C> {
    /// As `begin`, over what can be opened on these terms.
    pub fn begin_over(address: SocketAddr, terms: &C::Terms, request: &[u8], sources: &mut Sources) -> Self {
        let socket = sources.socket(Type::STREAM.nonblocking()).expect("there is a port left");
        match socket.connect(&address.into()) {
            Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => panic!("cannot connect: {e}"),
            _ => {}
        }
        let channel = C::over(TcpStream::from_std(socket.into()), terms);
        let mut arrival = Self { channel, has_asked: false, answer: Vec::new() };
        // Over loopback it is connected by now.
        arrival.ask(request);
        arrival
    }

    /// Goes on where something has happened; once it is there, the position of the newest publication.
    pub fn go_on(&mut self, request: &[u8], greeting: Greeting, scratch: &mut [u8]) -> Option<u64> {
        if !self.has_asked {
            self.ask(request);
            return None;
        }
        match self.channel.read(scratch) {
            Ok(0) => panic!("a client was disconnected in its handshake"),
            Ok(count) => self.answer.extend_from_slice(&scratch[..count]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return None,
            Err(e) => panic!("a client cannot read in its handshake: {e}"),
        }
        if let Greeting::Of(encoding) = greeting {
            return encoding.greeted(&self.answer);
        }
        let known = self.answer.len().min(ACCEPTED.len());
        assert!(
            self.answer[..known] == ACCEPTED.as_bytes()[..known],
            "a handshake was answered with {}",
            String::from_utf8_lossy(&self.answer)
        );
        let mut rest = self.answer.get(ACCEPTED.len()..)?;
        if greeting == Greeting::None {
            return Some(0);
        }
        let (opcode, welcome) = next_frame(&mut rest)?;
        assert_eq!((opcode, rest), (TEXT, &[][..]), "nothing but a welcome follows a handshake");
        let welcome: Value = serde_json::from_slice(welcome).expect("messages are JSON");
        let newest = welcome["last_event_id"].as_str().expect("the welcome has an id");
        Some(position_of(newest.as_bytes()))
    }

    fn ask(&mut self, request: &[u8]) {
        match self.channel.write(request) {
            Ok(count) => {
                assert_eq!(count, request.len(), "a new socket takes a request");
                self.has_asked = true;
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {}
            Err(e) => panic!("a client cannot ask: {e}"),
        }
    }
}
