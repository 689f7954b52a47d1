//! One connection to the server, seen as bytes: what is sent is not checked, what comes is taken apart by hand.
//! A wait that is too long, or an end that is not clean, fails the test.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Instant;

use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};

use crate::frames::CLOSE;
use crate::{HANDSHAKE, LIFETIME, PATIENCE};

/// One end of a connection.
pub struct Peer<S = TcpStream> {
    pub socket: S,
    unread: Vec<u8>,
    born: Instant,
}

/// An HTTP response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

/// A frame of the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub first: u8,
    pub payload: Vec<u8>,
}

impl Response {
    /// The value of a header field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    /// The body of an answer that is text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// The body of an answer that is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|why| panic!("{why}: {}", self.text()))
    }
}

impl Peer {
    /// Connects; the kernel accepts on the server's behalf.
    pub fn connect(address: SocketAddr) -> Self {
        Self::connected(Socket::new(Domain::IPV4, Type::STREAM, None).unwrap(), address)
    }

    /// Connects from this address of the machine.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        Self::try_connect_from(source, address).expect("the server listens")
    }

    /// Connects from this address of the machine, unless the server resets it at once.
    pub fn try_connect_from(source: IpAddr, address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        Self::try_connected(socket, address)
    }

    /// Connects with room for little that it has not read.
    pub fn with_little_room(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::connected(socket, address)
    }

    fn connected(socket: Socket, address: SocketAddr) -> Self {
        Self::try_connected(socket, address).expect("the server listens")
    }

    fn try_connected(socket: Socket, address: SocketAddr) -> io::Result<Self> {
        socket.connect_timeout(&address.into(), PATIENCE)?;
        socket.set_tcp_nodelay(true).unwrap();
        Ok(Self::over(socket.into()))
    }

    /// Becomes a WebSocket, up to and with the welcome.
    pub fn upgraded(mut self) -> Self {
        self.send(HANDSHAKE);
        assert_eq!(self.head().status, 101);
        assert_eq!(self.message()["type"], "welcome");
        self
    }
}

impl<S: Read + Write + AsFd> Peer<S> {
    /// Speaks on a connection that there is.
    pub fn over(socket: S) -> Self {
        SockRef::from(&socket).set_read_timeout(Some(PATIENCE)).unwrap();
        SockRef::from(&socket).set_write_timeout(Some(PATIENCE)).unwrap();
        Self { socket, unread: vec![], born: Instant::now() }
    }

    /// Sends all of it.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the server takes what it is sent");
    }

    /// Sends all of it, unless the connection has ended.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.write_all(bytes.as_ref())
    }

    /// Ends this side of the stream; the other can still be read.
    pub fn finish(&self) {
        SockRef::from(&self.socket).shutdown(Shutdown::Write).expect("the connection lives");
    }

    /// The next response, with the body that it announces.
    pub fn response(&mut self) -> Response {
        self.try_response().unwrap_or_else(|why| panic!("no response: {why}"))
    }

    /// The next response, or how the connection has ended without one.
    pub fn try_response(&mut self) -> io::Result<Response> {
        let mut response = self.try_head()?;
        let length = response.field("Content-Length").map_or(0, |length| length.parse().unwrap());
        response.body = self.try_take(length)?;
        Ok(response)
    }

    /// The response behind which the stream ends, with as much of a body as it has.
    pub fn last_response(&mut self) -> Response {
        let mut response = self.head();
        response.body = self.rest();
        response
    }

    /// The next response to a request that is answered without a body.
    pub fn head(&mut self) -> Response {
        self.try_head().unwrap_or_else(|why| panic!("no response: {why}"))
    }

    fn try_head(&mut self) -> io::Result<Response> {
        let end = loop {
            match self.unread.windows(4).position(|octets| octets == b"\r\n\r\n") {
                Some(start) => break start + 4,
                None => self.fill()?,
            }
        };
        let head = String::from_utf8(self.try_take(end)?).unwrap();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok(Response { status: status.expect("a status line"), head, body: vec![] })
    }

    /// The next frame.
    pub fn frame(&mut self) -> Frame {
        let start = self.take(2);
        let length = match start[1] {
            126 => u16::from_be_bytes(self.take(2).try_into().unwrap()).into(),
            127 => usize::try_from(u64::from_be_bytes(self.take(8).try_into().unwrap())).unwrap(),
            short @ 0..=125 => usize::from(short),
            _ => panic!("the server masked a frame"),
        };
        Frame { first: start[0], payload: self.take(length) }
    }

    /// The next frame, which is a message.
    pub fn message(&mut self) -> Value {
        let Frame { first: 0x81, payload } = self.frame() else { panic!("not a text message") };
        serde_json::from_slice(&payload).expect("messages are JSON")
    }

    /// The code of the close frame that comes, behind whatever else; the stream ends cleanly behind it.
    pub fn close_code(&mut self) -> Option<u16> {
        let close = std::iter::repeat_with(|| self.frame()).find(|frame| frame.first == CLOSE);
        let payload = close.expect("frames go on until there is one").payload;
        assert_eq!(self.rest(), b"", "nothing follows a close frame");
        payload.get(..2).map(|code| u16::from_be_bytes(code.try_into().unwrap()))
    }

    /// All that still comes, up to the clean end of the stream.
    pub fn rest(&mut self) -> Vec<u8> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => break,
                Err(e) => panic!("no clean end: {e}"),
            }
        }
        // On one machine a reset right behind the end loses nothing; on the way across a network it can.
        let error = SockRef::from(&self.socket).take_error().unwrap();
        assert!(error.is_none(), "behind the end came a reset: {error:?}");
        std::mem::take(&mut self.unread)
    }

    /// What comes next, one byte at least.
    pub fn more(&mut self) -> Vec<u8> {
        if self.unread.is_empty() {
            self.fill().unwrap_or_else(|why| panic!("nothing more comes: {why}"));
        }
        std::mem::take(&mut self.unread)
    }

    /// All that still comes, however the connection ends.
    pub fn remains(&mut self) -> Vec<u8> {
        let why = loop {
            match self.fill() {
                Ok(()) => {}
                Err(why) => break why.kind(),
            }
        };
        assert!(!matches!(why, ErrorKind::WouldBlock | ErrorKind::TimedOut), "the connection does not end");
        std::mem::take(&mut self.unread)
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        self.try_take(count).unwrap_or_else(|why| panic!("{count} bytes do not come: {why}"))
    }

    fn try_take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < count {
            self.fill()?;
        }
        Ok(self.unread.drain(..count).collect())
    }

    fn fill(&mut self) -> io::Result<()> {
        assert!(self.born.elapsed() < LIFETIME, "what is waited for does not come");
        let mut octets = [0; 16 * 1024];
        loop {
            match self.socket.read(&mut octets) {
                Ok(0) => {
                    let why = format!("the stream ends behind {} bytes", self.unread.len());
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, why));
                }
                Ok(count) => {
                    self.unread.extend(&octets[..count]);
                    return Ok(());
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    return Err(io::Error::new(e.kind(), format!("{e}, behind {} bytes", self.unread.len())));
                }
            }
        }
    }
}
