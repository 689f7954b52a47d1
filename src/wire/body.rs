//! Request bodies (RFC 9112 §6 and §7.1): finds their end and collects them, up to a limit.

use httparse::{EMPTY_HEADER, Error, Status, parse_headers};

use crate::wire::head::{Head, MAX_HEAD_BYTES, has_bare_line_feed};
use crate::wire::refusal::Refusal;

/// A chunk's size with its extensions, at most.
const MAX_LINE_BYTES: usize = 4096;

/// The chunk extensions of one body together, at most: nobody reads them.
const MAX_EXTENSION_BYTES: usize = 16 * 1024;

/// A u64 has this many hexadecimal digits.
const MAX_SIZE_DIGITS: usize = 16;

/// The trailer fields of one body, at most; they are read and dropped.
const MAX_TRAILERS: usize = 100;

const NO_SIZE: Refusal = Refusal::Malformed("chunk without a size");
const LONG_SIZE: Refusal = Refusal::Malformed("chunk size too long");
const NO_EXTENSION: Refusal = Refusal::Malformed("chunk size followed by something else than an extension");
const BLANK: Refusal = Refusal::Malformed("chunk size followed by whitespace");
const CONTROL: Refusal = Refusal::Malformed("control character in the line of a chunk size");
const LONG_EXTENSION: Refusal = Refusal::Malformed("chunk extensions too long");

/// What marks the end of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Its length, from `Content-Length`.
    Length(u64),
    /// A last chunk of size 0.
    Chunked,
}

impl Framing {
    /// What marks the end of a request's body (RFC 9112 §6.3).
    ///
    /// # Errors
    /// When the head says two things about it, or something unknown.
    pub fn of(head: &Head<'_>) -> Result<Self, Refusal> {
        let length = head.single("content-length", "more than one Content-Length")?;
        let coding = head.single("transfer-encoding", "more than one Transfer-Encoding")?;
        match (length, coding) {
            (None, None) => Ok(Self::Length(0)),
            (Some(_), Some(_)) => Err(Refusal::Malformed("both Content-Length and Transfer-Encoding")),
            (None, Some(_)) if head.is_http_1_0 => Err(Refusal::Malformed("Transfer-Encoding in HTTP/1.0")),
            (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Self::Chunked),
            (None, Some(_)) => Err(Refusal::UnknownCoding),
            (Some(digits), None) if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) => {
                Err(Refusal::Malformed("Content-Length is not a number"))
            }
            (Some(digits), None) => {
                let length = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
                length.map(Self::Length).ok_or(Refusal::BodyTooLarge)
            }
        }
    }
}

/// A body that is being received.
#[derive(Debug)]
pub struct Body {
    collected: Vec<u8>,
    limit: usize,
    extension_bytes: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A body of known length, of which this many bytes are still to come.
    Plain(usize),
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    Trailers,
    Whole,
}

impl Body {
    /// A body whose first byte is the next one.
    ///
    /// # Errors
    /// `BodyOverLimit` when the announced length is.
    pub fn new(framing: Framing, limit: usize) -> Result<Self, Refusal> {
        let state = match framing {
            Framing::Chunked => State::ChunkSize,
            Framing::Length(0) => State::Whole,
            Framing::Length(length) => {
                let length = usize::try_from(length).ok().filter(|length| *length <= limit);
                State::Plain(length.ok_or(Refusal::BodyOverLimit(limit))?)
            }
        };
        Ok(Self { collected: Vec::new(), limit, extension_bytes: 0, state })
    }

    /// Takes what belongs to the body from the start of `input`, and says how much that was.
    ///
    /// # Errors
    /// `BodyOverLimit`, or `Malformed` when the chunks are not chunks.
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
                State::ChunkSize => {
                    let Some(ChunkLine { size, extension_bytes, taken }) = ChunkLine::read(rest)? else {
                        return Ok(used);
                    };
                    self.extension_bytes += extension_bytes;
                    if self.extension_bytes > MAX_EXTENSION_BYTES {
                        return Err(LONG_EXTENSION);
                    }
                    let next = if size == 0 { State::Trailers } else { State::Chunk(self.room_for(size)?) };
                    (taken, next)
                }
                State::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => (2, State::ChunkSize),
                    [] | [b'\r'] => return Ok(used),
                    _ => return Err(Refusal::Malformed("chunk longer than its size")),
                },
                State::Trailers => match skip_trailers(rest)? {
                    Some(taken) => (taken, State::Whole),
                    None => return Ok(used),
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
        usize::try_from(size).ok().filter(|size| *size <= room).ok_or(Refusal::BodyOverLimit(self.limit))
    }
}

