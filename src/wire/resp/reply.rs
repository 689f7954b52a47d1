//! What a server answers: the values of RESP2 and RESP3, however they were written. It is not decided here what they mean.

use std::fmt::{self, Display, Formatter};

use bytes::Bytes;

/// A reply, or a value within one. Strings own their octets and nothing else: keeping one keeps no other memory.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// A simple string (`+`), as `OK`: without CR and LF.
    Simple(Bytes),
    /// An error, simple (`-`) or bulk (`!`).
    Error(ServerError),
    /// An integer (`:`).
    Integer(i64),
    /// A bulk string (`$`), or the text of a verbatim one (`=`) without its format. Any octets.
    Bulk(Bytes),
    /// `_`, and `$-1` and `*-1` of RESP2.
    Null,
    /// An array (`*`).
    Array(Vec<Reply>),
    /// A set (`~`), in the order in which it came. RESP2 has arrays for them.
    Set(Vec<Reply>),
    /// What nobody has asked for (`>`): it may come between any two replies and answers no command.
    Push(Vec<Reply>),
    /// A map (`%`): its keys and values, in the order in which they came. RESP2 has flat arrays for them.
    Map(Vec<(Reply, Reply)>),
    /// A double (`,`).
    Double(f64),
    /// A boolean (`#`).
    Boolean(bool),
    /// An integer of any size (`(`), in decimal: digits, perhaps behind a sign.
    BigNumber(Bytes),
}

/// What a server says that has refused a command, or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError(Bytes);

impl ServerError {
    pub(super) fn new(text: Bytes) -> Self {
        Self(text)
    }

    /// The first word, which says what kind of error it is: `ERR`, `NOAUTH`, `READONLY`, `MOVED`. Empty if it is not text.
    pub fn code(&self) -> &str {
        let first = self.0.split(|octet| octet.is_ascii_whitespace()).next();
        first.and_then(|word| str::from_utf8(word).ok()).unwrap_or_default()
    }
}

/// All of it, the code first. It is not text for certain, and may contain control characters.
impl Display for ServerError {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(formatter)
    }
}
