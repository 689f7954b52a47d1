//! Decodes replies as they come. It keeps no input: an octet is looked at when it comes, and goes into the value that it belongs to.
//! No recursion, and no memory for what is only announced. Invariant: between two replies it owns no memory.

use bytes::Bytes;

use crate::wire::resp::RespError;
use crate::wire::resp::aggregate::{self, Aggregate};
use crate::wire::resp::blob::{self, Blob};
use crate::wire::resp::line;
use crate::wire::resp::reply::{Reply, ServerError};

/// How much one reply may take. More is an error, as early as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many octets it has as it is sent.
    pub reply_bytes: usize,
    /// Of how many values it consists: itself, those within others, attributes. One takes 40 bytes beside its octets, some more while
    /// others are still to come.
    pub elements: usize,
    /// How many aggregates are within each other. What is dropped or compared recurses as deep.
    pub depth: u8,
}

impl Default for Limits {
    /// 256 MiB, a million values, 32 deep.
    fn default() -> Self {
        Self { reply_bytes: 256 * 1024 * 1024, elements: 1_000_000, depth: 32 }
    }
}

/// The replies of one connection. RESP2 and RESP3 need not be told apart: what they share means the same.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    unfinished: Unfinished,
    broken: Option<RespError>,
}

/// What has come of the next reply.
#[derive(Debug, Default)]
struct Unfinished {
    bytes: usize,
    elements: usize,
    /// Those that are not whole: each is a value of the one before it.
    aggregates: Vec<Aggregate>,
    part: Part,
}

/// What has come of a value that is no aggregate, or of the head of one.
#[derive(Debug, Default)]
enum Part {
    #[default]
    Nothing,
    Line(Kind, Vec<u8>),
    Blob(Blob),
}

/// What the first octet of a value says.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Simple,
    Error,
    Integer,
    Null,
    Boolean,
    Double,
    BigNumber,
    Blob(blob::Kind),
    Aggregate(aggregate::Kind),
}

impl Decoder {
    /// Of a new connection.
    pub fn new(limits: Limits) -> Self {
        Self { limits, unfinished: Unfinished::default(), broken: None }
    }

    /// Whether what has come last belongs to a push that is not whole.
    pub fn is_in_push(&self) -> bool {
        self.unfinished.aggregates.first().is_some_and(Aggregate::is_push)
    }

    /// Takes the next reply off the front of `input`, which has come behind all that was handed in before. `None`: all of the
    /// input is taken, and more has to come first. The cost is linear in the input, however it is cut.
    ///
    /// # Errors
    /// When it is not RESP, or beyond a limit. The connection is of no more use then: each further call says the same.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Reply>, RespError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let outcome = self.unfinished.read(input, self.limits);
        if !matches!(outcome, Ok(None)) {
            self.unfinished = Unfinished::default();
        }
        self.broken = outcome.as_ref().err().copied();
        outcome
    }
}

