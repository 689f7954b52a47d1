//! A host and a port, as they are written (RFC 9110 §7.2, RFC 3986 §3.2): in the field `Host`, in a target and in an origin.
//! Whether two that are written differently are the same is not for here to say.

// An address as it is written; no socket.
use core::net::Ipv6Addr;

/// A host, with a port or without.
#[derive(Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// As written: an IPv6 address stands in brackets.
    pub host: &'a str,
    /// The grammar lets the number be left out behind the colon.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads one; `None` if it is none.
    pub fn read(text: &'a str) -> Option<Self> {
        let end =
            if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
        let (host, port) = text.split_at(end);
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = address.map_or_else(|| is_name(host), |address| address.parse::<Ipv6Addr>().is_ok());
        let port = match port {
            "" | ":" => None,
            _ => Some(read_number(port.strip_prefix(':')?)?),
        };
        is_host.then_some(Self { host, port })
    }
}

/// Whether this is a `reg-name` that names something. IPv4 addresses are written in the same letters.
fn is_name(name: &str) -> bool {
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&octet);
    let mut escapes = name.split('%').skip(1).map(|escape| escape.as_bytes().get(..2));
    !name.is_empty()
        && name.bytes().all(is_allowed)
        && escapes.all(|digits| digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Reads a port, which has no sign.
fn read_number(digits: &str) -> Option<u16> {
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_a_port_or_without() {
        for host in [
            "x",
            "X.example.",
            "a-b_c~d",
            "127.0.0.1",
            "127.0.0.1:8000",
            "x:",
            "x:0",
            "x:65535",
            "x:00080",
            "[::1]",
            "[::1]:8000",
            "[::ffff:1.2.3.4]:",
            "xn--mller-kva.example",
            "m%C3%BCller",
            "(a,b;c=d)",
        ] {
            assert!(Authority::read(host).is_some(), "{host}");
        }
        for other in [
            "",
            ":80",
            "a b",
            "a/b",
            "u@x",
            "u:p@x",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]80",
            "[]",
            "[x]",
            "[v1.a]",
            "[fe80::1%25lo]",
            "[127.0.0.1]",
            "x:y",
            "x:80:80",
            "x:+80",
            "x:-1",
            "x:65536",
            "x: 80",
            "a%",
            "a%4",
            "a%zz",
            "a\\b",
            "a?b",
            "a#b",
            "a\"b",
            "<a>",
            "a|b",
            "a^b",
            "a`b",
            "{a}",
            "m\u{fc}ller",
            "a\tb",
            "a]",
            "http://x",
        ] {
            assert!(Authority::read(other).is_none(), "{other}");
        }
    }
}
