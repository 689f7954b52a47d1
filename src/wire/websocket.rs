//! `Session`: RFC 6455 from the server's side, bytes in, events out, built on tungstenite's frame header and codes.
//! It knows no socket and no clock, and writes nothing but pongs: how a connection ends is for its owner to say.
//!
//! Invariants: an idle session owns no heap; an announced length reserves no memory, only bytes that have arrived take
//! any; a violation is found with the first byte that shows it; after `Ended` there is nothing but `None`.

use std::io::Cursor;

use simdutf8::compat::from_utf8;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::frame::Frame;
use crate::wire::deflate::{Inflater, most_compressed_bytes};
use crate::wire::ending::{Ending, Violation};
use crate::wire::extensions::Compression;
use crate::wire::outbox::Outbox;

mod moving;

/// The longest header of a masked frame (RFC 6455 §5.2).
const LONGEST_HEADER: usize = 14;

/// What a peer has sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole text message.
    Text(String),
    /// A whole binary message; only where the rules accept them.
    Binary(Vec<u8>),
    /// A pong, whether or not it answers a ping.
    Pong,
    /// The last event: the peer closed, or broke a rule.
    Ended(Ending),
}

/// What a session accepts.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The largest message, all fragments together, and inflated.
    pub max_message_bytes: usize,
    /// Whether binary messages are accepted; otherwise they end the session with 1003.
    pub binary: bool,
}

/// One WebSocket, from the first byte after the handshake to the close.
#[derive(Debug, Default)]
pub struct Session {
    /// Boxed, and only while a frame or a message is incomplete.
    unfinished: Option<Box<Unfinished>>,
    compression: Option<Compression>,
    ended: bool,
}

impl Session {
    /// One whose messages may be compressed, if that was agreed on.
    pub fn new(compression: Option<Compression>) -> Self {
        Self { compression, ..Self::default() }
    }

    /// What was agreed on.
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// The next event in `input`, which is advanced past what was taken. Call until `None`: then all of the input has been
    /// taken. Pings are answered into the outbox.
    pub fn next(
        &mut self,
        input: &mut &[u8],
        rules: &Rules,
        inflater: &mut Inflater,
        outbox: &mut Outbox,
    ) -> Option<Event> {
        while !self.ended && !input.is_empty() {
            let unfinished = self.unfinished.get_or_insert_default();
            let arrived = unfinished.read(input, rules, self.compression.map(|_| &mut *inflater));
            if unfinished.is_idle() {
                self.unfinished = None;
            }
            match arrived {
                Ok(Arrived::Part) => {}
                Ok(Arrived::Text(text)) => return Some(Event::Text(text)),
                Ok(Arrived::Binary(bytes)) => return Some(Event::Binary(bytes)),
                Ok(Arrived::Ping(payload)) => outbox.push_pong(Frame::pong(&payload).into_bytes()),
                Ok(Arrived::Pong) => return Some(Event::Pong),
                Ok(Arrived::Close(code)) => return Some(self.end(Ending::PeerClosed(code))),
                Err(violation) => return Some(self.end(Ending::Violated(violation))),
            }
        }
        *input = &[];
        None
    }

    fn end(&mut self, ending: Ending) -> Event {
        self.ended = true;
        self.unfinished = None;
        Event::Ended(ending)
    }
}

/// What reading a piece of input has brought.
enum Arrived {
    /// Nothing whole yet: the input is used up, or a fragment ended.
    Part,
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

/// What is incomplete.
#[derive(Debug, Default)]
struct Unfinished {
    /// The first bytes of an incomplete header.
    header: Vec<u8>,
    frame: Option<OpenFrame>,
    /// The payload so far of a control frame, which may come between two fragments.
    control: Vec<u8>,
    message: Option<Message>,
}

/// A frame whose payload is still to come.
#[derive(Debug)]
struct OpenFrame {
    opcode: OpCode,
    is_final: bool,
    remaining: usize,
    /// Rotated so that its first octet is for the next octet of payload.
    mask: [u8; 4],
}

/// The fragments of one message so far.
#[derive(Debug)]
struct Message {
    is_text: bool,
    is_compressed: bool,
    payload: Vec<u8>,
    /// How much of the payload is known to be whole UTF-8 characters.
    valid_bytes: usize,
}

impl Unfinished {
    fn is_idle(&self) -> bool {
        self.header.is_empty() && self.frame.is_none() && self.message.is_none()
    }

