//! Who comes by plain HTTP, and where that is not served.

use std::path::PathBuf;

use clap::Args;

use super::sources::Sources;
use super::{Config, whole};

/// The flags of it.
#[derive(Debug, Clone, Args)]
pub struct RedirectFlags {
    /// Port of plain HTTP, at the addresses of --host, from where every request is redirected to https:// [default: none; 80 is where
    /// browsers look]
    #[arg(long, env = "SLACKWATER_HTTP_REDIRECT", help_heading = "Listening")]
    #[arg(value_name = "PORT", value_parser = whole::<u16>(0..=65_535), allow_negative_numbers = true)]
    pub http_redirect: Option<u16>,

    /// Folder of which the files below .well-known/acme-challenge/ are served at --http-redirect, for certbot --webroot
    #[arg(long, env = "SLACKWATER_ACME_WEBROOT", help_heading = "Listening")]
    #[arg(value_name = "DIR")]
    pub acme_webroot: Option<PathBuf>,
}

/// What contradicts redirecting, if something does.
pub(super) fn contradiction(config: &Config, sources: &Sources) -> Option<String> {
    let name = sources.name("http_redirect");
    let Some(port) = config.redirect.http_redirect else {
        return config.redirect.acme_webroot.as_ref().map(|_| {
            format!(
                "{} cannot be used without '--http-redirect', where its files would be served",
                sources.name("acme_webroot")
            )
        });
    };
    if !config.ssl.is_on() {
        return Some(format!(
            "{name} would redirect to nothing: there is no HTTPS without a certificate: give that, too, with '--ssl-certfile \
             <PATH>'"
        ));
    }
    if config.uds.is_some() {
        let uds = sources.name("uds");
        return Some(format!("{name} cannot be used with {uds}: there is no port of HTTPS to redirect to"));
    }
    (port != 0 && port == config.port && config.fd.is_none()).then(|| {
        let own = sources.name("port");
        format!("{name} cannot be the port of {own}, {port}, where HTTPS is served: choose another")
    })
}

#[cfg(test)]
#[cfg(feature = "tls")]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn read(flags: &str) -> Result<RedirectFlags, String> {
        let args = ["slackwater"].into_iter().chain(flags.split_whitespace()).map(OsString::from);
        Config::read(args).map(|config| config.redirect).map_err(|error| error.to_string())
    }

    #[test]
    fn plain_http_is_redirected_at_a_port_of_its_own() {
        let flags = read("--ssl-certfile c --port 443 --http-redirect 80 --acme-webroot /var/www").unwrap();
        assert_eq!((flags.http_redirect, flags.acme_webroot), (Some(80), Some("/var/www".into())));
        assert_eq!(read("").unwrap().http_redirect, None);
        assert_eq!(read("--ssl-certfile c --port 0 --http-redirect 0").unwrap().http_redirect, Some(0));
    }

    #[test]
    fn what_could_not_be_redirected_is_refused_with_what_is_wrong() {
        for (flags, why) in [
            ("--acme-webroot /var/www", "'--acme-webroot' cannot be used without '--http-redirect'"),
            ("--http-redirect 80", "'--http-redirect' would redirect to nothing"),
            ("--ssl-certfile c --http-redirect 80 --uds x", "'--http-redirect' cannot be used with '--uds'"),
            (
                "--ssl-certfile c --http-redirect 8000",
                "'--http-redirect' cannot be the port of '--port', 8000",
            ),
            ("--http-redirect 65536", "--http-redirect <PORT>"),
            ("--http-redirect -1", "--http-redirect <PORT>"),
        ] {
            let told = read(flags).unwrap_err();
            assert!(told.contains(why), "{flags}: {told}");
        }
    }
}
