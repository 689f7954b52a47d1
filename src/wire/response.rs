//! HTTP/1.1 responses (RFC 9110, RFC 9112 §4): a status, its fields and a body, encoded once.

use std::borrow::Cow;
use std::fmt::Write;

use bytes::Bytes;
use jiff::Timestamp;

use crate::wire::chunk;
use crate::wire::extensions::Compression;
use crate::wire::upgrade::Acceptance;

/// A response before it is encoded for one exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    fields: Vec<(&'static str, Cow<'static, str>)>,
    body: Bytes,
    /// Whether its length is known. Otherwise it comes in chunks, or as much as comes before the connection ends.
    is_measured: bool,
}

/// What an exchange asks of any response.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// For `Date`.
    pub now: Timestamp,
    /// The answer to HEAD has the fields of the answer to GET, and no body.
    pub head_only: bool,
    /// Whether the connection stays open for another request.
    pub keep_alive: bool,
    /// Whether a response may come in chunks, which HTTP/1.0 does not know.
    pub takes_chunks: bool,
    /// The origin, if it is another one, whose page may read the response.
    pub shared_with: Option<Box<str>>,
    /// The path as which a refusal is counted, where it is.
    pub counted_as: Option<&'static str>,
}

impl Exchange {
    /// The last one of a connection.
    pub fn last(now: Timestamp, shared_with: Option<Box<str>>) -> Self {
        Self { now, head_only: false, keep_alive: false, takes_chunks: false, shared_with, counted_as: None }
    }
}

