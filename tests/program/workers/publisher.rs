//! One who publishes over a kept connection, and what subscribers make of it.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::crew::Crew;
use crate::driver::{Client, PATIENCE};

/// A connection for requests.
pub struct Publisher(BufReader<TcpStream>);

impl Publisher {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// One that this process serves.
    pub fn of(crew: &Crew, pid: u32) -> Self {
        loop {
            let publisher = Self::connect(crew.address()).unwrap();
            if crew.server_of(publisher.0.get_ref()) == pid {
                return publisher;
            }
        }
    }

    /// The id of a publication to the default topic.
    pub fn publish(&mut self, text: &str) -> String {
        let (status, body) = self.post(text, "").unwrap();
        assert_eq!(status, 200, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }

    /// Asks for a publication: the status, and the body of the answer.
    pub fn post(&mut self, text: &str, fields: &str) -> io::Result<(u16, Value)> {
        let length = text.len();
        let head =
            format!("POST /publish HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {length}\r\n\r\n");
        self.0.get_mut().write_all((head + text).as_bytes())?;
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(' ') {
                Some(("HTTP/1.1", rest)) => status = rest[..3].parse().ok(),
                Some((name, value)) if name.eq_ignore_ascii_case("content-length:") => {
                    length = value.parse().unwrap();
                }
                None => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status.unwrap(), serde_json::from_slice(&body).unwrap()))
    }
}

/// A publication as it was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub id: String,
    pub text: String,
}

/// The next message, which is a publication.
pub fn hear(client: &mut Client) -> Heard {
    let message: Value = serde_json::from_str(&client.hear()).unwrap();
    assert_eq!(message["type"], "notification", "{message}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Heard { id: text(&message["id"]), text: text(&message["data"]) }
}

/// So many newcomers who ask for a WebSocket and wait. The kernel spreads them over the listeners.
pub fn ask(address: SocketAddr, query: &str, count: usize) -> Vec<TcpStream> {
    let ask = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13";
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
        write!(stream, "GET /ws{query} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n{key}\r\n\r\n").unwrap();
        stream
    };
    (0..count).map(ask).collect()
}

/// The status of the answer that comes next.
pub fn status(stream: &mut TcpStream) -> u16 {
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    std::str::from_utf8(&line).unwrap().strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
}

/// Nothing else has come: what is asked now is answered next.
pub fn assert_nothing_more(client: &mut Client) {
    let answer = client.echo("anything else?");
    assert!(answer.contains("Server received: anything else?"), "{answer}");
}

/// Comes back after an id: whether it is resumed, and the client.
pub fn resume(address: SocketAddr, id: &str) -> (bool, Client) {
    let mut client = Client::connect_at(address, &format!("/ws?last_event_id={id}"));
    let welcome: Value = serde_json::from_str(&client.hear()).unwrap();
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    (welcome["resumed"].as_bool().unwrap(), client)
}
