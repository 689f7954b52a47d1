//! The origins whose pages are let in besides the server's own, as they are written. Whether a request comes from one of
//! them is for `http` to say.

use std::net::Ipv4Addr;

use clap::Args;

use super::authority::{is_host, read_port, split_port};
use super::listed::{Listed, listed};

const FORM: &str = "give an origin, such as https://app.example.com or http://localhost:3000; https://*.example.com for all \
    below example.com; null for pages from files and sandboxed frames; or * for any";

/// Which pages are let in.
#[derive(Debug, Clone, Default, Args)]
pub struct OriginFlags {
    /// Origin whose pages may listen and publish, such as https://app.example.com, https://*.example.com, null, or * for
    /// any; repeatable [default: the server's own; on a loopback address those of this machine may listen]
    #[arg(long, env = "SLACKWATER_ALLOWED_ORIGIN", help_heading = "Listening")]
    #[arg(value_name = "ORIGIN", value_parser = listed(AllowedOrigin::read))]
    allowed_origin: Vec<Listed<AllowedOrigin>>,
}

/// Origins whose pages are let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// `*`
    Any,
    /// `null`: what a page says that has none, as it comes from a file or stands in a sandboxed frame.
    Opaque,
    /// Those of a host.
    Pages {
        /// In small letters.
        scheme: String,
        /// A name, an IPv4 address, or an IPv6 address in brackets.
        host: String,
        /// Where none is written, the scheme's own.
        port: Option<u16>,
        /// Whether it stands for all names below the host, and not for the host itself.
        is_below: bool,
    },
}

impl OriginFlags {
    /// All that are named.
    pub fn all(&self) -> Vec<AllowedOrigin> {
        Listed::all(&self.allowed_origin)
    }
}

impl AllowedOrigin {
    /// Reads one as it is written.
    ///
    /// # Errors
    /// What to write instead.
    pub fn read(text: &str) -> Result<Self, String> {
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Opaque),
            _ if !text.is_ascii() => {
                return Err("give the host as browsers send it, in ASCII (xn--…)".to_owned());
            }
            _ => {}
        }
        let Some((scheme, rest)) = text.split_once("://") else { return Err(FORM.to_owned()) };
        let scheme = scheme.to_ascii_lowercase();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        match scheme.as_str() {
            "file" => return Err("browsers send no origin of a file: give null".to_owned()),
            "ws" | "wss" => {
                let scheme = scheme.replace("ws", "http");
                return Err(format!(
                    "an origin is where the page comes from, not what it opens: give {scheme}://{authority}"
                ));
            }
            _ if !is_scheme(&scheme) => return Err(FORM.to_owned()),
            _ if authority.len() < rest.len() && !authority.is_empty() => {
                return Err(format!(
                    "an origin ends behind the host and the port: give {scheme}://{authority}"
                ));
            }
            _ => {}
        }
        let (is_below, named) = authority.strip_prefix("*.").map_or((false, authority), |rest| (true, rest));
        let (host, port) = split_port(named).ok_or(FORM)?;
        let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
        if is_below && is_address || !is_host(host) {
            return Err(FORM.to_owned());
        }
        let port = match port {
            None => None,
            Some(digits) => {
                Some(read_port(digits).ok_or("give the port as a number from 1 to 65535, or none")?)
            }
        };
        Ok(Self::Pages { scheme, host: host.to_ascii_lowercase(), port, is_below })
    }
}

/// RFC 3986 §3.1.
fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::config::Config;

    fn read(flags: &str) -> Result<Vec<AllowedOrigin>, String> {
        let args = ["slackwater"].into_iter().chain(flags.split('|')).map(OsString::from);
        Config::read(args).map(|config| config.origins.all()).map_err(|error| error.to_string())
    }

    fn pages(scheme: &str, host: &str, port: impl Into<Option<u16>>, is_below: bool) -> AllowedOrigin {
        AllowedOrigin::Pages { scheme: scheme.to_owned(), host: host.to_owned(), port: port.into(), is_below }
    }

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        for (text, expected) in [
            ("*", AllowedOrigin::Any),
            ("null", AllowedOrigin::Opaque),
            ("https://app.example.com", pages("https", "app.example.com", None, false)),
            ("HTTPS://App.Example.com:8443", pages("https", "app.example.com", 8443, false)),
            ("http://localhost:3000", pages("http", "localhost", 3000, false)),
            ("https://*.example.com", pages("https", "example.com", None, true)),
            ("https://*.example.com:444", pages("https", "example.com", 444, true)),
            ("http://[::1]:80", pages("http", "[::1]", 80, false)),
            ("http://192.168.0.7", pages("http", "192.168.0.7", None, false)),
            ("capacitor://localhost", pages("capacitor", "localhost", None, false)),
            ("chrome-extension://abcdef", pages("chrome-extension", "abcdef", None, false)),
        ] {
            assert_eq!(AllowedOrigin::read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn the_flag_is_repeatable_and_a_value_may_name_several() {
        let expected = vec![pages("https", "a", None, false), pages("https", "b", None, true)];
        for flags in [
            "--allowed-origin|https://a|--allowed-origin|https://*.b",
            "--allowed-origin|https://a,https://*.b",
            "--allowed-origin= https://a,  https://*.b\n",
        ] {
            assert_eq!(read(flags), Ok(expected.clone()), "{flags}");
        }
        assert_eq!(read("--allowed-origin="), Ok(vec![]));
        assert_eq!(read("--port|1"), Ok(vec![]));
    }

    #[test]
    fn what_no_browser_sends_is_refused_with_the_flag_the_value_and_what_to_write_instead() {
        for (text, mend) in [
            ("app.example.com", FORM),
            ("https://", FORM),
            ("https:///x", FORM),
            ("://x", FORM),
            ("1x://x", FORM),
            ("https://*", FORM),
            ("https://a.*.example.com", FORM),
            ("https://*.*.example.com", FORM),
            ("https://*.127.0.0.1", FORM),
            ("https://*.[::1]", FORM),
            ("https://[::1", FORM),
            ("https://[::1]x", FORM),
            ("https://a..b", FORM),
            ("NULL", FORM),
            (
                "https://app.example.com/",
                "an origin ends behind the host and the port: give https://app.example.com",
            ),
            ("https://a:1/x?y#z", "give https://a:1"),
            ("https://a?x", "give https://a"),
            ("wss://a.example/ws", "not what it opens: give https://a.example"),
            ("ws://a:1", "give http://a:1"),
            ("file://", "give null"),
            ("file:///home/x.html", "give null"),
            ("https://b\u{fc}cher.example", "in ASCII (xn--…)"),
            ("https://a:0", "from 1 to 65535"),
            ("https://a:65536", "from 1 to 65535"),
            ("https://a:", "from 1 to 65535"),
            ("https://a:+1", "from 1 to 65535"),
            ("http://localhost:*", "from 1 to 65535"),
        ] {
            let error = read(&format!("--allowed-origin|{text}")).unwrap_err();
            let named = format!("invalid value '{text}' for '--allowed-origin <ORIGIN>': ");
            assert!(error.contains(&named) && error.contains(mend), "{error}");
        }
        let error = read("--allowed-origin|https://u@a").unwrap_err();
        let withheld =
            "for '--allowed-origin <ORIGIN>', not shown as a password may stand in front of its '@': ";
        assert!(error.contains(withheld) && error.contains(FORM) && !error.contains("u@a"), "{error}");
        let error = read("--allowed-origin|https://a,b").unwrap_err();
        assert!(
            error.contains("invalid value 'https://a,b' for '--allowed-origin <ORIGIN>': 'b': give "),
            "{error}"
        );
    }
}