impl Response {
    /// A response with a body of this type.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let fields = vec![("Content-Type", content_type.into())];
        Self { status, fields, body: body.into(), is_measured: true }
    }

    /// A response of 200 with a body that begins so, and may go on.
    pub fn unmeasured(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { is_measured: false, ..Self::new(200, content_type, body) }
    }

    /// Whether what was asked for is refused.
    pub fn is_refusal(&self) -> bool {
        self.status >= 400
    }

    /// Whether a token is missing or does not count.
    pub fn is_unauthorized(&self) -> bool {
        self.status == 401
    }

    /// A short name for counters, for a response that refuses.
    pub fn label(&self) -> &'static str {
        match self.status {
            401 => "unauthorized",
            403 => "forbidden",
            503 => "connection_limit",
            426 => "no_upgrade",
            405 => "method",
            400 | 415 => "malformed",
            404 => "not_found",
            413 => "too_large",
            422 => "unprocessable",
            _ => "other",
        }
    }

    /// A response without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, fields: vec![], body: Bytes::new(), is_measured: true }
    }

    /// An error as small JSON: `{"error":"…"}`.
    pub fn error(status: u16, message: &str) -> Self {
        Self::new(status, "application/json", serde_json::json!({ "error": message }).to_string())
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// The octets of the head, and those of the body. The latter are shared, and may be empty.
    pub fn encode(self, exchange: &Exchange) -> (Bytes, Bytes) {
        let has_last_chunk = self.is_chunked(exchange) && !exchange.head_only;
        let (head, body) = self.encode_beginning(exchange);
        (head, if has_last_chunk { [&body[..], &chunk::LAST.concat()].concat().into() } else { body })
    }

    /// The octets of the head, and those with which a body begins that goes on: in chunks, if these can be taken.
    pub fn encode_beginning(self, exchange: &Exchange) -> (Bytes, Bytes) {
        let mut head = String::with_capacity(256);
        let _ = write!(head, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let _ = write!(head, "Date: {}\r\n", exchange.now.strftime("%a, %d %b %Y %H:%M:%S GMT"));
        for (name, value) in &self.fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if let Some(origin) = &exchange.shared_with {
            let _ = write!(head, "Access-Control-Allow-Origin: {origin}\r\nVary: Origin\r\n");
            head.push_str("Access-Control-Expose-Headers: Retry-After\r\n");
        }
        // None of these has a body to measure (RFC 9110 §8.6).
        if self.is_measured && !matches!(self.status, 101 | 204 | 304) {
            let _ = write!(head, "Content-Length: {}\r\n", self.body.len());
        }
        let is_chunked = self.is_chunked(exchange);
        if is_chunked {
            head.push_str("Transfer-Encoding: chunked\r\n");
        }
        if !exchange.keep_alive {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        let body = match exchange.head_only {
            true => Bytes::new(),
            false if is_chunked && !self.body.is_empty() => chunk::encode([self.body]).concat().into(),
            false => self.body,
        };
        (head.into(), body)
    }

    fn is_chunked(&self, exchange: &Exchange) -> bool {
        !self.is_measured && exchange.takes_chunks
    }
}

/// The response that turns a connection into a WebSocket (RFC 6455 §4.2.2), whose messages may be compressed or not.
pub fn switching_protocols(acceptance: &Acceptance, compression: Option<Compression>) -> Bytes {
    let Acceptance { key, protocol, .. } = acceptance;
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {key}\r\n"
    );
    if let Some(protocol) = protocol {
        let _ = write!(head, "Sec-WebSocket-Protocol: {protocol}\r\n");
    }
    if let Some(compression) = compression {
        let _ = write!(head, "Sec-WebSocket-Extensions: {compression}\r\n");
    }
    head.push_str("\r\n");
    head.into()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        304 => "Not Modified",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::extensions::Offers;

    fn encoded(response: Response, head_only: bool, keep_alive: bool) -> (String, Bytes) {
        let (head, body) = response.encode(&Exchange {
            now: Timestamp::UNIX_EPOCH,
            head_only,
            keep_alive,
            takes_chunks: true,
            shared_with: None,
            counted_as: None,
        });
        (String::from_utf8(head.to_vec()).unwrap(), body)
    }

    #[test]
    fn an_error_is_small_json() {
        let (head, body) = encoded(Response::error(404, "not found"), false, true);
        assert_eq!(
            head,
            "HTTP/1.1 404 Not Found\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             Content-Type: application/json\r\nContent-Length: 21\r\n\r\n"
        );
        assert_eq!(body, r#"{"error":"not found"}"#);
    }

    #[test]
    fn the_answer_to_head_measures_the_body_it_does_not_send() {
        let (head, body) = encoded(Response::new(200, "text/plain", "hello"), true, false);
        assert!(head.contains("Content-Length: 5\r\nConnection: close\r\n\r\n"), "{head}");
        assert!(body.is_empty());
    }

    #[test]
    fn a_sub_protocol_and_an_extension_are_named_only_when_they_were_chosen() {
        let said = |protocol, compression| {
            let acceptance = Acceptance { key: "k=".to_owned(), protocol, offers: Offers::Malformed };
            let head = switching_protocols(&acceptance, compression);
            String::from_utf8(head.to_vec()).unwrap()
        };
        let upgraded = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: k=\r\n";
        assert_eq!(said(None, None), format!("{upgraded}\r\n"));
        let protocol = "Sec-WebSocket-Protocol: slackwater\r\n";
        assert_eq!(said(Some("slackwater"), None), format!("{upgraded}{protocol}\r\n"));
        let extension = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
            client_no_context_takeover\r\n";
        let compression = Some(Compression::default());
        assert_eq!(said(Some("slackwater"), compression), format!("{upgraded}{protocol}{extension}\r\n"));
        assert_eq!(said(None, compression), format!("{upgraded}{extension}\r\n"));
    }

    #[test]
    fn what_is_shared_with_a_page_of_another_origin_names_it_and_is_for_no_other() {
        let exchange = Exchange {
            now: Timestamp::UNIX_EPOCH,
            head_only: false,
            keep_alive: true,
            takes_chunks: true,
            shared_with: Some("https://a.example".into()),
            counted_as: None,
        };
        let (head, _) = Response::empty(204).with("Access-Control-Max-Age", "1").encode(&exchange);
        assert_eq!(
            str::from_utf8(&head).unwrap(),
            "HTTP/1.1 204 No Content\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nAccess-Control-Max-Age: 1\r\n\
             Access-Control-Allow-Origin: https://a.example\r\nVary: Origin\r\n\
             Access-Control-Expose-Headers: Retry-After\r\n\r\n"
        );
    }

    #[test]
    fn not_modified_has_no_body_to_measure() {
        let (head, _) = encoded(Response::empty(304).with("ETag", "\"x\""), false, true);
        assert!(head.ends_with("ETag: \"x\"\r\n\r\n"), "{head}");
    }
}
