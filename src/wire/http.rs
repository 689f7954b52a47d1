//! HTTP/1.1 requests (RFC 9112): finds where one ends and the next begins, and refuses what could mean two things.
//! Answering is not here: see `response` and the server's routes.

use httparse::{EMPTY_HEADER, Error, Header, Status};

use crate::wire::upgrade::{self, Upgrade};

/// A request's line and header fields together, at most.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// A body on a request that needs none is skipped up to this length.
pub const MAX_BODY_BYTES: u64 = 256 * 1024;

const MAX_HEADERS: usize = 100;

/// The method, as far as any route tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD: a GET whose answer has no body.
    Head,
    /// Any other.
    Other,
}

/// A request, checked; its body, if any, is skipped.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The target's path, as sent, without its query.
    pub path: String,
    /// The entity tags of `If-None-Match`, as sent.
    pub if_none_match: Option<String>,
    /// Whether the peer wants the connection kept, and it can be.
    pub keep_alive: bool,
    /// What the request says about becoming a WebSocket.
    pub upgrade: Upgrade,
}

/// Why a request cannot be answered; the connection ends after saying so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 400: it is not HTTP, or means two things.
    Malformed(&'static str),
    /// 408: it did not come in time.
    Timeout,
    /// 413: its body is over `MAX_BODY_BYTES`.
    BodyTooLarge,
    /// 431: its head is over `MAX_HEAD_BYTES`.
    HeadTooLarge,
    /// 501: a transfer coding other than chunked.
    UnknownCoding,
    /// 505: neither HTTP/1.1 nor 1.0.
    Version,
}

impl Refusal {
    /// The status to answer with, and what was wrong.
    pub fn status(self) -> (u16, &'static str) {
        match self {
            Self::Malformed(what) => (400, what),
            Self::Timeout => (408, "request not complete in time"),
            Self::BodyTooLarge => (413, "request body too large"),
            Self::HeadTooLarge => (431, "request head too large"),
            Self::UnknownCoding => (501, "unknown transfer coding"),
            Self::Version => (505, "only HTTP/1.1 and HTTP/1.0 are spoken here"),
        }
    }
}

/// The bytes of requests not yet answered: at most one head and what came behind it in the same read.
#[derive(Debug, Default)]
pub struct RequestBuffer {
    bytes: Vec<u8>,
    /// What is still to come of a body that nobody wants.
    skip: u64,
}

impl RequestBuffer {
    /// Adds what came from the socket.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.skip_body();
    }

    /// Whether nothing of a request is here: between two requests, the peer may be idle.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.skip == 0
    }

    /// Whether the first bytes of a head are here. A body that is being skipped belongs to the request before.
    pub fn has_begun(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// The next request, once its head is whole. After an error the bytes mean nothing any more.
    ///
    /// # Errors
    /// The refusal to answer with before closing.
    pub fn next_request(&mut self) -> Result<Option<Request>, Refusal> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let head_bytes = match parsed.parse(&self.bytes) {
            Ok(Status::Complete(length)) if length <= MAX_HEAD_BYTES => length,
            Ok(Status::Partial) if self.bytes.len() < MAX_HEAD_BYTES => return Ok(None),
            Ok(_) | Err(Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
            Err(Error::Version) => return Err(Refusal::Version),
            Err(_) => return Err(Refusal::Malformed("not an HTTP request")),
        };
        let (request, body_bytes) = read(&Head::of(&parsed))?;
        self.bytes.drain(..head_bytes);
        self.skip = body_bytes;
        self.skip_body();
        Ok(Some(request))
    }

    /// What came behind the last request: the first bytes of a WebSocket.
    pub fn into_rest(self) -> Vec<u8> {
        self.bytes
    }

    fn skip_body(&mut self) {
        let here = usize::try_from(self.skip).map_or(self.bytes.len(), |skip| skip.min(self.bytes.len()));
        self.bytes.drain(..here);
        self.skip -= here as u64;
    }
}

/// A request's head as parsed, with the questions that are asked of it.
pub struct Head<'a> {
    /// As sent; methods are case-sensitive.
    pub method: &'a str,
    /// HTTP/1.0 has no Host to demand and no upgrade to offer.
    pub is_http_1_0: bool,
    target: &'a str,
    headers: &'a [Header<'a>],
}

