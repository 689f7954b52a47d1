//! Gives each publication its position in the one order that all clients hear. Knows neither topics nor subscribers:
//! ordering is a role, and history and hub only apply the positions that they are given.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The place of a publication in the order of one epoch; 0 stands before the first.
pub type Position = u64;

/// No server gets this far: a million publications a second take 285 years. It leaves room to go on counting.
pub const MAX_POSITION: Position = 1 << 53;

const EPOCH_DIGITS: usize = 8;

/// Of 64 bits.
const POSITION_DIGITS: usize = 20;

const LONGEST_ID: usize = EPOCH_DIGITS + 1 + POSITION_DIGITS;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// An id as clients see it, opaque to them: the epoch tells one history from another, the position orders within it. Of two
/// that were given by one order, the later one is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublicationId {
    epoch: u32,
    position: Position,
}

/// As `{:08x}-{}` would write them, but in one piece: each publication has its id written several times.
impl fmt::Display for PublicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'0'; LONGEST_ID];
        let (mut begin, mut left) = (LONGEST_ID, self.position);
        while begin == LONGEST_ID || left > 0 {
            begin -= 1;
            text[begin] = DIGITS[(left % 10) as usize];
            left /= 10;
        }
        begin -= 1;
        text[begin] = b'-';
        for nibble in 0..EPOCH_DIGITS {
            begin -= 1;
            text[begin] = DIGITS[(self.epoch >> (4 * nibble) & 0xf) as usize];
        }
        f.write_str(str::from_utf8(&text[begin..]).expect("digits are ASCII"))
    }
}

impl PublicationId {
    /// The id of the publication at this position of this epoch.
    pub const fn new(epoch: u32, position: Position) -> Self {
        Self { epoch, position }
    }

    /// Its epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The position within its epoch.
    pub fn position(&self) -> Position {
        self.position
    }
}

/// Not an id of this server, of any epoch.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAnId;

impl FromStr for PublicationId {
    type Err = NotAnId;

    /// Reads what `Display` writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (epoch, position) = text.split_once('-').ok_or(NotAnId)?;
        let epoch = u32::from_str_radix(epoch, 16).map_err(|_| NotAnId)?;
        let id = Self { epoch, position: position.parse().map_err(|_| NotAnId)? };
        if id.to_string() == text { Ok(id) } else { Err(NotAnId) }
    }
}

/// Counts positions within an epoch.
#[derive(Debug)]
pub struct Sequencer {
    newest: PublicationId,
}

impl Sequencer {
    /// Goes on behind a position of an epoch: 0 for a new epoch, whose number must differ from earlier ones, or old ids
    /// would seem to belong to it.
    pub fn new(epoch: u32, newest: Position) -> Self {
        Self { newest: PublicationId { epoch, position: newest } }
    }

    /// The epoch of all ids from here.
    pub fn epoch(&self) -> u32 {
        self.newest.epoch
    }

    /// The id of the newest publication so far; position 0 when there is none.
    pub fn newest(&self) -> PublicationId {
        self.newest
    }

    /// The id of the next publication. The caller must publish under it.
    pub fn advance(&mut self) -> PublicationId {
        self.newest.position += 1;
        self.newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_rise_by_one_and_carry_their_epoch() {
        let mut sequencer = Sequencer::new(0xbeef, 0);
        assert_eq!(sequencer.newest().to_string(), "0000beef-0");
        assert_eq!(sequencer.advance().to_string(), "0000beef-1");
        assert_eq!(sequencer.advance(), sequencer.newest());
        assert_eq!(sequencer.newest().to_string(), "0000beef-2");
        assert_eq!(Sequencer::new(0xbeef, 7).advance().to_string(), "0000beef-8");
    }

    #[test]
    fn an_id_is_its_epoch_in_eight_hexadecimal_digits_and_its_position_in_decimal_ones() {
        for epoch in [0, 0xf, 0x0123_4567, 0x89ab_cdef, u32::MAX] {
            for position in [0, 9, 10, 1_234_567_890, MAX_POSITION, u64::MAX] {
                let expected = format!("{epoch:08x}-{position}");
                assert_eq!(PublicationId::new(epoch, position).to_string(), expected);
            }
        }
    }

    #[test]
    fn an_id_is_read_only_as_it_was_written() {
        let id: PublicationId = "0000beef-42".parse().unwrap();
        assert_eq!((id.epoch(), id.position()), (0xbeef, 42));
        for nonsense in [
            "",
            "-",
            "beef-42",
            "0000beef-042",
            "0000beef-+42",
            "0000BEEF-42",
            "0000beef-99999999999999999999",
        ] {
            assert_eq!(nonsense.parse::<PublicationId>(), Err(NotAnId), "{nonsense}");
        }
    }
}
