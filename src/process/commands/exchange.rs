//! One request of HTTP/1.1 and its answer, on a connection that may be kept.

use std::io::{self, ErrorKind, Read, Write};

use httparse::{EMPTY_HEADER, Header, Status};

use super::far_end::Line;
use crate::wire::body::{Body, Framing};

/// An answer's head, and its body, at most.
const MOST_HEAD_BYTES: usize = 64 * 1024;
const MOST_BODY_BYTES: usize = 1024 * 1024;

/// The fields of an answer, at most.
const MOST_FIELDS: usize = 100;

/// What a server has answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    /// In seconds.
    pub(super) retry_after: Option<u64>,
    pub(super) body: Vec<u8>,
    /// Whether another request may follow on the same connection.
    pub(super) is_kept: bool,
}

/// Sends a request and waits for its answer.
///
/// # Errors
/// When the connection ends or is silent, or what comes is no answer.
pub(super) fn ask(line: &mut Line, head: &str, body: &[u8]) -> io::Result<Answer> {
    line.write_all(&[head.as_bytes(), body].concat())?;
    line.flush()?;
    let mut heard = vec![];
    loop {
        if let Some((mut answer, framing, length)) = head_of(&heard)? {
            let rest = heard.split_off(length);
            let Some(framing) = framing else {
                answer.body = rest;
                line.take((MOST_BODY_BYTES - answer.body.len().min(MOST_BODY_BYTES)) as u64)
                    .read_to_end(&mut answer.body)?;
                answer.is_kept = false;
                return Ok(answer);
            };
            answer.body = body_of(line, framing, rest)?;
            return Ok(answer);
        }
        if heard.len() > MOST_HEAD_BYTES {
            return Err(no_answer());
        }
        hear(line, &mut heard)?;
    }
}

/// The head, how the end of the body is found, and how long the head is; what comes before the final answer is passed over.
fn head_of(heard: &[u8]) -> io::Result<Option<(Answer, Option<Framing>, usize)>> {
    let mut skipped = 0;
    loop {
        let mut fields = [EMPTY_HEADER; MOST_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(&heard[skipped..]).map_err(|_| no_answer())? {
            Status::Complete(length) => length,
            Status::Partial => return Ok(None),
        };
        skipped += length;
        let status = response.code.ok_or_else(no_answer)?;
        if (100..200).contains(&status) {
            continue;
        }
        let field = |name| text(response.headers, name);
        let is_chunked =
            field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        let length = field("content-length").map(|length| length.trim().parse());
        let framing = match length {
            _ if matches!(status, 204 | 304) => Some(Framing::Length(0)),
            _ if is_chunked => Some(Framing::Chunked),
            Some(length) => Some(Framing::Length(length.map_err(|_| no_answer())?)),
            None => None,
        };
        let answer = Answer {
            status,
            location: field("location").map(str::to_owned),
            retry_after: field("retry-after").and_then(|seconds| seconds.trim().parse().ok()),
            body: vec![],
            is_kept: response.version == Some(1)
                && !field("connection").is_some_and(|wish| wish.eq_ignore_ascii_case("close")),
        };
        return Ok(Some((answer, framing, skipped)));
    }
}

fn text<'a>(fields: &[Header<'a>], name: &str) -> Option<&'a str> {
    let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
    str::from_utf8(field.value).ok()
}

fn body_of(line: &mut Line, framing: Framing, mut heard: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Body::new(framing, MOST_BODY_BYTES).map_err(|_| no_answer())?;
    loop {
        let used = body.read(&heard).map_err(|_| no_answer())?;
        heard.drain(..used);
        match body.whole() {
            Ok(whole) => return Ok(whole),
            Err(unfinished) => body = unfinished,
        }
        hear(line, &mut heard)?;
    }
}

fn hear(line: &mut Line, heard: &mut Vec<u8>) -> io::Result<()> {
    let mut room = [0; 16 * 1024];
    loop {
        match line.read(&mut room) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                heard.extend_from_slice(&room[..count]);
                return Ok(());
            }
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(why) if why.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
            Err(why) => return Err(why),
        }
    }
}

fn no_answer() -> io::Error {
    io::Error::other("what answers does not speak HTTP")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    /// The status and the body of what is answered like this, and whether the connection is kept.
    fn answered(octets: &str) -> io::Result<(u16, String, bool)> {
        let (ours, mut theirs) = UnixStream::pair()?;
        theirs.write_all(octets.as_bytes())?;
        theirs.shutdown(std::net::Shutdown::Write)?;
        let answer = ask(&mut Line::Unix(ours), "GET / HTTP/1.1\r\n\r\n", b"")?;
        Ok((answer.status, String::from_utf8(answer.body).unwrap(), answer.is_kept))
    }

    #[test]
    fn an_answer_ends_where_it_says() {
        for (octets, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", (200, "ab", true)),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
                (200, "ab", true),
            ),
            ("HTTP/1.1 503 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", (503, "", false)),
            ("HTTP/1.0 200 OK\r\n\r\nab", (200, "ab", false)),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", (204, "", true)),
        ] {
            let (status, body, is_kept) = answered(octets).unwrap();
            assert_eq!((status, &*body, is_kept), expected, "{octets}");
        }
        for octets in
            ["", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\n"]
        {
            assert!(answered(octets).is_err(), "{octets}");
        }
    }
}
