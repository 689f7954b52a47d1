//! Understands what a server writes on an event stream, block by block, by the algorithm of browsers. Whatever it must never
//! write there is understood as nothing: half an event with anything behind it, an event without its id, a second opening.

use std::time::Duration;

use support::events::{Event, Reader};

use crate::ear::{Heard, Id, read_message};

/// What follows the last chunk.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// One stream from the end of its head.
#[derive(Debug, Default)]
pub struct EventStream {
    reader: Reader,
    /// Each block comes in a chunk of its own (RFC 9112 §7.1), as programs may be handed it chunk by chunk.
    is_chunked: bool,
    is_open: bool,
    /// Its last words were said.
    pub has_parted: bool,
    /// And it was said that these were the last, where there is a way to.
    pub is_complete: bool,
}

impl EventStream {
    pub fn new(is_chunked: bool) -> Self {
        Self { is_chunked, ..Self::default() }
    }

    /// The next block of what has been written, if it is whole, with its length.
    pub fn next(&mut self, bytes: &[u8]) -> Option<(usize, Heard)> {
        let garbled = |what: &[u8]| Some((bytes.len(), Heard::Garbled(String::from_utf8_lossy(what).into())));
        if self.is_complete {
            return garbled(bytes);
        }
        if self.is_chunked && bytes.starts_with(LAST_CHUNK) {
            self.is_complete = true;
            return Some((LAST_CHUNK.len(), Heard::Complete));
        }
        let (block, end) = if self.is_chunked { next_chunk(bytes)? } else { next_block(bytes)? };
        match self.read(block).filter(|_| block.ends_with(b"\n\n")) {
            Some(heard) => Some((end, heard)),
            None => garbled(&bytes[..end]),
        }
    }

    fn read(&mut self, block: &[u8]) -> Option<Heard> {
        if self.has_parted {
            return None;
        }
        let block = str::from_utf8(block).ok()?;
        let id_before = self.reader.last_event_id.clone();
        self.reader.retry = None;
        let events = self.reader.read(block);
        let retry = self.reader.retry.map(Duration::from_millis);
        let id = Id::read(&self.reader.last_event_id);
        let has_id = block.lines().any(|line| line.starts_with("id: "));
        let said_id = id.filter(|_| has_id);
        if self.reader.last_event_id != id_before && said_id.is_none() {
            return None;
        }
        let was_open = std::mem::replace(&mut self.is_open, true);
        let heard = match (&events[..], retry) {
            ([], Some(retry)) if !was_open => Heard::Primed { retry, id: said_id },
            _ if !was_open || !self.reader.is_between_blocks() => return None,
            ([], None) if block.starts_with(":\n") => Heard::Heartbeat(said_id),
            ([], Some(retry)) => Heard::Parting { retry, notice: None, id: said_id },
            ([event], None) if event.name == "message" => read_publication(event)?,
            ([event], None) if event.name == "gap" && event.json()["type"] == "gap" => Heard::Gap(said_id),
            ([event], Some(retry)) if event.name == "reconnect" => {
                let Heard::Reconnect(notice) = read_message(event.data.as_bytes())? else { return None };
                // The event's own id says it.
                if notice.after != retry || notice.last.is_some() {
                    return None;
                }
                Heard::Parting { retry, notice: Some(notice), id: said_id }
            }
            _ => return None,
        };
        self.has_parted = matches!(heard, Heard::Parting { .. });
        Some(heard)
    }
}

/// Up to the first empty line, with its length.
fn next_block(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.windows(2).position(|two| two == b"\n\n")? + 2;
    Some((&bytes[..end], end))
}

/// What is in the first chunk, and the length of that; all there is of what is no chunk.
fn next_chunk(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let start = bytes.windows(2).position(|two| two == b"\r\n")? + 2;
    let size = str::from_utf8(&bytes[..start - 2]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
    let Some(size) = size else { return Some((b"", bytes.len())) };
    let chunk = bytes.get(start..start + size + 2)?;
    Some((chunk.strip_suffix(b"\r\n").unwrap_or_default(), start + size + 2))
}

/// A publication, whose id its event has as well.
fn read_publication(event: &Event) -> Option<Heard> {
    match read_message(event.data.as_bytes())? {
        Heard::Publication(id, payload) if event.last_event_id == id.to_string() => {
            Some(Heard::Publication(id, payload))
        }
        _ => None,
    }
}

/// A message as a stream brings it: in one line, however many it had.
pub fn in_one_line(message: &[u8]) -> Vec<u8> {
    let is_break = |octet: &u8| matches!(octet, b'\n' | b'\r');
    message.iter().map(|octet| if is_break(octet) { b' ' } else { *octet }).collect()
}
