//! The knobs of TLS: which certificate is shown, by which key, and what session tickets are made by. The names are uvicorn's,
//! where it has the same. Reads no file.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};

use super::secret::Secret;
use super::sources::Sources;
use super::{truth, usage_error};

/// What is called by the flags, or refused, where TLS was left out of the program.
const LEFT_OUT: &str = "this program was built without TLS: build it with the feature 'tls', or put a proxy in front that has it";

/// How TLS is spoken; not at all without a certificate.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "TLS")]
pub struct SslFlags {
    /// File with the certificate to show, in PEM, followed by those of the authorities between it and the root: with it TLS
    /// is spoken, https and wss; read again when it changes
    #[arg(long, env = "SLACKWATER_SSL_CERTFILE", value_name = "PATH")]
    pub ssl_certfile: Option<PathBuf>,

    /// File with its private key, in PEM; read again when it changes [default: the key is in --ssl-certfile, too]
    #[arg(long, env = "SLACKWATER_SSL_KEYFILE", value_name = "PATH")]
    pub ssl_keyfile: Option<PathBuf>,

    /// Password by which that key is encrypted; everyone on this machine can read it in the arguments, so give it in the
    /// variable
    #[arg(
        long,
        env = "SLACKWATER_SSL_KEYFILE_PASSWORD",
        value_name = "PASSWORD",
        allow_hyphen_values = true
    )]
    // clap shows what it refuses, and it refuses what is no UTF-8 only.
    #[arg(value_parser = |text: &str| Ok::<_, Infallible>(Secret::unchecked(text)))]
    pub ssl_keyfile_password: Option<Secret>,

    /// File with 32 to 1024 random bytes by which session tickets are made, so that clients of one machine resume on
    /// another; read again when it changes [default: drawn at the start, and handed on to successors]
    #[arg(long, env = "SLACKWATER_SSL_TICKET_KEYFILE", value_name = "PATH")]
    pub ssl_ticket_keyfile: Option<PathBuf>,

    /// Speak TLS on --admin, too, with the same certificate
    #[arg(long, env = "SLACKWATER_ADMIN_SSL")]
    #[arg(value_name = "BOOLEAN", default_value = "false", default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_parser = truth)]
    pub admin_ssl: bool,

    /// Whether the password was given as an argument, where everyone on this machine can read it.
    #[arg(skip)]
    pub password_is_in_arguments: bool,

    /// What tickets are made by where no file is named, once that is known.
    #[arg(skip)]
    pub ticket_secret: Option<TicketSecret>,
}

/// What session tickets are made by: whoever has it can read sessions of TLS 1.2 that were recorded.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketSecret(pub [u8; 32]);

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSecret")
    }
}

impl SslFlags {
    /// Whether TLS is spoken with clients.
    pub fn is_on(&self) -> bool {
        self.ssl_certfile.is_some()
    }

    /// Where the private key is, and by which flag that was said.
    pub fn key_place(&self) -> Option<(&'static str, &Path)> {
        let own = self.ssl_keyfile.as_deref().map(|path| ("--ssl-keyfile", path));
        own.or_else(|| self.ssl_certfile.as_deref().map(|path| ("--ssl-certfile", path)))
    }

    /// Notes where the password was given, and checks that nothing is said of a certificate that is not there.
    pub(super) fn check(&mut self, sources: &Sources, has_admin: bool) -> Result<(), clap::Error> {
        self.password_is_in_arguments = sources.is_argument("ssl_keyfile_password");
        let why = self.contradiction(sources, cfg!(feature = "tls"), has_admin);
        why.map_or(Ok(()), |why| Err(usage_error(why)))
    }

