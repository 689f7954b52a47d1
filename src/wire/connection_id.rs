//! The id of a client, which its welcome tells it: of the process that has let it in, and how many that had let in by then. It stays
//! the same when others take the connection over.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Of one connection, among all there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConnectionId {
    /// What the process has drawn.
    pub epoch: u32,
    /// From 1 on; after four billion again from 0.
    pub number: u32,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.epoch, self.number)
    }
}

/// It has not the form of one.
#[derive(Debug, PartialEq, Eq)]
pub struct NoConnectionId;

impl FromStr for ConnectionId {
    type Err = NoConnectionId;

    fn from_str(text: &str) -> Result<Self, NoConnectionId> {
        let (epoch, number) = text.split_once('-').ok_or(NoConnectionId)?;
        let epoch = u32::from_str_radix(epoch, 16).map_err(|_| NoConnectionId)?;
        Ok(Self { epoch, number: number.parse().map_err(|_| NoConnectionId)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = ConnectionId { epoch: 0xbeef, number: 17 };
        assert_eq!((id.to_string(), "0000beef-17".parse()), ("0000beef-17".to_owned(), Ok(id)));
        for text in ["", "17", "x-1", "1-x", "-"] {
            assert_eq!(text.parse::<ConnectionId>(), Err(NoConnectionId), "{text}");
        }
    }
}
