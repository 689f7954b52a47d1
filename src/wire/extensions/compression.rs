//! What was agreed on for the messages of one connection.

use std::fmt;
use std::num::NonZeroU8;

use super::LARGEST_WINDOW_BITS;
use crate::wire::handover::Damaged;
use crate::wire::handover::record;

/// RFC 7692 §7.1.2.1.
const SMALLEST_WINDOW_BITS: u8 = 8;

/// Compression as it is agreed on for one connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compression {
    /// The client has less than the largest window, or says how much it has.
    pub(super) server_max_window_bits: Option<NonZeroU8>,
}

impl Compression {
    /// Whether a client can inflate a message of this length that was compressed with the largest window: all of it has to fit
    /// into the client's own.
    pub fn fits(self, message_bytes: usize) -> bool {
        let bits = self.server_max_window_bits.map_or(LARGEST_WINDOW_BITS, NonZeroU8::get);
        bits >= LARGEST_WINDOW_BITS || message_bytes <= 1 << bits
    }

    /// As it is handed over to another process.
    pub fn pack(self) -> record::Compression {
        record::Compression { server_max_window_bits: self.server_max_window_bits.map(NonZeroU8::get) }
    }

    /// What another process has agreed on.
    ///
    /// # Errors
    /// When nobody can have.
    pub fn unpack(record: record::Compression) -> Result<Self, Damaged> {
        let bits = record.server_max_window_bits;
        let is_possible =
            bits.is_none_or(|bits| (SMALLEST_WINDOW_BITS..=LARGEST_WINDOW_BITS).contains(&bits));
        let server_max_window_bits = bits.and_then(NonZeroU8::new);
        if is_possible { Ok(Self { server_max_window_bits }) } else { Err(Damaged) }
    }
}

/// The value of `Sec-WebSocket-Extensions` in the answer. `client_max_window_bits` is not in it: any client may be heard with the
/// largest window, and one whose own is smaller uses that without being told (RFC 7692 §7.1.2.2).
impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("permessage-deflate; server_no_context_takeover; client_no_context_takeover")?;
        match self.server_max_window_bits {
            // Whoever names a window has to be answered with it, or a smaller one (RFC 7692 §7.1.2.1).
            Some(bits) => write!(f, "; server_max_window_bits={bits}"),
            None => Ok(()),
        }
    }
}