impl<'a> Head<'a> {
    fn of(parsed: &'a httparse::Request<'a, 'a>) -> Self {
        Self {
            method: parsed.method.expect("a complete parse has a method"),
            target: parsed.path.expect("a complete parse has a target"),
            is_http_1_0: parsed.version == Some(0),
            headers: parsed.headers,
        }
    }

    /// The values of a field, one for each line that names it.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let name = name.to_owned();
        self.headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(&name)).map(|h| h.value.trim_ascii())
    }

    /// The value of a field that must not be repeated.
    ///
    /// # Errors
    /// The given refusal when it is.
    pub fn single(&self, name: &str, doubled: &'static str) -> Result<Option<&'a [u8]>, Refusal> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() { Err(Refusal::Malformed(doubled)) } else { Ok(first) }
    }

    /// Whether a comma-separated field contains a token, in any letter case (RFC 9110 §5.6.1).
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.values(name)
            .flat_map(|value| value.split(|octet| *octet == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }
}

/// Checks a head and says how long a body follows it.
fn read(head: &Head<'_>) -> Result<(Request, u64), Refusal> {
    let host = head.single("host", "more than one Host")?;
    if host.is_none() && !head.is_http_1_0 {
        return Err(Refusal::Malformed("no Host"));
    }
    let body = body_length(head)?;
    // Whether a peer that expects 100 sends its body after all is unknown; where a chunked one ends is not read.
    let body_end_known = body.is_some() && head.values("expect").next().is_none();
    let if_none_match = head.values("if-none-match").next();
    let request = Request {
        method: match head.method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            _ => Method::Other,
        },
        path: path_of(head.target).to_owned(),
        if_none_match: if_none_match.map(|value| String::from_utf8_lossy(value).into_owned()),
        keep_alive: !head.is_http_1_0 && body_end_known && !head.lists("connection", "close"),
        upgrade: if body == Some(0) { upgrade::negotiate(head)? } else { Upgrade::NotAsked },
    };
    Ok((request, body.unwrap_or(0)))
}

/// The announced length of the body, or `None` when it is chunked (RFC 9112 §6.3).
fn body_length(head: &Head<'_>) -> Result<Option<u64>, Refusal> {
    let length = head.single("content-length", "more than one Content-Length")?;
    let coding = head.single("transfer-encoding", "more than one Transfer-Encoding")?;
    match (length, coding) {
        (None, None) => Ok(Some(0)),
        (Some(_), Some(_)) => Err(Refusal::Malformed("both Content-Length and Transfer-Encoding")),
        (None, Some(_)) if head.is_http_1_0 => Err(Refusal::Malformed("Transfer-Encoding in HTTP/1.0")),
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(None),
        (None, Some(_)) => Err(Refusal::UnknownCoding),
        (Some(digits), None) => {
            if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return Err(Refusal::Malformed("Content-Length is not a number"));
            }
            let length = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            length.filter(|length| *length <= MAX_BODY_BYTES).map(Some).ok_or(Refusal::BodyTooLarge)
        }
    }
}

