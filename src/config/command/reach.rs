//! Where a server is, and what it is shown, as it is written on the command lines of `slackwater publish` and `slackwater listen`.

use std::convert::Infallible;
use std::path::PathBuf;

use clap::Args;
use tungstenite::http::Uri;
use tungstenite::http::uri::Scheme;

use crate::config::Place;
use crate::config::secret::Secret;
use crate::config::sources::Sources;
use crate::config::usage_error;

/// Where a server is, and what it is shown.
#[derive(Debug, Clone, Args)]
pub struct Reach {
    /// Where the server is: http:// or https://, and the path of a proxy that it is below
    #[arg(long, env = "SLACKWATER_URL", default_value = "http://localhost:8000", help_heading = "Server")]
    // clap shows what it refuses, and a password may stand in it.
    #[arg(value_parser = |text: &str| Ok::<_, Infallible>(ServerUrl::unchecked(text)))]
    pub url: ServerUrl,

    /// Path of the server's Unix socket, instead of the host and the port
    #[arg(long, value_name = "PATH", help_heading = "Server")]
    pub uds: Option<PathBuf>,

    /// File with the certificates of those who vouch for the server, instead of the system's: PEM
    #[arg(long, env = "SLACKWATER_CA_FILE", value_name = "PATH", help_heading = "Server")]
    pub ca_file: Option<PathBuf>,

    /// Token to show, which everyone on the machine can read in the arguments: better in the variable, or in a file
    #[arg(long, env = "SLACKWATER_TOKEN", value_name = "TOKEN", help_heading = "Server")]
    #[arg(conflicts_with = "token_file", allow_hyphen_values = true)]
    // clap shows what it refuses, so this is checked later.
    #[arg(value_parser = |text: &str| Ok::<_, Infallible>(Secret::unchecked(text)))]
    pub token: Option<Secret>,

    /// File with the token; read again for each connection
    #[arg(long, env = "SLACKWATER_TOKEN_FILE", value_name = "PATH", help_heading = "Server")]
    pub token_file: Option<PathBuf>,

    /// Where each of these was given.
    #[arg(skip)]
    pub sources: Sources,
}

/// The address of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerUrl {
    /// Why it is none, if it is not.
    fault: Option<String>,
    /// Whether TLS is spoken.
    pub is_secured: bool,
    /// A name or an address, this without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What `Host` says.
    pub authority: String,
    /// What stands before the server's own paths, without a slash at its end.
    pub prefix: String,
}

impl Reach {
    /// Where the server is.
    pub fn at(&self) -> Place {
        match &self.uds {
            Some(path) => Place::Path(path.clone()),
            None => Place::Ip(self.url.host.clone(), self.url.port),
        }
    }

    /// Notes where each was given, and checks what the command line alone does not.
    pub(super) fn check(&mut self, sources: Sources) -> Result<(), clap::Error> {
        if let Some(Err(why)) = self.token.as_ref().map(Secret::check) {
            return Err(usage_error(format!("invalid value for {}: {why}", sources.place("token"))));
        }
        if let Some(why) = &self.url.fault {
            return Err(usage_error(format!("invalid value for {}: {why}", sources.place("url"))));
        }
        if self.uds.is_some() && self.url.is_secured {
            return Err(usage_error("a Unix socket has no TLS: give --url with http://, or none".to_owned()));
        }
        self.sources = sources;
        Ok(())
    }
}

impl ServerUrl {
    fn unchecked(text: &str) -> Self {
        Self::read(text).unwrap_or_else(|why| Self { fault: Some(why), ..Self::default() })
    }

    fn read(text: &str) -> Result<Self, String> {
        if text.starts_with("unix:") {
            return Err("a Unix socket is given with --uds PATH".to_owned());
        }
        // Without a scheme, as curl takes it.
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let form = "give http://HOST:PORT or https://HOST, as http://localhost:8000";
        let uri: Uri = whole.parse().map_err(|_| form.to_owned())?;
        let is_secured = match uri.scheme().map(Scheme::as_str) {
            Some("https" | "wss") => true,
            Some("http" | "ws") => false,
            _ => return Err(form.to_owned()),
        };
        let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or(form)?;
        if authority.as_str().contains('@') {
            return Err("it names a user: give a token instead, with --token-file".to_owned());
        }
        let port = match authority.port() {
            None if authority.as_str() == authority.host() => Some(if is_secured { 443 } else { 80 }),
            None => None,
            Some(port) => Some(port.as_u16()).filter(|port| *port > 0),
        };
        let port = port.ok_or("its port is to be a number from 1 to 65535")?;
        if uri.query().is_some() {
            return Err("it has a query: give topics with --topic, and a token with --token-file".to_owned());
        }
        // The whole address of what is asked for is meant as the server's, too.
        let path = uri.path().trim_end_matches('/');
        let prefix =
            ["/ws", "/publish", "/events"].iter().find_map(|own| path.strip_suffix(own)).unwrap_or(path);
        Ok(Self {
            fault: None,
            is_secured,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            prefix: prefix.to_owned(),
        })
    }

    /// The address to give instead, where this one has answered that what was asked for there is elsewhere (RFC 9110 §10.2.2).
    pub fn moved_to(&self, location: &str) -> Option<String> {
        let location = location.split(['?', '#']).next().unwrap_or_default();
        let scheme = if self.is_secured { "https:" } else { "http:" };
        let whole = match location {
            path if path.starts_with("//") => format!("{scheme}{path}"),
            path if path.starts_with('/') => format!("{scheme}//{}{path}", self.authority),
            whole => whole.to_owned(),
        };
        Self::read(&whole).ok().map(|url| url.shown())
    }

    /// The address as it is shown.
    pub fn shown(&self) -> String {
        let scheme = if self.is_secured { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_http_with_or_without_what_is_asked_for_there() {
        for (text, expected) in [
            ("http://localhost:8000", (false, "localhost", 8000, "")),
            ("localhost:8000", (false, "localhost", 8000, "")),
            ("https://example.com", (true, "example.com", 443, "")),
            ("wss://example.com/slackwater/ws", (true, "example.com", 443, "/slackwater")),
            ("ws://[::1]/", (false, "::1", 80, "")),
            ("http://x/publish/", (false, "x", 80, "")),
            ("http://[::1]:65535", (false, "::1", 65535, "")),
        ] {
            let url = ServerUrl::read(text).unwrap();
            assert_eq!((url.is_secured, &*url.host, url.port, &*url.prefix), expected, "{text}");
        }
        for text in [
            "http://x:65536",
            "http://x:0",
            "http://x:",
            "unix:/tmp/socket",
            "",
            "ftp://x",
            "http://",
            "http:///x",
            "http://u:sekrit@x",
            "http://x?topic=a",
            "a b",
        ] {
            let why = ServerUrl::read(text).unwrap_err();
            assert!(!why.contains("sekrit"), "{text}: {why}");
        }
    }

    #[test]
    fn where_somebody_is_sent_can_be_given_as_the_address() {
        let url = ServerUrl::read("https://example.com/old").unwrap();
        for (location, expected) in [
            ("http://example.com/new/publish?topic=notifications", Some("http://example.com/new")),
            ("/new/ws?", Some("https://example.com/new")),
            ("//other.example/ws", Some("https://other.example")),
            ("https://u:sekrit@example.com/", None),
            ("", None),
        ] {
            assert_eq!(url.moved_to(location).as_deref(), expected, "{location}");
        }
    }
}
