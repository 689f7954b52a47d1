//! One message to all: its JSON once, and what goes on a wire of it, derived when it is first asked for and then shared.
//! Whoever decides carries messages; how a peer is sent one is for those to know who speak.
//!
//! The octets of the plain WebSocket frame and of the event of a stream lie in one piece of memory, as the JSON is a part of
//! both: the header of the frame (RFC 6455 §5.2), the JSON, the end of the event, the end of a chunk (RFC 9112 §7.1). An event's
//! fields may come in any order (WHATWG HTML §9.2.6), so that its id can follow its data.

use std::cell::OnceCell;
use std::fmt::{self, Display};
use std::io::Write;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;

use crate::frame;

/// What counts the clones of octets: allocated with the first of them.
const SHARED_BYTES: usize = 24;

/// What counts the sharers of a message.
const COUNTERS_BYTES: usize = 16;

/// More than any id has, and what is written around it.
const LONGEST_END: usize = 64;

/// What the data of an event begins with.
const DATA: &[u8] = b"data: ";

/// What a chunk of a response ends with.
const CHUNK_END: &[u8] = b"\r\n";

/// What an allocation of this size takes from memory: it is preceded by its length, and rounded up (glibc's malloc).
pub fn allocated_bytes(bytes: usize) -> usize {
    (bytes + 8).next_multiple_of(16).max(32)
}

/// A message and its encodings. Cloning shares them.
#[derive(Clone)]
pub struct Message(Rc<Parts>);

struct Parts {
    /// The header of the frame, the JSON, the ends of the event and of a chunk. The header says how long the JSON is.
    octets: Bytes,
    /// Made when the first of these is asked for: most messages need none.
    derived: OnceCell<Box<Derived>>,
}

#[derive(Default)]
struct Derived {
    /// Nothing inside where compressing it is of no use.
    deflated: OnceCell<Option<Bytes>>,
    /// The event behind its `data: `, and the end of a chunk: a part of the octets, unless the JSON has several lines.
    rest: OnceCell<Bytes>,
    /// What precedes that where the event is a chunk.
    chunk_start: OnceCell<Bytes>,
}

impl Message {
    /// A message of this JSON and id, which has no line breaks and at most 48 bytes.
    pub fn new(json: &[u8], id: impl Display) -> Self {
        let mut end = [0; LONGEST_END];
        let mut room = &mut end[..];
        write!(room, "\nid: {id}\n\n\r\n").expect("an id has at most 48 bytes");
        let left = room.len();
        let octets = frame::text_followed_by(json, &end[..LONGEST_END - left]);
        Self(Rc::new(Parts { octets, derived: OnceCell::new() }))
    }

    /// A message from its `octets`, which another process has made.
    ///
    /// # Errors
    /// `None` if they do not begin with a whole frame, or do not end as a chunk does.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        frame::text_range(octets)?;
        let parts = || Parts { octets: octets.to_vec().into(), derived: OnceCell::new() };
        octets.ends_with(CHUNK_END).then(|| Self(Rc::new(parts())))
    }

    /// All that has to be handed to another process: whatever is derived is derived of this.
    pub fn octets(&self) -> &[u8] {
        &self.0.octets
    }

    /// What is said.
    pub fn json(&self) -> &[u8] {
        &self.0.octets[self.json_range()]
    }

    /// One whole, unfragmented, unmasked text frame, its header included.
    pub fn frame(&self) -> Bytes {
        self.0.octets.slice(..self.json_range().end)
    }

    /// The event of a stream (WHATWG HTML §9.2.6), to be sent one behind the other. Nothing may come between them.
    ///
    /// Its data is one line. Where JSON has line breaks they are as good as spaces (RFC 8259 §2): with a `data:` for each of its
    /// lines an event could be seven times as long as what was published.
    pub fn event(&self) -> [Bytes; 2] {
        let rest = self.rest_of_chunk();
        [Bytes::from_static(DATA), rest.slice(..rest.len() - CHUNK_END.len())]
    }

    /// The same as one chunk of a response (RFC 9112 §7.1).
    pub fn event_chunk(&self) -> [Bytes; 2] {
        let rest = self.rest_of_chunk();
        let start = self.derived().chunk_start.get_or_init(|| {
            let event_bytes = DATA.len() + rest.len() - CHUNK_END.len();
            Bytes::from([format!("{event_bytes:x}\r\n").as_bytes(), DATA].concat())
        });
        [start.clone(), rest]
    }

    /// The message as `compress` makes it of the JSON, which is asked only once however many ask; `None` where it has no
    /// use for it.
    pub fn deflated(&self, compress: impl FnOnce(&[u8]) -> Option<Bytes>) -> Option<Bytes> {
        self.derived().deflated.get_or_init(|| compress(self.json())).clone()
    }

    /// Bytes of memory that it takes, however many share it. Each of the encodings that are derived takes at most as much again.
    pub fn held_bytes(&self) -> usize {
        let octets = allocated_bytes(self.0.octets.len()) + allocated_bytes(SHARED_BYTES);
        allocated_bytes(size_of::<Parts>() + COUNTERS_BYTES) + octets
    }

    fn derived(&self) -> &Derived {
        self.0.derived.get_or_init(Box::default)
    }

    /// The event behind its first `data: `, and the end of a chunk.
    fn rest_of_chunk(&self) -> Bytes {
        let rest = self.derived().rest.get_or_init(|| {
            let json = self.json();
            match json.contains(&b'\n') || json.contains(&b'\r') {
                true => self.join_lines().into(),
                false => self.0.octets.slice(self.json_range().start..),
            }
        });
        rest.clone()
    }

    fn json_range(&self) -> Range<usize> {
        frame::text_range(&self.0.octets).expect("it begins with a frame")
    }

    /// As one line, with all that follows the JSON.
    fn join_lines(&self) -> Vec<u8> {
        let Range { start, end } = self.json_range();
        let mut event = self.0.octets[start..].to_vec();
        event[..end - start]
            .iter_mut()
            .filter(|octet| matches!(octet, b'\n' | b'\r'))
            .for_each(|octet| *octet = b' ');
        event
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.0.octets == other.0.octets
    }
}