/// A chunk's first line.
struct ChunkLine {
    size: u64,
    extension_bytes: usize,
    /// How long the line is, including its end.
    taken: usize,
}

impl ChunkLine {
    /// Reads the line, once it is whole. Extensions are skipped. Whatever some parsers take for the end of the line or of
    /// the size, and others do not, is refused.
    fn read(input: &[u8]) -> Result<Option<Self>, Refusal> {
        let start = &input[..input.len().min(MAX_LINE_BYTES + 2)];
        let end = start.windows(2).position(|pair| pair == b"\r\n");
        let line = end.map_or(start.strip_suffix(b"\r").unwrap_or(start), |end| &start[..end]);
        let (digits, behind) =
            line.split_at(line.iter().take_while(|octet| octet.is_ascii_hexdigit()).count());
        let blank_bytes = behind.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
        let has_extension = match behind.get(blank_bytes) {
            Some(octet) => *octet == b';',
            None => end.is_none() || blank_bytes == 0,
        };
        match () {
            () if digits.is_empty() && (end.is_some() || !line.is_empty()) => Err(NO_SIZE),
            () if digits.len() > MAX_SIZE_DIGITS => Err(LONG_SIZE),
            () if behind.iter().any(|octet| octet.is_ascii_control() && *octet != b'\t') => Err(CONTROL),
            () if !has_extension => Err(if blank_bytes > 0 { BLANK } else { NO_EXTENSION }),
            () if line.len() > MAX_LINE_BYTES => Err(LONG_EXTENSION),
            () => Ok(end.map(|end| Self {
                size: number(digits),
                extension_bytes: behind.len(),
                taken: end + 2,
            })),
        }
    }
}

/// The value of these hexadecimal digits.
fn number(digits: &[u8]) -> u64 {
    let text = str::from_utf8(digits).expect("digits are ASCII");
    u64::from_str_radix(text, 16).expect("no more digits than a u64 has, and some")
}

