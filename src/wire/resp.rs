//! The protocol of Redis and Valkey (RESP2 and RESP3), as a client speaks it: replies are decoded as they come, commands
//! encoded. What a command or a reply means is for others to say.
//!
//! Source: <https://redis.io/docs/latest/develop/reference/protocol-spec/>. Deliberately absent: strings and aggregates whose
//! length is not known ahead (`$?`, `*?`), which no server sends and which are refused; what RESP3 calls attributes, which are
//! read and dropped; inline commands.

mod aggregate;
mod blob;
pub mod command;
pub mod decoder;
mod line;
pub mod reply;

use thiserror::Error;

/// The longest line, its CR included: a simple string, an error, a number, a length. Redis has the same limit on the lines that
/// it reads.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Why no more replies can be taken from a connection: what came is not RESP, or more than a limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RespError {
    /// No type begins with this octet: somebody speaks another protocol, or what came before was misread.
    #[error("a reply of an unknown type, {:?}", char::from(*.0))]
    UnknownType(u8),
    /// It begins like a reply, but is none, for this reason.
    #[error("a malformed reply: {0}")]
    Malformed(&'static str),
    /// A string or an aggregate whose length is not known ahead.
    #[error("a streamed reply, which is not supported")]
    Streamed,
    /// One reply is longer than this limit on its octets.
    #[error("a reply of more than {0} bytes")]
    TooManyBytes(usize),
    /// One reply has more values than this limit, those within others and attributes included.
    #[error("a reply of more than {0} elements")]
    TooManyElements(usize),
    /// More aggregates are within each other than this limit.
    #[error("a reply nested deeper than {0}")]
    TooDeep(u8),
}

/// Reserves memory for what comes now, of all that is left: little more than for what has come before, and never more than that
/// all takes.
fn make_room<T>(list: &mut Vec<T>, coming: usize, left: usize) {
    if list.capacity() - list.len() < coming {
        list.reserve_exact(left.min(coming.max(list.len()).max(4)));
    }
}

#[cfg(test)]
#[path = "resp/oracle_tests.rs"]
mod oracle;

#[cfg(test)]
#[path = "resp_tests.rs"]
mod tests;