    fn contradiction(&self, sources: &Sources, has_tls: bool, has_admin: bool) -> Option<String> {
        let given = [
            ("ssl_certfile", self.ssl_certfile.is_some()),
            ("ssl_keyfile", self.ssl_keyfile.is_some()),
            ("ssl_keyfile_password", self.ssl_keyfile_password.is_some()),
            ("ssl_ticket_keyfile", self.ssl_ticket_keyfile.is_some()),
            ("admin_ssl", self.admin_ssl),
        ];
        // Not left to clap, for which a variable that says `false` counts as a flag that is given.
        let (id, _) = given.into_iter().find(|(_, is_given)| *is_given)?;
        let name = sources.name(id);
        if !has_tls {
            return Some(format!("{name} is not possible: {LEFT_OUT}"));
        }
        if !self.is_on() {
            return Some(format!(
                "{name} means nothing without a certificate: give that, too, with '--ssl-certfile <PATH>'"
            ));
        }
        (self.admin_ssl && !has_admin).then(|| {
            format!(
                "{} means nothing without '--admin <ADDRESS>': operators are answered with the rest, and there TLS is spoken; leave \
                 it out",
                sources.name("admin_ssl")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::config::Config;

    fn read(flags: &str) -> Result<SslFlags, String> {
        let args = ["slackwater"].into_iter().chain(flags.split_whitespace()).map(OsString::from);
        Config::read(args).map(|config| config.ssl).map_err(|error| error.to_string())
    }

    #[test]
    #[cfg(feature = "tls")]
    fn tls_is_spoken_once_there_is_a_certificate_whose_key_may_be_beside_it() {
        assert!(!read("").unwrap().is_on());
        let both = read("--ssl-certfile c.pem").unwrap();
        assert!(both.is_on());
        assert_eq!(both.key_place(), Some(("--ssl-certfile", Path::new("c.pem"))));
        let apart = read("--ssl-certfile c.pem --ssl-keyfile k.pem").unwrap();
        assert_eq!(apart.key_place(), Some(("--ssl-keyfile", Path::new("k.pem"))));
        assert!(read("--ssl-certfile c.pem --admin /run/a --admin-ssl").unwrap().admin_ssl);
    }

    #[test]
    #[cfg(feature = "tls")]
    fn what_belongs_to_a_certificate_is_refused_without_one() {
        for flags in [
            "--ssl-keyfile k",
            "--ssl-keyfile-password sekrit",
            "--ssl-ticket-keyfile t",
            "--admin-ssl",
            "--admin /run/a --admin-ssl",
        ] {
            let why = read(flags).unwrap_err();
            assert!(why.contains("give that, too, with '--ssl-certfile <PATH>'"), "{flags}: {why}");
            assert!(!why.contains("sekrit"));
        }
        let why = read("--ssl-certfile c --admin-ssl").unwrap_err();
        assert!(
            why.contains("'--admin-ssl' means nothing without '--admin") && why.contains("leave it out"),
            "{why}"
        );
    }

    #[test]
    fn a_program_without_tls_says_so_instead_of_speaking_in_plain() {
        let flags = SslFlags { ssl_certfile: Some("c".into()), ..SslFlags::default() };
        let why = flags.contradiction(&Sources::default(), false, false).unwrap();
        assert!(why.contains("'--ssl-certfile' is not possible"), "{why}");
        assert!(why.contains("built without TLS"));
        assert_eq!(SslFlags::default().contradiction(&Sources::default(), false, true), None);
        assert_eq!(read("--ssl-certfile c").is_ok(), cfg!(feature = "tls"));
    }

    #[test]
    #[cfg(feature = "tls")]
    fn a_password_and_what_tickets_are_made_by_are_not_shown() {
        let mut flags = read("--ssl-certfile c --ssl-keyfile-password --sekrit").unwrap();
        flags.ssl_keyfile_password.as_ref().unwrap().reveal().eq("--sekrit").then_some(()).unwrap();
        assert!(flags.password_is_in_arguments);
        flags.ticket_secret = Some(TicketSecret(*b"sekrit__sekrit__sekrit__sekrit__"));
        assert!(!format!("{flags:?}").contains("sekrit"));
    }
}
