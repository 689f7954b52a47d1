//! A client: what it hears, each publication by its number, and what it says, half a message at a time.

use std::io::{ErrorKind, Read, Write};

use mio::net::TcpStream;
use serde::Deserialize;

use super::common::encoding::Encoding;
use super::common::subscriber::{TEXT, position_of};
use super::faults::Faults;

/// How the topics end that are not one of many.
const ALL: &str = "all";
const PAST: &str = "past";

/// The first octet of a close frame.
const CLOSE: u8 = 0x88;

/// A message's octets behind its number: both halves are longer than any header.
const PADDING: usize = 400;

/// What is published.
#[derive(Debug, Deserialize)]
struct Data {
    /// Of its topic, from 1 on.
    n: u64,
}

#[derive(Debug, Deserialize)]
struct Message<'a> {
    r#type: &'a str,
    id: Option<&'a str>,
    topic: Option<&'a str>,
    data: Option<Data>,
    message: Option<&'a str>,
}

/// The client.
pub struct Client {
    pub socket: TcpStream,
    encoding: Encoding,
    /// The number of the topic that it hears besides the one of all.
    pub topic: usize,
    /// How much it has heard of its own topic, of that of all, and of what was published before.
    heard: [u64; 3],
    /// The position of the newest publication that it has heard.
    newest: u64,
    /// The beginning of a message whose rest is still to come.
    cut: Vec<u8>,
    /// Messages that it has begun, ended and been answered.
    begun: u64,
    ended: u64,
    answered: u64,
    pub is_gone: bool,
}

impl Client {
    /// One that has been greeted, and told the position of the newest publication.
    pub fn new(socket: TcpStream, encoding: Encoding, topic: usize, newest: u64) -> Self {
        Self {
            socket,
            encoding,
            topic,
            heard: [0; 3],
            newest,
            cut: Vec::new(),
            begun: 0,
            ended: 0,
            answered: 0,
            is_gone: false,
        }
    }

    /// What it asks with.
    pub fn request(encoding: Encoding, topic: usize, topics: &Topics, hears_past: bool) -> String {
        let past = if hears_past { format!("&topic={}", topics.past) } else { String::new() };
        let (path, rest) = match encoding {
            Encoding::Stream => ("/events", "?topic="),
            Encoding::Plain | Encoding::Compressed => ("/ws", "?topic="),
        };
        let own = topics.name(topic);
        let asked = format!("{path}{rest}{}&topic={own}{past}", topics.all);
        encoding.request().replacen(path, &asked, 1)
    }

    /// Whether it is a WebSocket.
    pub fn can_talk(&self) -> bool {
        self.encoding != Encoding::Stream
    }

    /// How many of the publications before the traffic it has heard.
    pub fn heard_of_past(&self) -> u64 {
        self.heard[2]
    }

    /// How many publications are missing, if so many were made.
    pub fn missing(&self, own: u64, all: u64) -> u64 {
        if self.is_gone { 0 } else { (own - self.heard[0]) + (all - self.heard[1]) }
    }

    /// Messages that have no answer.
    pub fn unanswered(&self) -> u64 {
        if self.is_gone { 0 } else { self.ended - self.answered }
    }

    /// Sends the first half of a message.
    pub fn begin(&mut self) {
        let frame = message(self.begun);
        self.begun += 1;
        self.say(&frame[..frame.len() / 2]);
    }

    /// Sends the other half.
    pub fn end(&mut self) {
        let frame = message(self.ended);
        self.ended += 1;
        self.say(&frame[frame.len() / 2..]);
    }

    fn say(&mut self, octets: &[u8]) {
        // Whose connection has ended finds that out when it reads.
        if let Err(why) = self.socket.write_all(octets) {
            let is_full = why.kind() == ErrorKind::WouldBlock;
            assert!(!is_full, "the socket of a client takes what little it says");
        }
    }

    /// Reads what has come.
    pub fn read(&mut self, scratch: &mut [u8], faults: &mut Faults) {
        let room = scratch.len();
        loop {
            let kept = self.cut.len();
            scratch[..kept].copy_from_slice(&self.cut);
            let count = match self.socket.read(&mut scratch[kept..]) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => return self.on_end(faults),
                Ok(count) => count,
            };
            let mut rest = &scratch[..kept + count];
            while self.take(&mut rest, faults) {}
            self.cut.clear();
            self.cut.extend_from_slice(rest);
            // Less than there was room for: the socket is empty (epoll(7)).
            if kept + count < room {
                return;
            }
        }
    }

    fn on_end(&mut self, faults: &mut Faults) {
        faults.disconnected += u64::from(!std::mem::replace(&mut self.is_gone, true));
    }

    /// Takes one message, if all of it is there.
    fn take(&mut self, rest: &mut &[u8], faults: &mut Faults) -> bool {
        if self.encoding != Encoding::Stream && rest.first() == Some(&CLOSE) {
            self.on_end(faults);
            return false;
        }
        let Some(said) = self.encoding.first(rest) else { return false };
        *rest = &rest[said.length..];
        if !said.json.is_empty() {
            self.hear(&said.json, faults);
        }
        true
    }

    fn hear(&mut self, json: &[u8], faults: &mut Faults) {
        let message: Message<'_> = serde_json::from_slice(json).expect("messages are JSON");
        match (message.r#type, message.data, message.message) {
            ("notification", Some(Data { n }), _) => {
                let place = place(message.topic.unwrap_or_default());
                let id = message.id.expect("publications have ids");
                let (position, heard) = (position_of(id.as_bytes()), self.heard[place]);
                if n <= heard || position <= self.newest {
                    faults.doubled += 1;
                    return;
                }
                faults.lost += n - heard - 1;
                (self.heard[place], self.newest) = (n, position);
            }
            ("echo", _, Some(text)) => {
                let is_next = text.contains(&number(self.answered));
                faults.unanswered += u64::from(!is_next);
                self.answered += 1;
            }
            (other, ..) => panic!("a client is told {other}"),
        }
    }
}

/// What topics are called; each process of the load has its own.
pub struct Topics {
    /// The one that all its clients hear.
    pub all: String,
    /// That of what is published before the traffic.
    pub past: String,
    load: String,
}

impl Topics {
    pub fn of(load: u32) -> Self {
        let [all, past] = [ALL, PAST].map(|end| format!("{load}/{end}"));
        Self { all, past, load: load.to_string() }
    }

    pub fn name(&self, topic: usize) -> String {
        format!("{}/t/{topic}", self.load)
    }
}

/// Where a client counts what it hears of a topic.
fn place(topic: &str) -> usize {
    match topic.rsplit('/').next() {
        Some(ALL) => 1,
        Some(PAST) => 2,
        _ => 0,
    }
}

fn number(message: u64) -> String {
    format!("#{message:08}#")
}

/// A text frame; its mask is four zeros, which leave the payload as it is (RFC 6455 §5.3).
fn message(number: u64) -> Vec<u8> {
    let text = self::number(number) + &"x".repeat(PADDING);
    let length = u16::try_from(text.len()).expect("it is short").to_be_bytes();
    [&[TEXT, 0x80 | 126], &length[..], &[0; 4], text.as_bytes()].concat()
}