impl Eq for Message {}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Message").field(&String::from_utf8_lossy(self.json())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> String {
        String::from_utf8(Message::new(json.as_bytes(), "0000000e-7").event().concat()).unwrap()
    }

    #[test]
    fn the_frame_and_the_event_hold_the_same_json() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let json = "1".repeat(length);
            let message = Message::new(json.as_bytes(), "e-1");
            assert_eq!(message.json(), json.as_bytes());
            assert_eq!(message.frame(), frame::Frame::text(&json).into_bytes());
            assert_eq!(event(&json), format!("data: {json}\nid: 0000000e-7\n\n"));
        }
    }

    #[test]
    fn another_process_makes_the_same_of_its_octets() {
        let message = Message::new(b"{}", "e-1");
        let other = Message::from_octets(message.octets()).unwrap();
        assert_eq!(
            (other.json(), other.frame(), other.event(), other.event_chunk()),
            (message.json(), message.frame(), message.event(), message.event_chunk())
        );
        assert_eq!(Message::from_octets(b"\x81\x02{"), None);
    }

    #[test]
    fn an_event_has_one_line_of_data_whatever_ends_the_lines_of_the_json() {
        assert_eq!(event("{\r\"a\":\n\r\n1}"), "data: { \"a\":   1}\nid: 0000000e-7\n\n");
        assert_eq!(event("\n1\r"), "data:  1 \nid: 0000000e-7\n\n");
        let message = Message::new(b"[\n]", "e-1");
        let [_, once] = message.event();
        let [_, again] = message.clone().event();
        assert_eq!((message.json(), once.as_ptr()), (&b"[\n]"[..], again.as_ptr()));
    }

    #[test]
    fn a_chunk_says_how_long_its_event_is_and_ends_behind_it() {
        for json in ["{}".to_owned(), "[\r\n1,\n2]".to_owned(), "1".repeat(70_000)] {
            let message = Message::new(json.as_bytes(), "0000000e-7");
            let event = event(&json);
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            assert_eq!(message.event_chunk().concat(), chunk.as_bytes());
        }
    }

    #[test]
    fn whoever_asks_for_the_deflated_form_it_is_made_once() {
        let message = Message::new(b"{}", "e-1");
        let (mut made, sharer) = (0, message.clone());
        for message in [&message, &sharer, &message] {
            let deflated = message.deflated(|json| {
                made += 1;
                Some(Bytes::copy_from_slice(&json[..1]))
            });
            assert_eq!(deflated.as_deref(), Some(&b"{"[..]));
        }
        assert_eq!(made, 1);
        let useless = Message::new(b"{}", "e-1");
        assert_eq!(useless.deflated(|_| None), None);
        assert_eq!(useless.deflated(|_| unreachable!("it was of no use")), None);
    }
}
