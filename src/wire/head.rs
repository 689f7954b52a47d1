//! The head of a request as the `httparse` crate has read it, and the questions that are asked of it.

use httparse::Header;

use crate::wire::refusal::Refusal;

/// A request's line and header fields together, at most.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// A request's head as parsed, with the questions that are asked of it.
pub struct Head<'a> {
    /// As sent; methods are case-sensitive.
    pub method: &'a str,
    /// HTTP/1.0 demands no Host, and knows neither `Expect` nor `Upgrade`.
    pub is_http_1_0: bool,
    /// As sent.
    pub target: &'a str,
    headers: &'a [Header<'a>],
}

impl<'a> Head<'a> {
    /// The head of a request that was parsed to its end.
    pub fn of(parsed: &'a httparse::Request<'a, 'a>) -> Self {
        Self {
            method: parsed.method.expect("a complete parse has a method"),
            target: parsed.path.expect("a complete parse has a target"),
            is_http_1_0: parsed.version == Some(0),
            headers: parsed.headers,
        }
    }

    /// The names of all fields.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.headers.iter().map(|header| header.name)
    }

    /// All fields: their names, and their values as they have come.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.headers.iter().map(|header| (header.name, header.value))
    }

    /// The values of a field, one for each line that names it.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.trim_ascii())
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

    /// The value of the first cookie of this name that has one, without quotes around it (RFC 6265 §4.2.1). Of several the
    /// first one is the most specific (§5.4).
    pub fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        let pairs = self.values("cookie").flat_map(|value| value.split(|octet| *octet == b';'));
        let value = |pair: &'a [u8]| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=");
        pairs.filter_map(value).map(unquoted).find(|value| !value.is_empty())
    }
}

/// Whether an octet may be in a token (RFC 9110 §5.6.2).
pub fn is_token(octet: &u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(octet)
}

fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    inner.unwrap_or(value)
}

/// Whether any line ends without a carriage return. Not every parser takes that for the end of a line.
pub fn has_bare_line_feed(lines: &[u8]) -> bool {
    lines.first() == Some(&b'\n') || lines.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r')
}
