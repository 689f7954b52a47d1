//! The bytes that clients send: handshakes, requests, masked frames, and every way to break the protocol.
//! Written by hand from RFC 6455 and RFC 9112, without the server's own encoder.

use crate::compression::{Offer, Window};
use crate::random::Random;

pub const TEXT: u8 = 0x81;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// Instead of a status: the answer is to be an event stream.
pub const STREAM: u16 = 0;

/// What the server owes for one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Echo(String),
    Error,
}

/// Bytes, and what they ask for.
#[derive(Debug, Default, Clone)]
pub struct Speech {
    pub bytes: Vec<u8>,
    pub replies: Vec<Reply>,
    /// The payloads of the pings in it.
    pub pings: Vec<Vec<u8>>,
    /// The statuses that its requests are answered with.
    pub statuses: Vec<u16>,
}

/// A client's frame of at most 65,535 bytes. `first` holds FIN, the reserved bits and the opcode.
pub fn frame(random: &mut Random, first: u8, payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short @ ..126) => octets.push(0x80 | short),
        _ => {
            octets.push(0x80 | 126);
            octets.extend(u16::try_from(payload.len()).expect("clients speak briefly").to_be_bytes());
        }
    }
    let mask = random.bytes(4);
    octets.extend(&mask);
    octets.extend(payload.iter().zip(mask.iter().cycle()).map(|(octet, mask)| octet ^ mask));
    octets
}

pub fn close(random: &mut Random, code: Option<u16>) -> Vec<u8> {
    let payload = code.map_or(vec![], |code| [&code.to_be_bytes()[..], "tschüß".as_bytes()].concat());
    frame(random, CLOSE, &payload)
}

/// Asks for a WebSocket with this query.
pub fn handshake(query: &str) -> String {
    support::handshake(&format!("/ws?{query}"))
}

/// Asks for a WebSocket that hears the periodic notification.
pub fn upgrade(random: &mut Random, offer: &Offer) -> Speech {
    let agent = format!("Host: x\r\nUser-Agent: {}", "x".repeat(random.below(60)));
    let request = offer.added_to(&handshake("topic=notifications")).replacen("Host: x", &agent, 1);
    Speech { bytes: request.into(), statuses: vec![101], ..Speech::default() }
}

/// Asks for an event stream that hears the periodic notification.
pub fn stream(random: &mut Random, is_old: bool) -> Speech {
    let (version, agent) = (if is_old { "1.0" } else { "1.1" }, "x".repeat(random.below(60)));
    let request = format!("GET /events HTTP/{version}\r\nHost: x\r\nUser-Agent: {agent}\r\n\r\n");
    Speech { bytes: request.into(), statuses: vec![STREAM], ..Speech::default() }
}