    /// Reads to the end of the current frame or of the input, whichever comes first. Without an inflater no message may be
    /// compressed.
    fn read(
        &mut self,
        input: &mut &[u8],
        rules: &Rules,
        inflater: Option<&mut Inflater>,
    ) -> Result<Arrived, Violation> {
        let mut frame = match self.frame.take() {
            Some(frame) => {
                self.check_rest(&frame, rules)?;
                frame
            }
            None => match self.read_header(input)? {
                Some((header, length)) => self.open(&header, length, rules, inflater.is_some())?,
                None => return Ok(Arrived::Part),
            },
        };
        self.read_payload(&mut frame, input)?;
        if frame.remaining > 0 {
            self.frame = Some(frame);
            return Ok(Arrived::Part);
        }
        self.finish(&frame, rules, inflater)
    }

    /// The next header and the payload length that it announces, once it is whole.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<Option<(FrameHeader, u64)>, Violation> {
        let already = self.header.len();
        let mut start = [0; LONGEST_HEADER];
        let known = LONGEST_HEADER.min(already + input.len());
        start[..already].copy_from_slice(&self.header);
        start[already..known].copy_from_slice(&input[..known - already]);

        let mut cursor = Cursor::new(&start[..known]);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Violation::Protocol("reserved opcode"))?;
        let Some((header, length)) = parsed else {
            self.header.extend_from_slice(input);
            *input = &[];
            return Ok(None);
        };
        let used = usize::try_from(cursor.position()).expect("a header has at most 14 bytes");
        if used != header.len(length) {
            return Err(Violation::Protocol("length not in the shortest form"));
        }
        *input = &input[used - already..];
        self.header = Vec::new();
        Ok(Some((header, length)))
    }

    /// Checks a header against the rules and the state of the message, and opens its frame.
    fn open(
        &mut self,
        header: &FrameHeader,
        length: u64,
        rules: &Rules,
        may_be_compressed: bool,
    ) -> Result<OpenFrame, Violation> {
        // The first frame says it for the whole message (RFC 7692 §6.1).
        let may_begin_compressed =
            may_be_compressed && matches!(header.opcode, OpCode::Data(Data::Text | Data::Binary));
        if header.rsv1 && !may_begin_compressed || header.rsv2 || header.rsv3 {
            return Err(Violation::Protocol("reserved bit set"));
        }
        let Some(mask) = header.mask else {
            return Err(Violation::Protocol("frame not masked"));
        };
        if length >> 63 != 0 {
            return Err(Violation::Protocol("length over 63 bits"));
        }
        match header.opcode {
            OpCode::Control(_) if !header.is_final => {
                return Err(Violation::Protocol("fragmented control frame"));
            }
            OpCode::Control(_) if length > 125 => {
                return Err(Violation::Protocol("control frame over 125 bytes"));
            }
            OpCode::Control(_) => {}
            OpCode::Data(kind) => self.open_data(kind, header.rsv1, length, rules)?,
        }
        let remaining = usize::try_from(length).map_err(|_| Violation::TooBig)?;
        Ok(OpenFrame { opcode: header.opcode, is_final: header.is_final, remaining, mask })
    }

    fn open_data(
        &mut self,
        kind: Data,
        begins_compressed: bool,
        length: u64,
        rules: &Rules,
    ) -> Result<(), Violation> {
        match (kind, &self.message) {
            (Data::Continue, Some(message)) if !message.is_text && !rules.binary => {
                return Err(Violation::Binary);
            }
            (Data::Continue, None) => return Err(Violation::Protocol("continuation of nothing")),
            (Data::Text | Data::Binary, Some(_)) => {
                return Err(Violation::Protocol("new message inside a fragmented one"));
            }
            (Data::Binary, None) if !rules.binary => return Err(Violation::Binary),
            _ => {}
        }
        let message = self.message.get_or_insert(Message {
            is_text: kind == Data::Text,
            is_compressed: begins_compressed,
            payload: Vec::new(),
            valid_bytes: 0,
        });
        if message.has_room_for(length, rules) { Ok(()) } else { Err(Violation::TooBig) }
    }

    /// Checks what is still to come of a frame: it may have begun in another process, by other rules.
    fn check_rest(&self, frame: &OpenFrame, rules: &Rules) -> Result<(), Violation> {
        match (frame.opcode, &self.message) {
            (OpCode::Data(_), Some(message)) if !message.is_text && !rules.binary => Err(Violation::Binary),
            (OpCode::Data(_), Some(message)) if !message.has_room_for(frame.remaining as u64, rules) => {
                Err(Violation::TooBig)
            }
            _ => Ok(()),
        }
    }

    fn read_payload(&mut self, frame: &mut OpenFrame, input: &mut &[u8]) -> Result<(), Violation> {
        let (payload, rest) = input.split_at(frame.remaining.min(input.len()));
        *input = rest;
        frame.remaining -= payload.len();
        let target = match (frame.opcode, &mut self.message) {
            (OpCode::Data(_), Some(message)) => &mut message.payload,
            _ => &mut self.control,
        };
        let start = target.len();
        target.extend_from_slice(payload);
        unmask(&mut target[start..], frame.mask);
        frame.mask.rotate_left(payload.len() % 4);

        match (frame.opcode, &mut self.message) {
            (OpCode::Data(_), Some(message)) if message.is_text && !message.is_compressed => {
                message.check_utf8()
            }
            _ => Ok(()),
        }
    }

    fn finish(
        &mut self,
        frame: &OpenFrame,
        rules: &Rules,
        inflater: Option<&mut Inflater>,
    ) -> Result<Arrived, Violation> {
        match frame.opcode {
            OpCode::Control(Control::Ping) => Ok(Arrived::Ping(std::mem::take(&mut self.control))),
            OpCode::Control(Control::Close) => {
                read_close(&std::mem::take(&mut self.control)).map(Arrived::Close)
            }
            OpCode::Control(_) => {
                self.control.clear();
                Ok(Arrived::Pong)
            }
            OpCode::Data(_) if !frame.is_final => Ok(Arrived::Part),
            OpCode::Data(_) => {
                let message = self.message.take().expect("a data frame opened a message");
                let octets = match inflater.filter(|_| message.is_compressed) {
                    Some(inflater) => inflater.inflate(&message.payload, rules.max_message_bytes)?,
                    None => message.payload,
                };
                if !message.is_text {
                    return Ok(Arrived::Binary(octets));
                }
                String::from_utf8(octets).map(Arrived::Text).map_err(|_| Violation::NotUtf8)
            }
        }
    }
}