/// The path in a request target of the origin or the absolute form (RFC 9112 §3.2).
fn path_of(target: &str) -> &str {
    let origin = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => {
            rest.find(['/', '?']).map_or("/", |start| &rest[start..])
        }
        _ => target,
    };
    match origin.split(['?', '#']).next() {
        Some("") | None => "/",
        Some(path) => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(request: &str) -> Result<Option<Request>, Refusal> {
        let mut buffer = RequestBuffer::default();
        buffer.extend(request.replace('\n', "\r\n").as_bytes());
        buffer.next_request()
    }

    fn get(path: &str, keep_alive: bool) -> Request {
        let path = path.to_owned();
        Request { method: Method::Get, path, if_none_match: None, keep_alive, upgrade: Upgrade::NotAsked }
    }

    #[test]
    fn a_request_comes_once_its_head_is_whole() {
        let mut buffer = RequestBuffer::default();
        for octet in b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r" {
            buffer.extend(&[*octet]);
            assert_eq!(buffer.next_request(), Ok(None));
        }
        buffer.extend(b"\n");
        assert_eq!(buffer.next_request(), Ok(Some(get("/a", true))));
        assert!(buffer.is_empty());
    }

    #[test]
    fn pipelined_requests_come_one_by_one_and_unwanted_bodies_are_skipped() {
        let mut buffer = RequestBuffer::default();
        buffer.extend(b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12");
        assert_eq!(buffer.next_request().unwrap().unwrap().path, "/p");
        assert_eq!(buffer.next_request(), Ok(None));
        assert!(!buffer.is_empty(), "half a body is not idle");
        buffer.extend(b"345GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\nrest");
        assert_eq!(buffer.next_request(), Ok(Some(get("/1", true))));
        assert_eq!(buffer.next_request(), Ok(Some(get("/2", true))));
        assert_eq!(buffer.into_rest(), b"rest");
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        let refused = [
            ("Content-Length: 1\nTransfer-Encoding: chunked", "both Content-Length and Transfer-Encoding"),
            ("Content-Length: 1\nContent-Length: 1", "more than one Content-Length"),
            ("Content-Length: 1, 1", "Content-Length is not a number"),
            ("Content-Length: +1", "Content-Length is not a number"),
            ("Content-Length:", "Content-Length is not a number"),
            ("Transfer-Encoding: chunked\nTransfer-Encoding: chunked", "more than one Transfer-Encoding"),
            ("Host: y", "more than one Host"),
            ("Content-Length : 1", "not an HTTP request"),
            ("X: a\n b", "not an HTTP request"),
        ];
        for (fields, why) in refused {
            let request = format!("GET / HTTP/1.1\nHost: x\n{fields}\n\n");
            assert_eq!(first(&request), Err(Refusal::Malformed(why)), "{fields}");
        }
        assert_eq!(first("GET / HTTP/1.1\n\n"), Err(Refusal::Malformed("no Host")));
    }

    #[test]
    fn every_limit_has_its_status() {
        let long = "x".repeat(MAX_HEAD_BYTES);
        let many = "a: b\n".repeat(MAX_HEADERS);
        let statuses = [
            (format!("GET /{long} HTTP/1.1\nHost: x\n\n"), 431),
            (format!("GET /{long}"), 431),
            (format!("GET / HTTP/1.1\nHost: x\n{many}\n"), 431),
            (format!("POST / HTTP/1.1\nHost: x\nContent-Length: {}\n\n", MAX_BODY_BYTES + 1), 413),
            ("POST / HTTP/1.1\nHost: x\nContent-Length: 99999999999999999999999\n\n".to_owned(), 413),
            ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: gzip\n\n".to_owned(), 501),
            ("GET / HTTP/2.0\nHost: x\n\n".to_owned(), 505),
            ("\x16\x03\x01\x02".to_owned(), 400),
        ];
        for (request, status) in statuses {
            assert_eq!(first(&request).unwrap_err().status().0, status, "{:.60}", request);
        }
    }

    #[test]
    fn a_connection_is_kept_when_both_sides_can_tell_where_the_request_ends() {
        let kept = |line: &str, fields: &str| {
            first(&format!("{line}\nHost: x\n{fields}\n")).unwrap().unwrap().keep_alive
        };
        assert!(kept("GET / HTTP/1.1", ""));
        assert!(!kept("GET / HTTP/1.1", "Connection: Foo, Close\n"));
        assert!(!kept("GET / HTTP/1.0", ""));
        assert!(!kept("POST / HTTP/1.1", "Transfer-Encoding: chunked\n"));
        assert!(!kept("POST / HTTP/1.1", "Content-Length: 1\nExpect: 100-continue\n"));
    }

    #[test]
    fn targets_of_the_origin_and_the_absolute_form_name_the_same_path() {
        let paths = [
            ("/a/b?c#d", "/a/b"),
            ("http://host/a?b", "/a"),
            ("http://host", "/"),
            ("http://host?q", "/"),
            ("/?u=http://x/y", "/"),
            ("*", "*"),
        ];
        for (target, path) in paths {
            assert_eq!(path_of(target), path);
        }
    }
}
