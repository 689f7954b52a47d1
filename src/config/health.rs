//! Whose health is asked for, as it is written: a URL, or a Unix socket; or the server that has the same configuration.

use std::path::PathBuf;

use super::authority::{is_host, read_port, split_port};
use super::{Config, Place};

/// What is asked for unless a path is named. It is answered as long as the server lives, also one that leaves.
const ALIVE: &str = "/healthz";

const FORM: &str = "give http://HOST:PORT, https://HOST:PORT or unix:PATH, each with a path to ask for, as /readyz, or without";

/// One question by HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthUrl {
    /// Who is asked.
    pub at: Place,
    /// Whether by TLS.
    pub is_secured: bool,
    /// What for: a path, with a query or without.
    pub target: String,
    /// Whether each connection has to begin as the PROXY protocol has it.
    pub is_announced: bool,
}

/// What was said behind `--health`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Nothing: the server of this configuration is asked.
    OfThis,
    /// Somebody else.
    Of(HealthUrl),
}

impl HealthUrl {
    /// Where the server that has this configuration can be asked: operators' door first, which stays open until the process
    /// ends.
    ///
    /// # Errors
    /// When that does not tell.
    pub fn of(config: &Config) -> Result<Self, String> {
        let is_secured = config.ssl.is_on();
        let (at, is_secured, is_announced) = match (&config.admin, &config.uds) {
            (Some(Place::Path(path)), _) => (Place::Path(path.clone()), config.ssl.admin_ssl, false),
            (Some(Place::Ip(host, port)), _) => (nearby(host, *port), config.ssl.admin_ssl, false),
            (None, Some(path)) => (Place::Path(path.clone()), is_secured, config.addresses.proxy_protocol),
            (None, None) => (nearby(&config.host, config.port), is_secured, config.addresses.proxy_protocol),
        };
        if config.admin.is_none() && config.fd.is_some() || matches!(at, Place::Ip(_, 0)) {
            return Err(
                "the configuration does not tell the port: say which, with --health http://HOST:PORT"
                    .to_owned(),
            );
        }
        Ok(Self { at, is_secured, target: ALIVE.to_owned(), is_announced })
    }
}

impl std::fmt::Display for HealthUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.is_secured { "https" } else { "http" };
        match &self.at {
            Place::Ip(host, port) if host.contains(':') => {
                write!(f, "{scheme}://[{host}]:{port}{}", self.target)
            }
            Place::Ip(host, port) => write!(f, "{scheme}://{host}:{port}{}", self.target),
            Place::Path(path) => write!(f, "unix:{}:{}", path.display(), self.target),
        }
    }
}

/// Where a server that listens there is reached from its own machine.
fn nearby(host: &str, port: u16) -> Place {
    let host = match host {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    Place::Ip(host.to_owned(), port)
}

/// Reads what stands behind `--health`, which may be nothing.
pub(super) fn health(text: &str) -> Result<Health, String> {
    if text.is_empty() {
        return Ok(Health::OfThis);
    }
    if let Some(place) = text.strip_prefix("unix:") {
        // As nginx has it: the path of the socket, and behind a colon what is asked for.
        let (path, target) = place.rsplit_once(":/").map_or((place, None), |(path, rest)| (path, Some(rest)));
        let target = target.map_or(ALIVE.to_owned(), |rest| format!("/{rest}"));
        let at = Place::Path(PathBuf::from(path));
        return if path.is_empty() { Err(FORM.to_owned()) } else { question(at, false, target) };
    }
    let (is_secured, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (false, rest),
        (None, Some(rest)) => (true, rest),
        (None, None) => return Err(FORM.to_owned()),
    };
    if is_secured && !cfg!(feature = "tls") {
        return Err("this program was built without TLS: build it with the feature 'tls'".to_owned());
    }
    let (authority, target) = rest.find(['/', '?']).map_or((rest, ""), |end| rest.split_at(end));
    let (host, port) = split_port(authority).filter(|(host, _)| is_host(host)).ok_or(FORM)?;
    let port = match port {
        None => Some(if is_secured { 443 } else { 80 }),
        Some(digits) => read_port(digits),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let target = match target {
        "" | "/" => ALIVE.to_owned(),
        query if query.starts_with('?') => format!("{ALIVE}{query}"),
        target => target.to_owned(),
    };
    question(Place::Ip(host, port.ok_or(FORM)?), is_secured, target)
}

fn question(at: Place, is_secured: bool, target: String) -> Result<Health, String> {
    if !target.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'#') {
        return Err("the path may have visible ASCII letters only, and no '#'".to_owned());
    }
    Ok(Health::Of(HealthUrl { at, is_secured, target, is_announced: false }))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        health(text).map(|health| match health {
            Health::Of(url) => url.to_string(),
            Health::OfThis => "of this".to_owned(),
        })
    }

    #[test]
    fn a_url_has_a_host_and_may_have_a_port_and_a_path() {
        for (text, expected) in [
            ("", "of this"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/healthz"),
            ("http://example.com/", "http://example.com:80/healthz"),
            ("http://[::1]:9000/readyz", "http://[::1]:9000/readyz"),
            ("http://localhost:1/status?connections", "http://localhost:1/status?connections"),
            ("http://localhost?x", "http://localhost:80/healthz?x"),
            ("unix:/run/s.sock", "unix:/run/s.sock:/healthz"),
            ("unix:s.sock:/readyz", "unix:s.sock:/readyz"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
        let over_tls = shown("https://example.com/x");
        assert_eq!(over_tls.is_ok_and(|shown| shown == "https://example.com:443/x"), cfg!(feature = "tls"));
    }

    #[test]
    fn what_names_nobody_who_can_be_asked_is_refused_with_the_form() {
        for text in [
            "localhost:8000",
            "8000",
            "ws://localhost",
            "http://",
            "http://a:0",
            "http://a:99999",
            "http://u:p@a",
            "http://a b/",
            "http://[::1",
            "unix:",
        ] {
            assert_eq!(shown(text), Err(FORM.to_owned()), "{text}");
        }
        assert!(shown("http://a/\u{fc}").is_err() && shown("http://a/x y").is_err());
    }

    #[test]
    fn a_server_is_asked_on_its_own_machine_and_where_operators_are_answered_if_they_are() {
        for (flags, expected) in [
            ("", Ok("http://127.0.0.1:8000/healthz")),
            ("--host 0.0.0.0 --port 80", Ok("http://127.0.0.1:80/healthz")),
            ("--host :: ", Ok("http://[::1]:8000/healthz")),
            ("--host 10.0.0.7", Ok("http://10.0.0.7:8000/healthz")),
            ("--uds /run/s", Ok("unix:/run/s:/healthz")),
            ("--admin 0.0.0.0:9000", Ok("http://127.0.0.1:9000/healthz")),
            ("--uds /run/s --admin /run/a", Ok("unix:/run/a:/healthz")),
            ("--fd 3 --admin /run/a", Ok("unix:/run/a:/healthz")),
            ("--port 0", Err(())),
            ("--fd 3", Err(())),
        ] {
            let args = ["slackwater"].into_iter().chain(flags.split_whitespace()).map(OsString::from);
            let url = HealthUrl::of(&Config::read(args).unwrap());
            assert_eq!(
                url.map(|url| url.to_string()).map_err(|_| ()),
                expected.map(str::to_owned),
                "{flags}"
            );
        }
    }
}