impl Message {
    /// Whether it may become so much longer.
    fn has_room_for(&self, bytes: u64, rules: &Rules) -> bool {
        let most = rules.max_message_bytes;
        let most = if self.is_compressed { most_compressed_bytes(most) } else { most };
        bytes.saturating_add(self.payload.len() as u64) <= most as u64
    }

    /// Fails on the first byte that no continuation could make valid.
    fn check_utf8(&mut self) -> Result<(), Violation> {
        match from_utf8(&self.payload[self.valid_bytes..]) {
            Ok(_) => self.valid_bytes = self.payload.len(),
            Err(e) if e.error_len().is_none() => self.valid_bytes += e.valid_up_to(),
            Err(_) => return Err(Violation::NotUtf8),
        }
        Ok(())
    }
}

/// RFC 6455 §5.3.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let (words, rest) = payload.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (octet, mask) in rest.iter_mut().zip(mask) {
        *octet ^= mask;
    }
}

/// The code in a close frame's payload (RFC 6455 §5.5.1, §7.4).
fn read_close(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(Violation::Protocol("close code cut short")),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    // The registered codes that may be sent (RFC 6455 §7.4 and IANA's registry), and those of applications.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::Protocol("close code not allowed"));
    }
    from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
    Ok(Some(code))
}

#[cfg(test)]
#[path = "websocket_tests.rs"]
mod tests;