impl Unfinished {
    fn read(&mut self, input: &mut &[u8], limits: Limits) -> Result<Option<Reply>, RespError> {
        while !input.is_empty() {
            if let Some(value) = self.read_part(input, limits)?
                && let Some(reply) = self.place(value)
            {
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }

    /// Takes a part of a value; the value if it was the last one.
    fn read_part(&mut self, input: &mut &[u8], limits: Limits) -> Result<Option<Reply>, RespError> {
        match &mut self.part {
            Part::Nothing => {
                if let Some(octet) = input.split_off_first() {
                    self.part = Part::Line(Kind::of(*octet)?, Vec::new());
                }
                Ok(None)
            }
            Part::Line(kind, kept) => {
                let Some(line) = line::take(kept, input)? else { return Ok(None) };
                let kind = *kind;
                self.part = Part::Nothing;
                self.count_bytes(1 + line.len() + blob::END.len(), limits)?;
                self.count_element(limits)?;
                self.on_line(kind, &line, limits)
            }
            Part::Blob(blob) => {
                let value = blob.read(input)?;
                if value.is_some() {
                    self.part = Part::Nothing;
                }
                Ok(value)
            }
        }
    }

    /// What a line says: a value, or what is to come.
    fn on_line(&mut self, kind: Kind, line: &[u8], limits: Limits) -> Result<Option<Reply>, RespError> {
        let text = || Bytes::copy_from_slice(line);
        let value = match (kind, line) {
            (Kind::Simple, _) => Reply::Simple(text()),
            (Kind::Error, _) => Reply::Error(ServerError::new(text())),
            (Kind::Integer, _) => Reply::Integer(line::integer(line)?),
            (Kind::Double, _) => Reply::Double(line::double(line)?),
            (Kind::BigNumber, _) if line::is_big_number(line) => Reply::BigNumber(text()),
            (Kind::BigNumber, _) => return Err(RespError::Malformed("not a big number")),
            (Kind::Boolean, b"t") => Reply::Boolean(true),
            (Kind::Boolean, b"f") => Reply::Boolean(false),
            (Kind::Boolean, _) => return Err(RespError::Malformed("not a boolean")),
            (Kind::Null, b"") => Reply::Null,
            (Kind::Null, _) => return Err(RespError::Malformed("a null with a value")),
            (Kind::Blob(blob::Kind::Bulk) | Kind::Aggregate(aggregate::Kind::Array), b"-1") => Reply::Null,
            (Kind::Blob(kind), _) => {
                let length = line::length(line)?;
                self.count_bytes(length.saturating_add(blob::END.len()), limits)?;
                self.part = Part::Blob(Blob::new(kind, length));
                return Ok(None);
            }
            (Kind::Aggregate(kind), _) => return self.open(kind, line::length(line)?, limits),
        };
        Ok(Some(value))
    }

    /// Begins an aggregate; the value if it is empty.
    fn open(
        &mut self,
        kind: aggregate::Kind,
        length: usize,
        limits: Limits,
    ) -> Result<Option<Reply>, RespError> {
        if kind == aggregate::Kind::Push && !self.aggregates.is_empty() {
            return Err(RespError::Malformed("a push within another reply"));
        }
        if self.aggregates.len() >= usize::from(limits.depth) {
            return Err(RespError::TooDeep(limits.depth));
        }
        let values = kind.values(length).filter(|values| *values <= limits.elements - self.elements);
        let aggregate = Aggregate::new(kind, values.ok_or(RespError::TooManyElements(limits.elements))?);
        if aggregate.is_whole() {
            return Ok(aggregate.into_value());
        }
        self.aggregates.push(aggregate);
        Ok(None)
    }

    /// Puts a value where it belongs; it is the reply if it belongs to nothing, or has made that whole.
    fn place(&mut self, mut value: Reply) -> Option<Reply> {
        loop {
            let Some(aggregate) = self.aggregates.last_mut() else { return Some(value) };
            aggregate.push(value);
            if !aggregate.is_whole() {
                return None;
            }
            value = self.aggregates.pop()?.into_value()?;
        }
    }

    fn count_bytes(&mut self, bytes: usize, limits: Limits) -> Result<(), RespError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > limits.reply_bytes {
            Err(RespError::TooManyBytes(limits.reply_bytes))
        } else {
            Ok(())
        }
    }

    fn count_element(&mut self, limits: Limits) -> Result<(), RespError> {
        if self.elements >= limits.elements {
            return Err(RespError::TooManyElements(limits.elements));
        }
        self.elements += 1;
        Ok(())
    }
}

impl Kind {
    fn of(octet: u8) -> Result<Self, RespError> {
        Ok(match octet {
            b'+' => Self::Simple,
            b'-' => Self::Error,
            b':' => Self::Integer,
            b'_' => Self::Null,
            b'#' => Self::Boolean,
            b',' => Self::Double,
            b'(' => Self::BigNumber,
            b'$' => Self::Blob(blob::Kind::Bulk),
            b'=' => Self::Blob(blob::Kind::Verbatim),
            b'!' => Self::Blob(blob::Kind::Error),
            b'*' => Self::Aggregate(aggregate::Kind::Array),
            b'~' => Self::Aggregate(aggregate::Kind::Set),
            b'>' => Self::Aggregate(aggregate::Kind::Push),
            b'%' => Self::Aggregate(aggregate::Kind::Map),
            b'|' => Self::Aggregate(aggregate::Kind::Attributes),
            _ => return Err(RespError::UnknownType(octet)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owns_memory(decoder: &Decoder) -> bool {
        let Unfinished { aggregates, part, .. } = &decoder.unfinished;
        aggregates.capacity() > 0 || !matches!(part, Part::Nothing)
    }

    #[test]
    fn between_two_replies_no_memory_is_owned() {
        let mut decoder = Decoder::new(Limits::default());
        for input in
            ["*1\r\n*2\r\n$1\r\na\r\n+b\r\n", "|1\r\n+a\r\n+b\r\n:1\r\n", "$1\r\na\r\n", "+a\r\n", "*1\r\n?"]
        {
            for octet in input.as_bytes() {
                let outcome = decoder.next(&mut &[*octet][..]);
                assert_eq!(owns_memory(&decoder), outcome == Ok(None), "{input:?}");
            }
        }
    }
}
