//! HTTP/1.1 requests (RFC 9112): finds where one ends and the next begins, and refuses what could mean two things.
//! Answering is not here: see `response` and the server's routes.

use httparse::{EMPTY_HEADER, Error, Status};

use crate::wire::body::{Body, Framing};
use crate::wire::forwarding::is_from_a_proxy;
use crate::wire::head::{Head, MAX_HEAD_BYTES, has_bare_line_feed};
use crate::wire::refusal::Refusal;
use crate::wire::target::{Target, is_host};
use crate::wire::upgrade::{self, Upgrade};

/// A body that nobody wants is skipped up to this length.
const MAX_SKIPPED_BYTES: u64 = 256 * 1024;

const MAX_HEADERS: usize = 100;

/// The method, as far as any route tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD: a GET whose answer has no body.
    Head,
    /// POST
    Post,
    /// Any other.
    Other,
}

/// A request, checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The target's path, as sent, without its query.
    pub path: String,
    /// The target's query, as sent, without the question mark.
    pub query: String,
    /// The fields that some route asks for.
    pub fields: Fields,
    /// Whether the peer wants the connection kept, and it can be.
    pub keep_alive: bool,
    /// What the request says about becoming a WebSocket.
    pub upgrade: Upgrade,
    /// The body, where it was collected.
    pub body: Vec<u8>,
}

/// Header fields by name; of one that may be repeated the first.
#[derive(Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // They are named as RFC 9110 names them.
pub struct Fields {
    pub authorization: Option<String>,
    pub content_type: Option<String>,
    /// Whether a proxy says that it has forwarded the request.
    pub forwarded: bool,
    /// A target of the absolute form names it itself, and then the field does not count (RFC 9112 §3.2.2).
    pub host: Option<String>,
    /// The field that does not count: what is in front may have judged by it.
    pub ignored_host: Option<String>,
    pub idempotency_key: Option<Vec<u8>>,
    pub if_none_match: Option<String>,
    pub last_event_id: Option<String>,
    pub origin: Option<String>,
}

/// What is to be done with the body of a request whose head is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyWish {
    /// Nobody wants it.
    Skip,
    /// It is collected, up to so many bytes.
    Collect(usize),
}

/// What the buffer has to say next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// More has to come first.
    More,
    /// The peer waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    Continue,
    /// A whole request.
    Request(Box<Request>),
}

/// The bytes of requests not yet answered: at most one head, a body in the making, and what came in the same read.
#[derive(Debug, Default)]
pub struct RequestBuffer {
    bytes: Vec<u8>,
    /// How many of them have been read.
    read: usize,
    /// What is still to come of a body that nobody wants.
    skip: u64,
    /// A request whose body is on its way.
    unfinished: Option<(Box<Request>, Body)>,
    /// A whole request that has to wait.
    put_back: Option<Box<Request>>,
}

