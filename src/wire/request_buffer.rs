//! Finds where one HTTP/1.1 request (RFC 9112) ends and the next begins in the bytes that arrive. What a head means is for
//! `request` to say, and what is answered for `http`.

use httparse::{EMPTY_HEADER, Error, Status};

use crate::wire::body::{Body, Framing};
use crate::wire::handover::record;
use crate::wire::head::{Head, MAX_HEAD_BYTES, has_bare_line_feed};
use crate::wire::proxy_protocol::{self, NoPreamble, Origin, Preamble};
use crate::wire::refusal::Refusal;
use crate::wire::request::Request;

/// A body that nobody wants is skipped if it is no longer than this.
const MAX_SKIPPED_BYTES: u64 = 256 * 1024;

const MAX_HEADERS: usize = 100;

/// What is to be done with the body of a request whose head is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyWish {
    /// Nobody wants it, and the connection goes on behind it: one that is too long for that is refused.
    Skip,
    /// Nobody wants it, and its request is answered however long it is: the connection goes on only behind one that can be skipped.
    Ignore,
    /// It is collected, up to this many bytes.
    Collect(usize),
}

/// What comes next out of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// More has to come first.
    More,
    /// The peer waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    Continue,
    /// A whole request.
    Request(Box<Request>),
}

/// The bytes of requests that are not answered yet: at most one head, an unfinished body, and what came in the same read.
#[derive(Debug, Default)]
pub struct RequestBuffer {
    bytes: Vec<u8>,
    /// How many of them have been read.
    read: usize,
    /// How many bytes are still to come of a body that is being skipped.
    skip: u64,
    /// A request whose body is not complete yet.
    unfinished: Option<(Box<Request>, Body)>,
    /// A whole request that has to wait.
    put_back: Option<Box<Request>>,
    /// Whether a proxy has said ahead of them that they are another's.
    is_forwarded: bool,
}

impl RequestBuffer {
    /// Adds what came from the socket.
    pub fn extend(&mut self, bytes: &[u8]) {
        let skipped = usize::try_from(self.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
        self.skip -= skipped as u64;
        self.bytes.extend_from_slice(&bytes[skipped..]);
    }

    /// Whether nothing of a request is here: the peer may be idle between two requests.
    pub fn is_empty(&self) -> bool {
        self.unread().is_empty() && self.skip == 0 && self.unfinished.is_none() && self.put_back.is_none()
    }

    /// How much has come that is not read yet.
    pub fn unread_bytes(&self) -> usize {
        self.unread().len()
    }

    /// Whether a part of the next request is here. A body that is being skipped belongs to the one before.
    pub fn has_begun(&self) -> bool {
        !self.unread().is_empty() || self.unfinished.is_some() || self.put_back.is_some()
    }

    /// What a proxy says ahead of the requests about who has connected to it.
    ///
    /// # Errors
    /// When it says nothing of the kind.
    pub fn preamble(&mut self) -> Result<Preamble, NoPreamble> {
        let preamble = proxy_protocol::read(self.unread())?;
        if let Preamble::Header { bytes, origin } = preamble {
            self.is_forwarded = origin != Origin::Proxy;
            self.step_over(bytes);
        }
        Ok(preamble)
    }

    /// What comes next: a request, once it is whole. `wish` is asked what to do with its body if it has one. After an error
    /// the rest of the bytes means nothing.
    ///
    /// # Errors
    /// The refusal to answer with before closing.
    pub fn next(&mut self, wish: impl FnOnce(&mut Request) -> BodyWish) -> Result<Next, Refusal> {
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
        // A parser that takes it for a part of a value sees other fields (RFC 9112 §2.2 allows refusing it).
        if has_bare_line_feed(&unread[..head_bytes]) {
            return Err(Refusal::Malformed("a line ends without a carriage return"));
        }
        let head = Head::of(&parsed);
        let framing = Framing::of(&head)?;
        let mut request = Box::new(Request::read(&head, framing)?);
        request.fields.forwarded |= self.is_forwarded;
        request.fields.not_rebound |= self.is_forwarded;
        let expects_continue = !head.is_http_1_0 && head.lists("expect", "100-continue");
        self.step_over(head_bytes);

        let wish = if framing == Framing::Length(0) { BodyWish::Skip } else { wish(&mut request) };
        match (wish, framing) {
            (BodyWish::Collect(limit), _) => {
                let body = Body::new(framing, limit)?;
                if expects_continue && self.unread().is_empty() {
                    self.unfinished = Some((request, body));
                    return Ok(Next::Continue);
                }
                self.collect(request, body)
            }
            (BodyWish::Skip | BodyWish::Ignore, Framing::Length(length)) if length <= MAX_SKIPPED_BYTES => {
                // A peer that waits for 100 may or may not send its body after this.
                request.keep_alive &= length == 0 || !expects_continue;
                let here = self.unread().len();
                let here = usize::try_from(length).map_or(here, |length| length.min(here));
                self.step_over(here);
                self.skip = length - here as u64;
                Ok(Next::Request(request))
            }
            (BodyWish::Skip, Framing::Length(_)) => Err(Refusal::BodyTooLarge),
            (BodyWish::Skip, Framing::Chunked) | (BodyWish::Ignore, _) => {
                request.keep_alive = false;
                Ok(Next::Request(request))
            }
        }
    }

    /// Takes the last request back: it is the next one again.
    pub fn put_back(&mut self, request: Box<Request>) {
        self.put_back = Some(request);
    }

    /// What came behind the last request: the first bytes of a WebSocket.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.bytes.split_off(self.read)
    }

    /// Whether no request is read in part but for its head.
    pub fn is_between_bodies(&self) -> bool {
        self.unfinished.is_none() && self.put_back.is_none()
    }

    /// How it stands, as it is handed over to another process; `None` in the midst of a body.
    pub fn pack(&self) -> Option<record::Http> {
        self.is_between_bodies().then(|| record::Http {
            unread: self.unread().to_vec(),
            skip: self.skip,
            is_forwarded: self.is_forwarded,
            ..record::Http::default()
        })
    }

    /// One that goes on with what has come of a head.
    pub fn unpack(record: record::Http) -> Self {
        let record::Http { unread, skip, is_forwarded, .. } = record;
        let skip = skip.min(MAX_SKIPPED_BYTES);
        Self { bytes: unread, skip, is_forwarded, ..Self::default() }
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

    /// An empty line before a request is not part of it: some clients send one after a body (RFC 9112 §2.2).
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

    /// Steps over what has been read. With many requests in one read, the rest is moved only once it is the smaller part.
    /// The memory for a large read is given back.
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

/// Whether this is a request of another HTTP version, rather than something else altogether.
fn is_another_version(bytes: &[u8]) -> bool {
    bytes.splitn(3, |octet| *octet == b' ').nth(2).is_some_and(|version| version.starts_with(b"HTTP/"))
}

#[cfg(test)]
#[path = "request_buffer_tests.rs"]
mod tests;
