//! Request targets and hosts (RFC 9112 §3.2, RFC 3986 §3.2.2): which resource a request names, as it was sent. Nothing is
//! decoded and no dot segment resolved: what a proxy's rule has not matched must not mean what that rule protects.

// An address as it is written; no socket.
use core::net::Ipv6Addr;

/// What a request is about.
#[derive(Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The host and port of the absolute form. It counts instead of the field `Host` (RFC 9112 §3.2.2).
    pub authority: Option<&'a str>,
    /// Begins with a slash, or is `*`.
    pub path: &'a str,
    /// Without the question mark.
    pub query: &'a str,
}

impl<'a> Target<'a> {
    /// Reads a target in one of the forms that an origin server is sent: `/path?query`, the same behind `http://host` or
    /// `https://host`, and `*` for OPTIONS. A fragment is never sent, and other octets than ASCII are sent as escapes.
    pub fn read(method: &str, target: &'a str) -> Option<Self> {
        if !target.is_ascii() || target.contains('#') {
            return None;
        }
        if target == "*" {
            return (method == "OPTIONS").then_some(Self { authority: None, path: "*", query: "" });
        }
        let (authority, origin) = split_authority(target)?;
        let (path, query) = origin.split_once('?').unwrap_or((origin, ""));
        // Some take a backslash for a slash.
        (!path.contains('\\')).then_some(Self {
            authority,
            path: if path.is_empty() { "/" } else { path },
            query,
        })
    }
}

/// The authority of a target in the absolute form, and what follows it.
fn split_authority(target: &str) -> Option<(Option<&str>, &str)> {
    if target.starts_with('/') {
        return Some((None, target));
    }
    let (scheme, rest) = target.split_once("://")?;
    let (authority, origin) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    (is_http && is_host(authority)).then_some((Some(authority), origin))
}

/// Whether this is a host, with a port or without (RFC 9110 §7.2).
pub fn is_host(text: &str) -> bool {
    if let Some((address, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address.parse::<Ipv6Addr>().is_ok() && is_port(port);
    }
    let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
    is_name(name) && is_port(port)
}

/// Whether this is a `reg-name` that names something. IPv4 addresses are written in the same letters.
fn is_name(name: &str) -> bool {
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&octet);
    let mut escapes = name.split('%').skip(1).map(|escape| escape.as_bytes().get(..2));
    !name.is_empty()
        && name.bytes().all(is_allowed)
        && escapes.all(|digits| digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Whether this is nothing, or a colon and a port; the grammar lets the number be left out.
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some(digits) => {
            digits.is_empty()
                || digits.bytes().all(|digit| digit.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        }
        None => text.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(target: &str) -> Option<(Option<&str>, &str, &str)> {
        Target::read("GET", target).map(|Target { authority, path, query }| (authority, path, query))
    }

    #[test]
    fn targets_of_the_origin_and_the_absolute_form_name_the_same_path() {
        let targets = [
            ("/a/b?c", (None, "/a/b", "c")),
            ("/?u=http://x/y?z", (None, "/", "u=http://x/y?z")),
            ("/a?b[]={\\}", (None, "/a", "b[]={\\}")),
            ("http://host/a?b", (Some("host"), "/a", "b")),
            ("HTTPS://host:8000", (Some("host:8000"), "/", "")),
            ("http://[::1]:80?q", (Some("[::1]:80"), "/", "q")),
        ];
        for (target, expected) in targets {
            assert_eq!(read(target), Some(expected), "{target}");
        }
    }

    #[test]
    fn a_path_stays_as_it_was_sent() {
        for path in [
            "//publish",
            "/publish/",
            "/publish;x",
            "/%70ublish",
            "/a/../publish",
            "/./publish",
            "/publish%00",
        ] {
            assert_eq!(read(path), Some((None, path, "")));
        }
    }

    #[test]
    fn what_is_no_target_has_no_path() {
        let none = [
            "",
            "*",
            "publish",
            "host:80",
            "?x",
            "*://y/publish",
            "foo?x://y/healthz",
            "://y/p",
            "http:/publish",
            "http:///publish",
            "http://",
            "http://:80/publish",
            "http://u@y/publish",
            "http://u:p@y/publish",
            "http://y:x/publish",
            "http://[::1/publish",
            "http://a\\b/publish",
            "ftp://y/publish",
            "ws://y/ws",
            "file:///publish",
            "http:publish",
            "/publish#x",
            "http://y#/publish",
            "#/publish",
            "\\publish",
            "/\\publish",
            "/p\u{fc}blish",
        ];
        for target in none {
            assert_eq!(read(target), None, "{target}");
        }
    }

    #[test]
    fn the_asterisk_is_for_options_alone() {
        let asked = |method| Target::read(method, "*").map(|target| target.path);
        assert_eq!(
            ["OPTIONS", "GET", "POST", "options", "CONNECT"].map(asked),
            [Some("*"), None, None, None, None]
        );
    }

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
            assert!(is_host(host), "{host}");
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
            assert!(!is_host(other), "{other}");
        }
    }
}