/// Requests that keep the connection; some have a body that nobody wants.
pub fn requests(random: &mut Random, count: usize) -> Speech {
    let mut speech = Speech::default();
    for _ in 0..count {
        let (request, status) = random.pick(&[
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200),
            ("GET /app.js HTTP/1.1\r\nHost: x\r\n\r\n", 200),
            ("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
            ("GET /nowhere?at=all HTTP/1.1\r\nHost: x\r\n\r\n", 404),
            ("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nGET / HTT", 405),
            ("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        ]);
        speech.bytes.extend(request.as_bytes());
        speech.statuses.push(status);
    }
    speech
}

/// How a client speaks.
#[derive(Debug, Clone, Copy)]
pub struct Voice {
    /// The longest message that the server hears.
    pub most_bytes: usize,
    /// What was agreed on, if messages may be compressed.
    pub window: Option<Window>,
}

/// One thing that a well-behaved client says.
pub fn remark(random: &mut Random, voice: Voice) -> Speech {
    match random.below(10) {
        0 => {
            let payload = {
                let count = random.below(126);
                random.bytes(count)
            };
            Speech { bytes: frame(random, PING, &payload), pings: vec![payload], ..Speech::default() }
        }
        1 => Speech { bytes: frame(random, PONG, b"unasked"), ..Speech::default() },
        2 => {
            let bytes = frame(random, TEXT, br#"{"type":"dance"}"#);
            Speech { bytes, replies: vec![Reply::Error], ..Speech::default() }
        }
        form => {
            // What is compressed may be long, and is short all the same.
            let is_long = voice.window.is_some() && random.chance(20);
            let length = random.within(0..voice.most_bytes + 1);
            let text = if is_long { "x".repeat(length) } else { text(random, voice.most_bytes) };
            let is_fragmented = form < 6;
            let window = if is_long { voice.window } else { voice.window.filter(|_| random.chance(50)) };
            let speech = message(random, window, is_fragmented, text.as_bytes());
            Speech { replies: vec![Reply::Echo(text)], ..speech }
        }
    }
}

/// A message, compressed if something was agreed on; in fragments that may cut through characters, with pings between them.
pub fn message(random: &mut Random, window: Option<Window>, is_fragmented: bool, text: &[u8]) -> Speech {
    let (mut opcode, payload) = match window {
        Some(window) => (0x41, window.deflate(random, text)),
        None => (0x01, text.to_vec()),
    };
    let (mut speech, mut rest) = (Speech::default(), &payload[..]);
    while is_fragmented && !rest.is_empty() && random.chance(75) {
        let (part, others) = rest.split_at(random.within(0..rest.len() + 1));
        speech.bytes.extend(frame(random, opcode, part));
        (rest, opcode) = (others, 0x00);
        if random.chance(30) {
            let payload = {
                let count = random.below(9);
                random.bytes(count)
            };
            speech.bytes.extend(frame(random, PING, &payload));
            speech.pings.push(payload);
        }
    }
    speech.bytes.extend(frame(random, 0x80 | opcode, rest));
    speech
}

/// Never a command.
fn text(random: &mut Random, most_bytes: usize) -> String {
    let letters = ["a", "ö", "€", "🌊", "{", "\"", "\n", "\0", " "];
    let (length, mut text) = (random.below(most_bytes.min(200)), String::new());
    while text.len() + 4 <= length {
        text.push_str(random.pick(&letters));
    }
    text
}

/// A way to break the protocol, and the code that it deserves.
pub fn violation(random: &mut Random, voice: Voice) -> (Vec<u8>, u16) {
    if let Some(window) = voice.window.filter(|_| random.chance(50)) {
        return violation_of_compression(random, window, voice.most_bytes);
    }
    let too_big = u16::try_from(voice.most_bytes + 1).expect("limits are small here").to_be_bytes();
    match random.below(13) {
        0 if voice.window.is_none() => (frame(random, 0xc1, b"reserved bit"), 1002),
        0 => (frame(random, 0xe1, b"reserved bit"), 1002),
        1 => (frame(random, 0x83, b""), 1002),
        2 => (b"\x81\x01x".to_vec(), 1002),
        3 => (frame(random, 0x09, b"fragmented ping"), 1002),
        4 => (frame(random, PING, &[b'x'; 126]), 1002),
        5 => (frame(random, 0x80, b"continues nothing"), 1002),
        6 => ([frame(random, 0x01, b"x"), frame(random, TEXT, b"y")].concat(), 1002),
        7 => (frame(random, CLOSE, &1005_u16.to_be_bytes()), 1002),
        8 => (frame(random, CLOSE, b"\x03"), 1002),
        9 => (frame(random, 0x82, b"binary"), 1003),
        10 => (frame(random, TEXT, b"abc\xff\xfe"), 1007),
        11 => ([frame(random, 0x01, "€".as_bytes()), frame(random, 0x80, b"\xe2\x82")].concat(), 1007),
        _ => ([b"\x81\xfe", &too_big[..], b"mask"].concat(), 1009),
    }
}

/// The same of whoever may compress.
fn violation_of_compression(random: &mut Random, window: Window, most_bytes: usize) -> (Vec<u8>, u16) {
    match random.below(7) {
        0 => (frame(random, 0xc1, b"\xff\xff\xff"), 1007),
        1 => {
            let payload = window.deflate(random, b"abc\xff\xfe");
            (frame(random, 0xc1, &payload), 1007)
        }
        2 => ([frame(random, 0x41, b"\x02"), frame(random, 0xc0, b"")].concat(), 1002),
        3 => (frame(random, 0xc9, b""), 1002),
        4 => (frame(random, 0xc2, b"\x02\x00"), 1003),
        form => {
            let too_long = most_bytes + random.pick(&[1, 2, 1000, 50_000]);
            let bomb = window.deflate(random, &vec![b'x'; too_long]);
            if form == 5 {
                return (frame(random, 0xc1, &bomb), 1009);
            }
            let (start, rest) = bomb.split_at(random.below(bomb.len()));
            ([frame(random, 0x41, start), frame(random, 0x80, rest)].concat(), 1009)
        }
    }
}

/// A head that never ends, or no HTTP at all.
pub fn half_request(random: &mut Random) -> Vec<u8> {
    let whole = upgrade(random, &Offer::default()).bytes;
    whole[..random.within(1..whole.len())].to_vec()
}
