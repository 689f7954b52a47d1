//! A friendly client, tungstenite's: a server that only ever talks to its own code proves nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::Value;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use crate::{LIFETIME, PATIENCE};

/// A WebSocket that has been welcomed.
pub struct Client<S = TcpStream> {
    pub socket: WebSocket<Resuming<S>>,
    pub welcome: Value,
    born: Instant,
}

/// Reads on when a signal has interrupted it: a read with a time limit does not by itself when this process was stopped
/// and goes on, signal(7).
pub struct Resuming<S>(S);

impl<S: Read> Read for Resuming<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl<S: Write> Write for Resuming<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Client {
    /// Connects, asks for this and hears the welcome.
    pub fn join(address: SocketAddr, target: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream, &format!("ws://{address}{target}")).expect("the client is welcome")
    }

    /// Comes back after an id.
    pub fn resume(address: SocketAddr, id: &str) -> Self {
        Self::join(address, &format!("/ws?last_event_id={id}"))
    }
}

impl<S: Read + Write> Client<S> {
    /// Asks for a WebSocket on a connection and hears the welcome.
    pub fn over(stream: S, url: &str) -> Result<Self, Error> {
        let socket = match tungstenite::client::client(url, Resuming(stream)) {
            Ok((socket, _)) => socket,
            Err(HandshakeError::Failure(why)) => return Err(why),
            Err(HandshakeError::Interrupted(_)) => panic!("no answer to the handshake in time"),
        };
        let mut client = Self { socket, welcome: Value::Null, born: Instant::now() };
        client.welcome = client.try_hear()?;
        assert_eq!(client.welcome["type"], "welcome");
        Ok(client)
    }

    /// What it is connected by.
    pub fn stream(&self) -> &S {
        &self.socket.get_ref().0
    }

    /// The next message, whatever the server has asked by pings before it.
    pub fn hear(&mut self) -> Value {
        self.try_hear().expect("a message comes in time")
    }

    /// The next message, or how the connection has ended without one.
    pub fn try_hear(&mut self) -> Result<Value, Error> {
        loop {
            match self.next()? {
                Message::Text(text) => return Ok(serde_json::from_str(&text).expect("messages are JSON")),
                Message::Close(_) => {}
                other => panic!("expected a message, not {other:?}"),
            }
        }
    }

    /// What the next message holds, which is a publication.
    pub fn hear_data(&mut self) -> Value {
        let mut message = self.hear();
        assert_eq!(message["type"], "notification", "{message}");
        message["data"].take()
    }

    /// Sends a text message.
    pub fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("the server takes it");
    }

    /// Says something, to which the answer is the next message.
    pub fn echo(&mut self, text: &str) {
        self.say(text);
        let answer = self.hear();
        assert_eq!(answer["message"], format!("Server received: {text}"), "{answer}");
    }

    /// Closes politely and waits until the server has answered.
    pub fn leave(mut self) {
        self.socket.close(None).unwrap();
        while self.socket.read().is_ok() {}
    }

    /// The code of the close frame that comes next, once the connection has ended behind it.
    pub fn close_code(&mut self) -> Option<u16> {
        let Message::Close(frame) = self.next().expect("a close frame comes in time") else {
            panic!("another message comes instead of a close frame");
        };
        while self.socket.read().is_ok() {}
        frame.map(|frame| frame.code.into())
    }

    fn next(&mut self) -> Result<Message, Error> {
        loop {
            assert!(self.born.elapsed() < LIFETIME, "what is waited for does not come");
            match self.socket.read()? {
                Message::Ping(_) => {}
                message => return Ok(message),
            }
        }
    }
}
