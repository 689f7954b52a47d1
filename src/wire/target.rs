//! Request targets (RFC 9112 §3.2): which resource a request names, as it was sent. Nothing is decoded and no dot segment
//! resolved: a target that a proxy's rule did not match must not name what that rule protects.

use crate::wire::authority::Authority;

/// What a request is about.
#[derive(Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The host and port of the absolute form, which count instead of the field `Host` (RFC 9112 §3.2.2).
    pub authority: Option<&'a str>,
    /// Begins with a slash, or is `*`.
    pub path: &'a str,
    /// Without the question mark; `None` where there is none.
    pub query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Reads a target in one of the forms that an origin server is sent: `/path?query`, the same behind `http://host` or
    /// `https://host`, and `*` for OPTIONS. A fragment is never sent, and octets beyond ASCII are sent as escapes.
    pub fn read(method: &str, target: &'a str) -> Option<Self> {
        if !target.is_ascii() || target.contains('#') {
            return None;
        }
        if target == "*" {
            return (method == "OPTIONS").then_some(Self { authority: None, path: "*", query: None });
        }
        let (authority, origin) = split_authority(target)?;
        let (path, query) =
            origin.split_once('?').map_or((origin, None), |(path, query)| (path, Some(query)));
        // Some programs take a backslash for a slash.
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
    (is_http && Authority::read(authority).is_some()).then_some((Some(authority), origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(target: &str) -> Option<(Option<&str>, &str, Option<&str>)> {
        Target::read("GET", target).map(|Target { authority, path, query }| (authority, path, query))
    }

    #[test]
    fn targets_of_the_origin_and_the_absolute_form_name_the_same_path() {
        let targets = [
            ("/a/b?c", (None, "/a/b", Some("c"))),
            ("/?u=http://x/y?z", (None, "/", Some("u=http://x/y?z"))),
            ("/a?b[]={\\}", (None, "/a", Some("b[]={\\}"))),
            ("http://host/a?b", (Some("host"), "/a", Some("b"))),
            ("HTTPS://host:8000", (Some("host:8000"), "/", None)),
            ("/a?", (None, "/a", Some(""))),
            ("http://[::1]:80?q", (Some("[::1]:80"), "/", Some("q"))),
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
            assert_eq!(read(path), Some((None, path, None)));
        }
    }

    #[test]
    fn what_is_not_a_target_has_no_path() {
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
}
