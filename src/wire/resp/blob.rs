//! A string of announced length of which a part may have come. It takes memory for what has come, not for what is announced.

use bytes::Bytes;

use crate::wire::resp::reply::{Reply, ServerError};
use crate::wire::resp::{RespError, make_room};

/// What follows a string of announced length.
pub const END: &[u8] = b"\r\n";

/// What a string of announced length is.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Bulk,
    Verbatim,
    Error,
}

/// As much as has come of it.
#[derive(Debug)]
pub struct Blob {
    kind: Kind,
    octets: Vec<u8>,
    /// How many octets are still to come,
    left: usize,
    /// and how much of the end behind them.
    end: &'static [u8],
}

impl Blob {
    pub fn new(kind: Kind, length: usize) -> Self {
        Self { kind, octets: Vec::new(), left: length, end: END }
    }

    /// Takes what belongs to it off the front of the input; `None` while it is not whole.
    ///
    /// # Errors
    /// When it does not end where it should, or is not what it is said to be.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Reply>, RespError> {
        let (here, behind) = input.split_at(input.len().min(self.left));
        *input = behind;
        make_room(&mut self.octets, here.len(), self.left);
        self.octets.extend_from_slice(here);
        self.left -= here.len();
        if self.left > 0 {
            return Ok(None);
        }
        while let Some((expected, end)) = self.end.split_first() {
            let Some(octet) = input.split_off_first() else { return Ok(None) };
            if octet != expected {
                return Err(RespError::Malformed("a string does not end where it should"));
            }
            self.end = end;
        }
        self.value().map(Some)
    }

    fn value(&mut self) -> Result<Reply, RespError> {
        let octets = Bytes::from(std::mem::take(&mut self.octets));
        match (self.kind, &*octets) {
            (Kind::Bulk, _) => Ok(Reply::Bulk(octets)),
            (Kind::Error, _) => Ok(Reply::Error(ServerError::new(octets))),
            (Kind::Verbatim, [_, _, _, b':', ..]) => Ok(Reply::Bulk(octets.slice(4..))),
            (Kind::Verbatim, _) => Err(RespError::Malformed("a verbatim string without a format")),
        }
    }
}
