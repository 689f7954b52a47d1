//! One request of HTTP/1.1 and its answer, on a connection that may be kept. Knows not what is asked, and waits as long as the
//! connection does.

use std::io::{self, ErrorKind, Read, Write};

use httparse::{EMPTY_HEADER, Status};
use thiserror::Error;

use crate::wire::body::{Body, Framing};

/// An answer's head, and its body, at most.
const MOST_HEAD_BYTES: usize = 64 * 1024;
const MOST_BODY_BYTES: usize = 1024 * 1024;

/// The fields of an answer, at most.
const MOST_FIELDS: usize = 100;

/// The first octets of what TLS says: of a message of the handshake, and of an alert (RFC 8446 §5.1).
const OF_TLS: [u8; 2] = [22, 21];

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum NoAnswer {
    #[error("the connection was closed")]
    Closed,
    #[error("the answer is no whole one")]
    Partial,
    #[error("the answer is not HTTP: {0}")]
    NotHttp(httparse::Error),
    #[error("the answer is TLS: give https://")]
    Tls,
    #[error("the body of the answer cannot be read")]
    Body,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl NoAnswer {
    /// Whether all that is wrong is that it took too long.
    pub(super) fn is_late(&self) -> bool {
        matches!(self, Self::Io(why) if why.kind() == ErrorKind::TimedOut)
    }
}

/// What a server has answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// What was read behind the head.
    pub(super) rest: Vec<u8>,
    is_http_1_0: bool,
    /// Those that are text.
    fields: Vec<(String, String)>,
}

/// Sends a request and waits for the head of its answer. Other answers before the final one are passed over, but for an upgrade.
///
/// # Errors
/// When the connection ends or is silent, or what comes is no answer.
pub(super) fn ask(connection: &mut (impl Read + Write), head: &str, body: &[u8]) -> Result<Answer, NoAnswer> {
    // At once: whoever answers and closes before the rest of it would look like one who does not answer.
    connection.write_all(&[head.as_bytes(), body].concat())?;
    connection.flush()?;
    let mut heard = vec![];
    loop {
        hear(connection, &mut heard)?;
        while let Some((answer, length)) = Answer::read(&heard)? {
            heard.drain(..length);
            if answer.status == 101 || !(100..200).contains(&answer.status) {
                return Ok(Answer { rest: heard, ..answer });
            }
        }
        if heard.len() > MOST_HEAD_BYTES {
            return Err(NoAnswer::Partial);
        }
    }
}

impl Answer {
    /// The head that this begins with, and its length, once it is whole.
    fn read(heard: &[u8]) -> Result<Option<(Self, usize)>, NoAnswer> {
        if heard.first().is_some_and(|octet| OF_TLS.contains(octet)) {
            return Err(NoAnswer::Tls);
        }
        let mut fields = [EMPTY_HEADER; MOST_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let Status::Complete(length) = response.parse(heard).map_err(NoAnswer::NotHttp)? else {
            return Ok(None);
        };
        let text = |octets| str::from_utf8(octets).ok().map(str::to_owned);
        let answer = Self {
            status: response.code.unwrap_or_default(),
            rest: vec![],
            is_http_1_0: response.version == Some(0),
            fields: response
                .headers
                .iter()
                .filter_map(|field| Some((field.name.to_owned(), text(field.value)?)))
                .collect(),
        };
        Ok(Some((answer, length)))
    }

    /// What stands in this field, the first of its name.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, text)| text.trim())
    }

    /// Whether this is said in the field.
    pub(super) fn says(&self, name: &str, word: &str) -> bool {
        self.field(name)
            .is_some_and(|words| words.split(',').any(|one| one.trim().eq_ignore_ascii_case(word)))
    }

    /// Whether another request may follow on the same connection.
    pub(super) fn is_kept(&self) -> bool {
        !self.is_http_1_0 && !self.says("connection", "close") && matches!(self.framing(), Ok(Some(_)))
    }

    /// How the end of the body is found; `None` if the connection ends with it.
    fn framing(&self) -> Result<Option<Framing>, NoAnswer> {
        Ok(match self.field("content-length").map(str::parse) {
            _ if matches!(self.status, 101 | 204 | 304) => Some(Framing::Length(0)),
            _ if self.says("transfer-encoding", "chunked") => Some(Framing::Chunked),
            Some(length) => Some(Framing::Length(length.map_err(|_| NoAnswer::Body)?)),
            None => None,
        })
    }

    /// Waits for what is behind the head.
    ///
    /// # Errors
    /// When the connection ends before it or is silent, or it is too long.
    pub(super) fn read_body(&mut self, connection: &mut impl Read) -> Result<Vec<u8>, NoAnswer> {
        let mut heard = std::mem::take(&mut self.rest);
        let Some(framing) = self.framing()? else {
            connection
                .take((MOST_BODY_BYTES - heard.len().min(MOST_BODY_BYTES)) as u64)
                .read_to_end(&mut heard)?;
            return Ok(heard);
        };
        let mut body = Body::new(framing, MOST_BODY_BYTES).map_err(|_| NoAnswer::Body)?;
        loop {
            let used = body.read(&heard).map_err(|_| NoAnswer::Body)?;
            heard.drain(..used);
            match body.whole() {
                Ok(whole) => return Ok(whole),
                Err(unfinished) => body = unfinished,
            }
            hear(connection, &mut heard).map_err(|why| match why {
                NoAnswer::Closed => NoAnswer::Partial,
                why => why,
            })?;
        }
    }
}

fn hear(connection: &mut impl Read, heard: &mut Vec<u8>) -> Result<(), NoAnswer> {
    let mut room = [0; 16 * 1024];
    loop {
        match connection.read(&mut room) {
            Ok(0) if heard.is_empty() => return Err(NoAnswer::Closed),
            Ok(0) => return Err(NoAnswer::Partial),
            Ok(count) => {
                heard.extend_from_slice(&room[..count]);
                return Ok(());
            }
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(why) => return Err(why.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    /// The status and the body of what is answered like this, and whether the connection is kept.
    fn answered(octets: &str) -> Result<(u16, String, bool), String> {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(octets.as_bytes()).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let words = |why: NoAnswer| why.to_string();
        let mut answer = ask(&mut ours, "GET / HTTP/1.1\r\n\r\n", b"").map_err(words)?;
        let body = answer.read_body(&mut ours).map_err(words)?;
        Ok((answer.status, String::from_utf8(body).unwrap(), answer.is_kept()))
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
            ("HTTP/1.1 200 OK\r\n\r\nab", (200, "ab", false)),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", (204, "", true)),
        ] {
            let (status, body, is_kept) = answered(octets).unwrap();
            assert_eq!((status, &*body, is_kept), expected, "{octets}");
        }
    }

    #[test]
    fn what_is_no_answer_is_called_what_it_is() {
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(MOST_HEAD_BYTES));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(101));
        for (octets, why) in [
            ("", "the connection was closed"),
            ("HTTP/1.1 200 OK\r\nContent", "the answer is no whole one"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "the answer is no whole one"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", "the answer is no whole one"),
            ("HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\na", "the body of the answer cannot be read"),
            (&*endless, "the answer is no whole one"),
            (&*many, "the answer is not HTTP: too many headers"),
            ("SSH-2.0-OpenSSH\r\n", "the answer is not HTTP: invalid HTTP version"),
            ("\u{15}\u{3}\u{1}\0\u{2}\u{2}F", "the answer is TLS: give https://"),
        ] {
            assert_eq!(answered(octets), Err(why.to_owned()), "{octets:.40}");
        }
    }
}