impl RequestBuffer {
    /// Adds what came from the socket.
    pub fn extend(&mut self, bytes: &[u8]) {
        let skipped = usize::try_from(self.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
        self.skip -= skipped as u64;
        self.bytes.extend_from_slice(&bytes[skipped..]);
    }

    /// Whether nothing of a request is here: between two requests, the peer may be idle.
    pub fn is_empty(&self) -> bool {
        self.unread().is_empty() && self.skip == 0 && self.unfinished.is_none() && self.put_back.is_none()
    }

    /// Whether a part of a request is here. A body that is being skipped belongs to the request before.
    pub fn has_begun(&self) -> bool {
        !self.unread().is_empty() || self.unfinished.is_some() || self.put_back.is_some()
    }

    /// What comes next: a request, once it is whole. `wish` is asked about the body of each request with one. After an
    /// error the bytes mean nothing any more.
    ///
    /// # Errors
    /// The refusal to answer with before closing.
    pub fn next(&mut self, wish: impl FnOnce(&Request) -> BodyWish) -> Result<Next, Refusal> {
        if let Some(request) = self.put_back.take() {
            return Ok(Next::Request(request));
        }
        if let Some((request, body)) = self.unfinished.take() {
            return self.collect(request, body);
        }
        self.skip_empty_lines();
        let unread = self.unread();
        if unread.is_empty() {
            return Ok(Next::More);
        }
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let head_bytes = match parsed.parse(unread) {
            Ok(Status::Complete(length)) if length <= MAX_HEAD_BYTES => length,
            Ok(Status::Partial) if unread.len() < MAX_HEAD_BYTES => return Ok(Next::More),
            Ok(_) | Err(Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
            Err(Error::Version) if is_another_version(unread) => return Err(Refusal::Version),
            Err(_) => return Err(Refusal::Malformed("not an HTTP request")),
        };
        // Who takes it for a part of a value sees other fields (RFC 9112 §2.2 allows to refuse it).
        if has_bare_line_feed(&unread[..head_bytes]) {
            return Err(Refusal::Malformed("a line ends without a carriage return"));
        }
        let head = Head::of(&parsed);
        let framing = body_framing(&head)?;
        let mut request = Box::new(read(&head, framing)?);
        let expects_continue = !head.is_http_1_0 && head.lists("expect", "100-continue");
        self.step_over(head_bytes);

        let wish = if framing == Framing::Length(0) { BodyWish::Skip } else { wish(&request) };
        match (wish, framing) {
            (BodyWish::Collect(limit), _) => {
                let body = Body::new(framing, limit)?;
                if expects_continue && self.unread().is_empty() {
                    self.unfinished = Some((request, body));
                    return Ok(Next::Continue);
                }
                self.collect(request, body)
            }
            (BodyWish::Skip, Framing::Length(length)) if length <= MAX_SKIPPED_BYTES => {
                // Whether a peer that waits for 100 sends its body all the same is not known.
                request.keep_alive &= length == 0 || !expects_continue;
                let here = self.unread().len();
                let here = usize::try_from(length).map_or(here, |length| length.min(here));
                self.step_over(here);
                self.skip = length - here as u64;
                Ok(Next::Request(request))
            }
            (BodyWish::Skip, Framing::Length(_)) => Err(Refusal::BodyTooLarge),
            (BodyWish::Skip, Framing::Chunked) => {
                request.keep_alive = false;
                Ok(Next::Request(request))
            }
        }
    }

    /// Takes the last request back, to be the next one again.
    pub fn put_back(&mut self, request: Box<Request>) {
        self.put_back = Some(request);
    }

    /// What came behind the last request: the first bytes of a WebSocket.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.bytes.split_off(self.read)
    }

    fn collect(&mut self, mut request: Box<Request>, mut body: Body) -> Result<Next, Refusal> {
        let used = body.read(self.unread())?;
        self.step_over(used);
        match body.whole() {
            Ok(whole) => {
                request.body = whole;
                Ok(Next::Request(request))
            }
            Err(body) => {
                self.unfinished = Some((request, body));
                Ok(Next::More)
            }
        }
    }

    /// An empty line ahead of a request is no part of it: some send one behind a body (RFC 9112 §2.2).
    fn skip_empty_lines(&mut self) {
        let mut rest = self.unread();
        while let [b'\r', b'\n', behind @ ..] | [b'\n', behind @ ..] = rest {
            rest = behind;
        }
        let empty_bytes = self.unread().len() - rest.len();
        self.step_over(empty_bytes);
    }

    fn unread(&self) -> &[u8] {
        &self.bytes[self.read..]
    }

    /// Steps over what has been read. Of many requests in one read, the rest is moved only when it is the smaller part. A
    /// peer that sends much at once does not keep the memory for it.
    fn step_over(&mut self, count: usize) {
        self.read += count;
        if self.read <= self.bytes.len() / 2 {
            return;
        }
        self.bytes.drain(..self.read);
        self.read = 0;
        if self.bytes.len() < self.bytes.capacity() / 4 {
            self.bytes.shrink_to_fit();
        }
    }
}

/// Whether this is a request of another version, and not something else altogether.
fn is_another_version(bytes: &[u8]) -> bool {
    bytes.splitn(3, |octet| *octet == b' ').nth(2).is_some_and(|version| version.starts_with(b"HTTP/"))
}

/// Checks a head.
fn read(head: &Head<'_>, framing: Framing) -> Result<Request, Refusal> {
    let to_text = |value| String::from_utf8_lossy(value).into_owned();
    let text = |name, doubled| head.single(name, doubled).map(|value| value.map(to_text));
    let host = match head.single("host", "more than one Host")?.map(str::from_utf8) {
        None if head.is_http_1_0 => None,
        None => return Err(Refusal::Malformed("no Host")),
        // Empty where the client knows of no host (RFC 9112 §3.2).
        Some(Ok(host)) if host.is_empty() || is_host(host) => Some(host),
        Some(_) => return Err(Refusal::Malformed("Host is not a host")),
    };
    let Some(Target { authority, path, query }) = Target::read(head.method, head.target) else {
        return Err(Refusal::Malformed("the target is neither a path nor a URL of http or https"));
    };
    Ok(Request {
        method: match head.method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            _ => Method::Other,
        },
        path: path.to_owned(),
        query: query.to_owned(),
        fields: Fields {
            authorization: text("authorization", "more than one Authorization")?,
            content_type: text("content-type", "more than one Content-Type")?,
            forwarded: head.names().any(is_from_a_proxy),
            host: authority.or(host).map(str::to_owned),
            ignored_host: authority.and(host).map(str::to_owned),
            // Its octets: what is not text could otherwise not be told from another key.
            idempotency_key: head
                .single("idempotency-key", "more than one Idempotency-Key")?
                .map(<[u8]>::to_vec),
            if_none_match: head.values("if-none-match").next().map(to_text),
            last_event_id: text("last-event-id", "more than one Last-Event-ID")?,
            origin: text("origin", "more than one Origin")?,
        },
        keep_alive: !head.is_http_1_0 && !head.lists("connection", "close"),
        // A body in front of the first frame could be read as either.
        upgrade: if framing == Framing::Length(0) { upgrade::negotiate(head) } else { Upgrade::NotAsked },
        body: Vec::new(),
    })
}

/// How the body's end is told (RFC 9112 §6.3).
fn body_framing(head: &Head<'_>) -> Result<Framing, Refusal> {
    let length = head.single("content-length", "more than one Content-Length")?;
    let coding = head.single("transfer-encoding", "more than one Transfer-Encoding")?;
    match (length, coding) {
        (None, None) => Ok(Framing::Length(0)),
        (Some(_), Some(_)) => Err(Refusal::Malformed("both Content-Length and Transfer-Encoding")),
        (None, Some(_)) if head.is_http_1_0 => Err(Refusal::Malformed("Transfer-Encoding in HTTP/1.0")),
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (None, Some(_)) => Err(Refusal::UnknownCoding),
        (Some(digits), None) if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) => {
            Err(Refusal::Malformed("Content-Length is not a number"))
        }
        (Some(digits), None) => {
            let length = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            length.map(Framing::Length).ok_or(Refusal::BodyTooLarge)
        }
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
