//! What clients offer of compression (RFC 7692) and what they make of it, without the server's own compressor, inflater and
//! reader of offers.

use std::fmt;

use flate2::{Compress, Compression, FlushCompress};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use crate::random::Random;

/// What a flush ends with, and a message does not (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The server leaves alone what is shorter.
const WORTHWHILE_BYTES: usize = 256;

/// What a client that has agreed on compression inflates with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    bits: u8,
    /// It was asked for by name, and so is what is answered.
    is_named: bool,
}

/// As the server has to answer it.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("permessage-deflate; server_no_context_takeover; client_no_context_takeover")?;
        if self.is_named { write!(f, "; server_max_window_bits={}", self.bits) } else { Ok(()) }
    }
}

impl Window {
    /// As large as there are.
    pub const LARGEST: Self = Self { bits: 15, is_named: false };

    pub fn named(bits: u8) -> Self {
        Self { bits, is_named: true }
    }

    /// Whether a message of this length is to come compressed, if that makes it shorter.
    pub fn takes(self, bytes: usize) -> bool {
        bytes >= WORTHWHILE_BYTES && (self.bits == 15 || bytes <= 1 << self.bits)
    }

    /// The message whose compressed form this is; `None` if it needs a larger window, or is not whole.
    pub fn inflate(self, payload: &[u8]) -> Option<Vec<u8>> {
        let (mut stream, mut ring) = (DecompressorOxide::new(), vec![0; 1 << self.bits]);
        let (octets, mut message) = ([payload, &TAIL].concat(), Vec::new());
        let (mut rest, mut at) = (&octets[..], 0);
        loop {
            let (status, taken, written) =
                decompress(&mut stream, rest, &mut ring, at, TINFL_FLAG_HAS_MORE_INPUT);
            message.extend_from_slice(&ring[at..at + written]);
            (rest, at) = (&rest[taken..], (at + written) % ring.len());
            match status {
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput => return rest.is_empty().then_some(message),
                _ => return None,
            }
        }
    }

    /// What a client with this window makes of a message, at whichever level.
    pub fn deflate(self, random: &mut Random, message: &[u8]) -> Vec<u8> {
        let level = Compression::new(u32::try_from(random.below(10)).expect("a digit"));
        let bits = random.within(9..usize::from(self.bits.max(9)) + 1);
        let mut stream = Compress::new_with_window_bits(level, false, u8::try_from(bits).expect("few"));
        let mut payload = Vec::with_capacity(message.len() * 2 + 100);
        // Some say that a block is the last one, and some do not take the tail away.
        let (flush, end): (_, &[u8]) = match random.below(10) {
            0 => (FlushCompress::Finish, b"\0"),
            _ => (FlushCompress::Sync, b""),
        };
        stream.compress_vec(message, &mut payload, flush).expect("there is room");
        if flush == FlushCompress::Sync && random.chance(90) {
            payload.truncate(payload.len() - TAIL.len());
        }
        payload.extend_from_slice(end);
        payload
    }
}

/// How many bytes the server may make of a message for those who have agreed on it; `None` where it has no use for that.
pub fn deflated_bytes(message: &[u8]) -> Option<usize> {
    if message.len() < WORTHWHILE_BYTES {
        return None;
    }
    let mut payload = Vec::with_capacity(message.len() * 2 + 100);
    let mut stream = Compress::new(Compression::default(), false);
    stream.compress_vec(message, &mut payload, FlushCompress::Sync).expect("there is room");
    Some(payload.len() - TAIL.len()).filter(|bytes| *bytes < message.len())
}

/// What a client says of compression in its handshake.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    /// Header fields, each with its CRLF.
    pub fields: String,
    /// What it comes to where compression is switched on.
    accepted: Option<Window>,
}

impl Offer {
    /// None, the usual ones, and several of which the first good one counts.
    pub fn draw(random: &mut Random) -> Self {
        let bits = if random.chance(5) { 8 } else { random.within(9..16) };
        let window = Some(Window::named(u8::try_from(bits).expect("few")));
        let (list, accepted) = match random.below(11) {
            0..3 => return Self::default(),
            3 => ("permessage-deflate".to_owned(), Some(Window::LARGEST)),
            4 => ("permessage-deflate; client_max_window_bits".to_owned(), Some(Window::LARGEST)),
            5 | 6 => {
                let form = "permessage-deflate; client_max_window_bits; server_max_window_bits";
                (format!("{form}={bits}"), window)
            }
            7 => (format!("x-other, permessage-deflate;server_max_window_bits = \"{bits}\""), window),
            8 => {
                let bad = "permessage-deflate; server_max_window_bits=16";
                (
                    format!("{bad},permessage-deflate; server_max_window_bits={bits}, permessage-deflate"),
                    window,
                )
            }
            9 => {
                let second = format!("permessage-deflate; server_max_window_bits={bits}");
                (format!("permessage-deflate; mux\r\nSec-WebSocket-Extensions: {second}"), window)
            }
            _ => ("permessage-deflate; client_max_window_bits=7, permessage-bzip2".to_owned(), None),
        };
        Self { fields: format!("Sec-WebSocket-Extensions: {list}\r\n"), accepted }
    }

    /// What a server has to answer that compresses or does not.
    pub fn agreed(&self, compresses: bool) -> Option<Window> {
        self.accepted.filter(|_| compresses)
    }

    /// A request with it.
    pub fn added_to(&self, request: &str) -> String {
        request.replacen("Host: x\r\n", &format!("Host: x\r\n{}", self.fields), 1)
    }
}
