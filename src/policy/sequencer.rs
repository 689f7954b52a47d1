//! Gives each publication its position in the one order that all clients hear. Knows neither topics nor listeners:
//! ordering is a role, and history and hub only apply a position that they are given.

use std::fmt;

/// The place of a publication in the order of one epoch; 0 stands before the first.
pub type Position = u64;

/// An id as clients see it, opaque to them: the epoch tells one history from another, the position orders within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicationId {
    epoch: u32,
    position: Position,
}

impl fmt::Display for PublicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.epoch, self.position)
    }
}

/// Counts positions within an epoch.
#[derive(Debug)]
pub struct Sequencer {
    newest: PublicationId,
}

impl Sequencer {
    /// Starts an epoch. Its number must differ from those before it, or old ids would seem to fit.
    pub fn new(epoch: u32) -> Self {
        Self { newest: PublicationId { epoch, position: 0 } }
    }

    /// The id of the newest publication so far; position 0 when there is none.
    pub fn newest(&self) -> PublicationId {
        self.newest
    }

    /// The id of the next publication. Whoever asks must publish.
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
        let mut sequencer = Sequencer::new(0xbeef);
        assert_eq!(sequencer.newest().to_string(), "0000beef-0");
        assert_eq!(sequencer.advance().to_string(), "0000beef-1");
        assert_eq!(sequencer.advance(), sequencer.newest());
        assert_eq!(sequencer.newest().to_string(), "0000beef-2");
    }
}
