//! An event stream as a browser reads it: the algorithm of WHATWG HTML, "Interpreting an event stream".

use std::collections::VecDeque;
use std::net::SocketAddr;

use serde_json::Value;

use crate::peer::{Peer, Response};

/// What a browser dispatches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `message` where the stream names none.
    pub name: String,
    pub data: String,
    pub last_event_id: String,
}

impl Event {
    /// The data of an event that is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).expect("data is JSON")
    }
}

/// Takes a stream apart, however it is cut.
#[derive(Debug, Default)]
pub struct Reader {
    /// What it would send as `Last-Event-ID`.
    pub last_event_id: String,
    /// The time until it connects again, in milliseconds, if the stream has set it.
    pub retry: Option<u64>,
    /// Comments so far.
    pub comments: usize,
    line: Vec<u8>,
    follows_cr: bool,
    name: String,
    data: String,
    id: String,
}

impl Reader {
    /// The events that become whole with this.
    pub fn read(&mut self, octets: impl AsRef<[u8]>) -> Vec<Event> {
        let mut events = vec![];
        for octet in octets.as_ref() {
            let ends_crlf = std::mem::take(&mut self.follows_cr) && *octet == b'\n';
            match octet {
                b'\n' if ends_crlf => {}
                b'\r' | b'\n' => {
                    self.follows_cr = *octet == b'\r';
                    let line = String::from_utf8(std::mem::take(&mut self.line)).expect("streams are UTF-8");
                    events.extend(self.take(&line));
                }
                _ => self.line.push(*octet),
            }
        }
        events
    }

    /// Whether nothing would be lost if the stream ended here.
    pub fn is_between_blocks(&self) -> bool {
        self.line.is_empty() && self.data.is_empty() && self.name.is_empty() && self.id == self.last_event_id
    }

    fn take(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.comments += 1,
            "event" => value.clone_into(&mut self.name),
            "data" => self.data.extend([value, "\n"]),
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_digit()) => {
                self.retry = value.parse().ok();
            }
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        self.last_event_id.clone_from(&self.id);
        let (name, mut data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        data.pop()?;
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some(Event { name, data, last_event_id: self.last_event_id.clone() })
    }
}

/// Takes a body that comes in chunks (RFC 9112 §7.1) out of them, however it is cut.
#[derive(Debug, Default)]
pub struct Chunks {
    unread: Vec<u8>,
    /// What is still to come of a chunk, with the line that ends it.
    left: usize,
    /// Whether the last one has come.
    pub have_ended: bool,
}

impl Chunks {
    /// What becomes known of the body with this.
    pub fn read(&mut self, octets: impl AsRef<[u8]>) -> Vec<u8> {
        self.unread.extend_from_slice(octets.as_ref());
        let mut body = vec![];
        loop {
            let count = self.left.saturating_sub(2).min(self.unread.len());
            body.extend(self.unread.drain(..count));
            self.left -= count;
            let Some(end) = self.unread.windows(2).position(|octets| octets == b"\r\n") else { return body };
            let line = String::from_utf8(self.unread.drain(..end + 2).collect()).expect("a size is ASCII");
            match self.left {
                _ if self.have_ended => assert_eq!((&*line, self.unread.len()), ("\r\n", 0), "there is more"),
                0 => {
                    let size =
                        usize::from_str_radix(line.trim_end(), 16).expect("a chunk begins with its size");
                    self.have_ended = size == 0;
                    self.left = if size == 0 { 0 } else { size + 2 };
                }
                _ => {
                    assert_eq!((&*line, self.left), ("\r\n", 2), "a chunk is as long as it says");
                    self.left = 0;
                }
            }
        }
    }
}

/// A client of an event stream.
pub struct Listener {
    pub head: Response,
    pub peer: Peer,
    pub reader: Reader,
    chunks: Chunks,
    heard: VecDeque<Event>,
}

impl Listener {
    /// Asks for a stream, and reads the head of the answer.
    pub fn connect(address: SocketAddr, target: &str) -> Self {
        Self::connect_with(address, target, "")
    }

    /// The same with further header fields, each with its CRLF.
    pub fn connect_with(address: SocketAddr, target: &str, fields: &str) -> Self {
        Self::over(Peer::connect(address), target, fields)
    }

    /// The same over a connection that there is.
    pub fn over(mut peer: Peer, target: &str, fields: &str) -> Self {
        peer.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
        let head = peer.head();
        Self { head, peer, reader: Reader::default(), chunks: Chunks::default(), heard: VecDeque::new() }
    }

    /// The same up to the id with which every stream begins.
    pub fn join(address: SocketAddr, target: &str) -> Self {
        let mut listener = Self::connect(address, target);
        assert_eq!(listener.head.status, 200, "{:?}", listener.head);
        while listener.reader.last_event_id.is_empty() {
            listener.read_more();
        }
        listener
    }

    /// The next event.
    pub fn hear(&mut self) -> Event {
        loop {
            match self.heard.pop_front() {
                Some(event) => return event,
                None => self.read_more(),
            }
        }
    }

    /// The next publication, whose id is that of its event.
    pub fn message(&mut self) -> Value {
        let event = self.hear();
        let message = event.json();
        assert_eq!(
            (event.name.as_str(), message["id"].as_str()),
            ("message", Some(event.last_event_id.as_str()))
        );
        message
    }

    /// What was published, of the next publication.
    pub fn hear_data(&mut self) -> Value {
        self.message()["data"].take()
    }

    /// All events up to the clean end of the stream, which cuts none.
    pub fn rest(&mut self) -> Vec<Event> {
        let rest = self.peer.rest();
        let events = self.read(rest);
        assert!(self.reader.is_between_blocks(), "the end cuts an event");
        assert!(self.chunks.have_ended || !self.is_chunked(), "the end cuts the response");
        self.heard.extend(events);
        self.heard.drain(..).collect()
    }

    /// The events that become whole with these octets from the connection.
    pub fn read(&mut self, octets: impl AsRef<[u8]>) -> Vec<Event> {
        match self.is_chunked() {
            true => self.reader.read(self.chunks.read(octets)),
            false => self.reader.read(octets),
        }
    }

    /// Reads what comes next.
    pub fn read_more(&mut self) {
        let octets = self.peer.more();
        let events = self.read(octets);
        self.heard.extend(events);
    }

    fn is_chunked(&self) -> bool {
        self.head.field("Transfer-Encoding") == Some("chunked")
    }
}
