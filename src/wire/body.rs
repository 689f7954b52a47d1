//! Request bodies (RFC 9112 §6 and §7.1): finds their end and collects them, up to a limit.

use httparse::{Status, parse_chunk_size};

use crate::wire::http::Refusal;

/// A chunk's size with its extensions, or a trailer field, at most.
const MAX_LINE_BYTES: usize = 4096;

/// Trailer fields are read and dropped; this many at most.
const MAX_TRAILERS: u8 = 100;

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By `Content-Length`.
    Length(u64),
    /// By a last chunk of size 0.
    Chunked,
}

/// A body on its way in.
#[derive(Debug)]
pub struct Body {
    collected: Vec<u8>,
    limit: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes are still to come of a body of known length.
    Plain(usize),
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    Trailers {
        seen: u8,
    },
    Whole,
}

impl Body {
    /// A body whose first byte is the next one.
    ///
    /// # Errors
    /// `BodyTooLarge` when it is announced to be.
    pub fn new(framing: Framing, limit: usize) -> Result<Self, Refusal> {
        let state = match framing {
            Framing::Chunked => State::ChunkSize,
            Framing::Length(0) => State::Whole,
            Framing::Length(length) => {
                let length = usize::try_from(length).ok().filter(|length| *length <= limit);
                State::Plain(length.ok_or(Refusal::BodyTooLarge)?)
            }
        };
        Ok(Self { collected: Vec::new(), limit, state })
    }

    /// Takes what belongs to the body from the start of `input`, and says how much that was.
    ///
    /// # Errors
    /// `BodyTooLarge`, or `Malformed` when the chunks are not chunks.
    pub fn read(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            let (taken, next) = match self.state {
                State::Whole => return Ok(used),
                State::Plain(0) => (0, State::Whole),
                State::Plain(remaining) => {
                    let taken = self.collect(rest, remaining);
                    (taken, State::Plain(remaining - taken))
                }
                State::Chunk(0) => (0, State::ChunkEnd),
                State::Chunk(remaining) => {
                    let taken = self.collect(rest, remaining);
                    (taken, State::Chunk(remaining - taken))
                }
                // An empty size would be read as 0.
                State::ChunkSize if rest.first().is_some_and(|octet| !octet.is_ascii_hexdigit()) => {
                    return Err(Refusal::Malformed("chunk without a size"));
                }
                State::ChunkSize => match parse_chunk_size(rest) {
                    Ok(Status::Complete((taken, 0))) => (taken, State::Trailers { seen: 0 }),
                    Ok(Status::Complete((taken, size))) => (taken, State::Chunk(self.room_for(size)?)),
                    Ok(Status::Partial) if rest.len() <= MAX_LINE_BYTES => return Ok(used),
                    Ok(Status::Partial) | Err(_) => return Err(Refusal::Malformed("chunk without a size")),
                },
                State::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => (2, State::ChunkSize),
                    [] | [b'\r'] => return Ok(used),
                    _ => return Err(Refusal::Malformed("chunk longer than its size")),
                },
                State::Trailers { seen } => match rest.windows(2).position(|pair| pair == b"\r\n") {
                    Some(0) => (2, State::Whole),
                    Some(end) if seen < MAX_TRAILERS => (end + 2, State::Trailers { seen: seen + 1 }),
                    None if rest.len() <= MAX_LINE_BYTES => return Ok(used),
                    _ => return Err(Refusal::HeadTooLarge),
                },
            };
            if taken == 0 && next == self.state {
                return Ok(used);
            }
            used += taken;
            self.state = next;
        }
    }

    /// The body, once all of it has come.
    pub fn whole(self) -> Result<Vec<u8>, Self> {
        if self.state == State::Whole { Ok(self.collected) } else { Err(self) }
    }

    fn collect(&mut self, rest: &[u8], remaining: usize) -> usize {
        let taken = remaining.min(rest.len());
        self.collected.extend_from_slice(&rest[..taken]);
        taken
    }

    fn room_for(&self, size: u64) -> Result<usize, Refusal> {
        let room = self.limit - self.collected.len();
        usize::try_from(size).ok().filter(|size| *size <= room).ok_or(Refusal::BodyTooLarge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads in pieces of this size; the body and what was left behind it.
    fn read(framing: Framing, input: &[u8], piece: usize) -> Result<(Option<Vec<u8>>, Vec<u8>), Refusal> {
        let mut body = Body::new(framing, 20)?;
        let mut buffer = Vec::new();
        for part in input.chunks(piece) {
            buffer.extend_from_slice(part);
            let used = body.read(&buffer)?;
            buffer.drain(..used);
        }
        Ok((body.whole().ok(), buffer))
    }

    fn read_any(framing: Framing, input: &[u8]) -> Result<(Option<Vec<u8>>, Vec<u8>), Refusal> {
        let whole = read(framing, input, input.len().max(1));
        assert_eq!(whole, read(framing, input, 1), "cutting the input changed its meaning");
        whole
    }

    #[test]
    fn a_body_of_known_length_ends_there() {
        assert_eq!(read_any(Framing::Length(3), b"abcd"), Ok((Some(b"abc".into()), b"d".into())));
        assert_eq!(read_any(Framing::Length(3), b"ab"), Ok((None, vec![])));
        assert_eq!(read_any(Framing::Length(0), b"x"), Ok((Some(vec![]), b"x".into())));
        assert_eq!(read_any(Framing::Length(21), b""), Err(Refusal::BodyTooLarge));
    }

    #[test]
    fn chunks_are_put_together_and_extensions_and_trailers_dropped() {
        let input = b"3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nTrailer: t\r\n\r\nGET";
        assert_eq!(read_any(Framing::Chunked, input), Ok((Some(b"abcd".into()), b"GET".into())));
        assert_eq!(read_any(Framing::Chunked, b"3\r\nab"), Ok((None, vec![])));
    }

    #[test]
    fn what_are_no_chunks_is_refused() {
        for input in [&b"x\r\n"[..], b"3\r\nabcd\r\n", b"-1\r\n", b"\r\n", b"3\nabc"] {
            assert!(matches!(read_any(Framing::Chunked, input), Err(Refusal::Malformed(_))), "{input:?}");
        }
        assert_eq!(read_any(Framing::Chunked, b"15\r\n"), Err(Refusal::BodyTooLarge));
        assert_eq!(
            read_any(Framing::Chunked, b"14\r\naaaaaaaaaaaaaaaaaaaa\r\n1\r\n"),
            Err(Refusal::BodyTooLarge)
        );
        assert_eq!(read_any(Framing::Chunked, b"ffffffffffffffff\r\n"), Err(Refusal::BodyTooLarge));
        let endless = [&b"0\r\n"[..], &b"a: b\r\n".repeat(200)].concat();
        assert_eq!(read_any(Framing::Chunked, &endless), Err(Refusal::HeadTooLarge));
    }
}