/// The length of the trailer section, including the empty line that ends it, once it is whole (RFC 9112 §7.1.2).
fn skip_trailers(input: &[u8]) -> Result<Option<usize>, Refusal> {
    let parsed = match parse_headers(input, &mut [EMPTY_HEADER; MAX_TRAILERS]) {
        Ok(Status::Complete((length, _))) => Some(length),
        Ok(Status::Partial) => None,
        Err(Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        Err(_) => return Err(Refusal::Malformed("a trailer is not a field")),
    };
    if has_bare_line_feed(&input[..parsed.unwrap_or(input.len())]) {
        return Err(Refusal::Malformed("a trailer is not a field"));
    }
    if parsed.unwrap_or(input.len()) > MAX_HEAD_BYTES { Err(Refusal::HeadTooLarge) } else { Ok(parsed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads in pieces of this size; returns the body and what was left behind it.
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
        assert_eq!(read_any(Framing::Length(21), b""), Err(Refusal::BodyOverLimit(20)));
    }

    #[test]
    fn chunks_are_put_together_and_extensions_and_trailers_dropped() {
        let input = b"3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nTrailer: t\r\n\r\nGET";
        assert_eq!(read_any(Framing::Chunked, input), Ok((Some(b"abcd".into()), b"GET".into())));
        assert_eq!(read_any(Framing::Chunked, b"3\r\nab"), Ok((None, vec![])));
    }

    #[test]
    fn what_is_not_chunked_is_refused() {
        for input in [&b"x\r\n"[..], b"3\r\nabcd\r\n", b"-1\r\n", b"\r\n", b"3\r\nabc\n0\r\n\r\n"] {
            assert!(matches!(read_any(Framing::Chunked, input), Err(Refusal::Malformed(_))), "{input:?}");
        }
        assert_eq!(read_any(Framing::Chunked, b"15\r\n"), Err(Refusal::BodyOverLimit(20)));
        assert_eq!(
            read_any(Framing::Chunked, b"14\r\naaaaaaaaaaaaaaaaaaaa\r\n1\r\n"),
            Err(Refusal::BodyOverLimit(20))
        );
        assert_eq!(read_any(Framing::Chunked, b"ffffffffffffffff\r\n"), Err(Refusal::BodyOverLimit(20)));
        let endless = [&b"0\r\n"[..], b"a: ", &[b'x'; MAX_HEAD_BYTES]].concat();
        assert_eq!(read_any(Framing::Chunked, &endless), Err(Refusal::HeadTooLarge));
        let endless = [&b"0\r\n"[..], &b"a: b\r\n".repeat(200)].concat();
        assert_eq!(read_any(Framing::Chunked, &endless), Err(Refusal::HeadTooLarge));
    }

    #[test]
    fn a_size_is_hexadecimal_digits_and_its_line_is_text_that_ends_with_both_octets() {
        for line in ["3", "003", "0000000000000003", "3;", "3;a=b;c=\"d e\"", "3 ;\ta", "3\t; a", "3;\u{fc}"]
        {
            let input = format!("{line}\r\nabc\r\n0\r\n\r\n");
            let whole = Ok((Some(b"abc".to_vec()), vec![]));
            assert_eq!(read_any(Framing::Chunked, input.as_bytes()), whole, "{line:?}");
        }
        for (lines, why) in [
            (&["", " 3", "+3", "-3", "\n", ";a", "g"][..], NO_SIZE),
            (&["00000000000000003", "11111111111111111111;a"], LONG_SIZE),
            (&["3h", "3,", "3=a", "0x3"], NO_EXTENSION),
            (&["3 3", "3 ", "3\t", "3 a", "3 \t x;"], BLANK),
            (
                &["3\r", "3\n", "3;\n", "3;a\nb", "3;a\rb", "3;a\0", "3;\u{b}", "3;\u{7f}", "3\u{c}", "3 \n"],
                CONTROL,
            ),
        ] {
            for line in lines {
                let input = format!("{line}\r\nabc\r\n0\r\n\r\n");
                assert_eq!(read_any(Framing::Chunked, input.as_bytes()), Err(why), "{line:?}");
            }
        }
        assert_eq!(read_any(Framing::Chunked, b"0x3"), Err(NO_EXTENSION), "told before the line ends");
        assert_eq!(read_any(Framing::Chunked, b"3;a\nabc"), Err(CONTROL), "told before the line ends");
        assert_eq!(read_any(Framing::Chunked, &[b'1'; 20]), Err(LONG_SIZE));
    }

    #[test]
    fn extensions_are_bounded_in_a_line_and_in_all() {
        let chunks = |count: usize, bytes: usize| {
            let chunk = format!("1;{}\r\na\r\n", "x".repeat(bytes - 1));
            format!("{}0\r\n\r\n", chunk.repeat(count)).into_bytes()
        };
        for (count, bytes, piece) in
            [(1, MAX_LINE_BYTES - 1, 997), (4, MAX_LINE_BYTES - 1, 50_000), (16, 1024, 997)]
        {
            let body = vec![b'a'; count];
            assert_eq!(read(Framing::Chunked, &chunks(count, bytes), piece), Ok((Some(body), vec![])));
        }
        for (count, bytes, piece) in
            [(1, MAX_LINE_BYTES, 997), (1, 20_000, 50_000), (5, MAX_LINE_BYTES - 1, 997), (16, 1025, 50_000)]
        {
            assert_eq!(
                read(Framing::Chunked, &chunks(count, bytes), piece),
                Err(LONG_EXTENSION),
                "{count} {bytes}"
            );
        }
        let endless = [&b"1;"[..], &[b'x'; MAX_LINE_BYTES]].concat();
        assert_eq!(read(Framing::Chunked, &endless, 997), Err(LONG_EXTENSION), "told before the line ends");
    }

    #[test]
    fn trailers_are_fields() {
        for trailers in ["", "a: b\r\n", "A:\r\nContent-Length: 7\r\n", "a:\tb c \u{fc}\r\n"] {
            let input = format!("0\r\n{trailers}\r\nGET");
            let whole = Ok((Some(vec![]), b"GET".to_vec()));
            assert_eq!(read_any(Framing::Chunked, input.as_bytes()), whole, "{trailers:?}");
        }
        let no_fields = [
            "a\r\n",
            "a b: c\r\n",
            "a : b\r\n",
            ": b\r\n",
            " a: b\r\n",
            "a: b\r\n c\r\n",
            "a: b\n",
            "a: b\nc: d\r\n",
            "\n",
            "a: b\r\n\n",
            "a: b\rc\r\n",
            "a: b\0\r\n",
            "a\u{fc}: b\r\n",
            "(a): b\r\n",
            "GET / HTTP/1.1\r\n",
        ];
        for trailers in no_fields {
            let input = format!("0\r\n{trailers}\r\nGET");
            let refused = Err(Refusal::Malformed("a trailer is not a field"));
            assert_eq!(read_any(Framing::Chunked, input.as_bytes()), refused, "{trailers:?}");
        }
    }
}
