//! Why a request cannot be answered: a status and a reason for each.

use std::borrow::Cow;

/// Why a request cannot be answered. The peer is told, and then the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 400: it is not HTTP, or can be read in two ways.
    Malformed(&'static str),
    /// 400: it is HTTP without TLS, where that is spoken.
    PlainHttp,
    /// 408: it was not complete in time.
    Timeout,
    /// 413: its body is too large.
    BodyTooLarge,
    /// 413: its body has more bytes than these, which a publication's may have.
    BodyOverLimit(usize),
    /// 431: its head is over `MAX_HEAD_BYTES`.
    HeadTooLarge,
    /// 501: a transfer coding other than chunked.
    UnknownCoding,
    /// 505: neither HTTP/1.1 nor 1.0.
    Version,
}

impl Refusal {
    /// A short name for counters.
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::PlainHttp => "plain_http",
            Self::Timeout => "timeout",
            Self::BodyTooLarge | Self::BodyOverLimit(_) | Self::HeadTooLarge => "too_large",
            Self::UnknownCoding | Self::Version => "unsupported",
        }
    }

    /// The status to answer with, and what was wrong.
    pub fn status(self) -> (u16, Cow<'static, str>) {
        let (status, what) = match self {
            Self::BodyOverLimit(most_bytes) => {
                let what =
                    format!("request body too large: {most_bytes} bytes are the most (--max-publish-size)");
                return (413, what.into());
            }
            Self::Malformed(what) => (400, what),
            Self::PlainHttp => (400, "TLS is spoken at this port: ask by https or wss"),
            Self::Timeout => (408, "request not complete in time"),
            Self::BodyTooLarge => (413, "request body too large"),
            Self::HeadTooLarge => (431, "request head too large"),
            Self::UnknownCoding => (501, "unknown transfer coding"),
            Self::Version => (505, "only HTTP/1.1 and HTTP/1.0 are spoken here"),
        };
        (status, what.into())
    }
}
