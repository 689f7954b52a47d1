//! One client, with what it has asked.

use std::cell::RefCell;
use std::rc::Rc;

use crate::line::Line;
use crate::stream;
use crate::truth::Truth;

/// One client.
pub struct Client {
    pub line: Rc<RefCell<Line>>,
    /// Whole requests, as long as nothing else was sent.
    asked: usize,
    has_upgraded: bool,
    /// Nothing but whole requests was sent before any upgrade.
    is_tidy: bool,
    /// Answers pings and closes, as a browser does.
    pub is_browser: bool,
    /// What of that which it was sent has been listened to.
    heard: usize,
}

impl Client {
    pub fn new() -> Self {
        Self {
            line: Rc::default(),
            asked: 0,
            has_upgraded: false,
            is_tidy: true,
            is_browser: false,
            heard: 0,
        }
    }

    /// Sends whatever it is.
    pub fn send(&mut self, octets: &[u8]) {
        self.is_tidy &= self.has_upgraded;
        self.line.borrow_mut().send(octets);
    }

    /// Sends a text message of at most 125 octets, masked with nothing.
    pub fn say(&mut self, text: &[u8]) {
        let text = &text[..text.len().min(125)];
        let length = u8::try_from(text.len()).expect("at most 125");
        self.send(&[&[0x81, 0x80 | length, 0, 0, 0, 0], text].concat());
    }

    /// Publishes.
    pub fn publish(&mut self, body: &[u8]) {
        let length = body.len();
        let head = format!(
            "POST /publish HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        self.ask(&[head.as_bytes(), body].concat());
    }

    /// Asks to become a WebSocket on this path.
    pub fn upgrade(&mut self, path: &str) {
        self.ask(
            format!(
                "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            .as_bytes(),
        );
        self.has_upgraded = true;
    }

    /// Asks for something.
    pub fn get(&mut self, path: &str) {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    }

    fn ask(&mut self, request: &[u8]) {
        self.asked += usize::from(!self.has_upgraded);
        self.line.borrow_mut().send(request);
    }

    /// Takes in the messages that have come since, and answers as a browser does. One that is none hears nothing.
    pub fn listen(&mut self) -> Vec<Vec<u8>> {
        let (mut line, mut messages) = (self.line.borrow_mut(), Vec::new());
        if !self.is_browser || !line.written.starts_with(b"HTTP/1.1 101 ") {
            return messages;
        }
        if self.heard == 0 {
            self.heard = stream::head_bytes(&line.written).unwrap_or_default();
        }
        let (taken, mut answers) = (line.taken(), Vec::new());
        while let Some((opcode, payload, behind)) = taken.get(self.heard..).and_then(stream::split_frame) {
            self.heard = taken.len() - behind.len();
            match opcode {
                0x81 => messages.push(payload.to_vec()),
                0x88 => answers.extend_from_slice(b"\x88\x80mask"),
                0x89 => answers.extend_from_slice(b"\x8a\x80mask"),
                _ => {}
            }
        }
        if !answers.is_empty() {
            line.send(&answers);
        }
        if line.has_all() {
            line.end();
        }
        messages
    }

    /// Whether it waits for an answer though it takes all, and has said nothing but whole requests.
    pub fn is_owed_an_answer(&self) -> bool {
        let line = self.line.borrow();
        self.is_tidy && line.is_open() && stream::count_answers(&line.written) < self.asked
    }

    /// Checks all that it has been sent.
    pub fn check(&self, truth: &mut Truth) {
        let messages = stream::check(&self.line.borrow());
        truth.compare(&messages);
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}
