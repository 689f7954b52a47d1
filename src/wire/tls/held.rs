//! What has come of a connection's records and cannot be used yet: a record that is not whole, and before it those that a handshake
//! message began with. No cryptography. Invariant: no memory while nothing is held, and never more than was asked for.

/// Type, version and length: what a record begins with (RFC 8446 §5.1).
const HEADER_BYTES: usize = 5;

/// The longest record there is: its header, 16 KiB, and what encrypting may add to that (RFC 5246 §6.2.3).
pub const RECORD_BYTES: usize = HEADER_BYTES + 16 * 1024 + 2048;

/// What is held of one connection.
#[derive(Debug, Default)]
pub struct Held {
    bytes: Vec<u8>,
    /// Where the record begins that is not whole.
    unfinished_from: usize,
}

/// What taking a piece has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Some of the header of a record, which may be nonsense already, or the rest of one: it is to be looked at.
    Something,
    /// Some of what is within one: there is nothing to be seen yet.
    Part,
    /// More would be held than may be.
    TooMuch,
}

impl Held {
    /// How many bytes are held.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All of it, to be looked at, and decrypted in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Takes the next piece off the front of the input: as much as the header of a record lacks, or the rest of it.
    pub fn take(&mut self, input: &mut &mut [u8], most_bytes: usize) -> Taken {
        let unfinished = &self.bytes[self.unfinished_from..];
        let missing = record_bytes(unfinished).unwrap_or(HEADER_BYTES) - unfinished.len();
        let piece = input.split_off_mut(..missing.min(input.len())).unwrap_or_default();
        if self.bytes.len() + piece.len() > most_bytes {
            return Taken::TooMuch;
        }
        self.make_room(piece.len(), missing);
        self.bytes.extend_from_slice(piece);
        if piece.len() < missing && self.bytes.len() - self.unfinished_from > HEADER_BYTES {
            return Taken::Part;
        }
        self.unfinished_from += unfinished_from(&self.bytes[self.unfinished_from..]);
        Taken::Something
    }

    /// Keeps what is left of the input: whole records, which had something unfinished behind them from there on.
    pub fn keep(&mut self, rest: &[u8], unfinished_from: usize, most_bytes: usize) -> Taken {
        if rest.len() > most_bytes {
            return Taken::TooMuch;
        }
        debug_assert!(self.bytes.is_empty(), "what comes is added by taking it");
        *self = Self { bytes: rest.to_vec(), unfinished_from };
        Taken::Part
    }

    /// Drops as much of the front, which has been used.
    pub fn discard(&mut self, used_bytes: usize) {
        if used_bytes == self.bytes.len() {
            *self = Self::default();
        } else {
            self.bytes.drain(..used_bytes);
            self.unfinished_from -= used_bytes;
        }
    }

    /// Reserves memory for what comes now, of all that is missing: little more than for what has come before.
    fn make_room(&mut self, coming: usize, missing: usize) {
        if self.bytes.capacity() - self.bytes.len() < coming {
            self.bytes.reserve_exact(missing.min(coming.max(self.bytes.len())));
        }
    }
}

/// Where the first record begins that is not whole. One whose header is nonsense is none, and whoever reads it says so.
pub fn unfinished_from(bytes: &[u8]) -> usize {
    let mut from = 0;
    while let Some(length) = record_bytes(&bytes[from..]).filter(|length| *length <= bytes.len() - from) {
        from += length;
    }
    from
}

/// How long the record is, as its header says once it is there.
fn record_bytes(record: &[u8]) -> Option<usize> {
    let [_, _, _, high, low] = record.first_chunk::<HEADER_BYTES>()?;
    Some(HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low])))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: [u8; 8] = [23, 3, 3, 0, 3, 1, 2, 3];

    #[test]
    fn a_record_is_put_together_of_its_pieces_and_then_let_go_of() {
        let mut held = Held::default();
        let mut sizes = vec![];
        for octet in &mut RECORD.clone() {
            let taken = held.take(&mut std::slice::from_mut(octet), 100);
            assert_eq!(taken == Taken::Something, held.len() <= 5 || held.len() == 8);
            sizes.push(held.bytes.capacity());
        }
        assert_eq!(held.bytes_mut(), RECORD);
        assert!(sizes.is_sorted() && sizes[4] == 5 && sizes[7] == 8, "{sizes:?}");
        held.discard(8);
        assert_eq!((held.len(), held.bytes.capacity()), (0, 0));
    }

    #[test]
    fn what_belongs_to_the_next_record_is_left_in_the_input() {
        let mut held = Held::default();
        held.keep(&RECORD[..6], 0, 100);
        let mut rest = [RECORD, RECORD].concat();
        let mut input = &mut rest[6..];
        assert_eq!(held.take(&mut input, 100), Taken::Something);
        assert_eq!(input, RECORD);
    }

    #[test]
    fn records_that_are_needed_together_are_held_together_up_to_the_limit() {
        let mut held = Held::default();
        held.keep(&[RECORD, RECORD].concat(), 16, 20);
        assert_eq!(held.take(&mut &mut [23, 3][..], 20), Taken::Something);
        assert_eq!(held.take(&mut &mut [3, 0, 1][..], 20), Taken::TooMuch);
        held.discard(8);
        assert_eq!(held.unfinished_from, 8);
    }

    #[test]
    fn what_is_only_announced_takes_no_memory() {
        let mut held = Held::default();
        held.keep(&[23, 3, 3, 64, 0], 0, RECORD_BYTES);
        held.take(&mut &mut [0][..], RECORD_BYTES);
        assert!(held.bytes.capacity() <= 10);
    }
}
