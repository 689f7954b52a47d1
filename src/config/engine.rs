//! The knobs of the engine: the Redis or Valkey server in which several machines keep one order of publications. Connects to
//! nothing. The text of the URL is read here and shown nowhere, since a password may stand in it.

mod url;

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args};

use super::secret::Secret;
use super::{AdminAddress, Config, Period, is_argument, milliseconds, usage_error};

pub use self::url::{Encryption, EngineAddress, EngineUrl};

/// A name's longest.
const MAX_NAME_BYTES: usize = 64;

const MAX_WAIT_MILLIS: u64 = 60_000;

/// Where the engine is, and how it is used.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Several machines")]
pub struct EngineFlags {
    /// Redis (7.0 or later) or Valkey (8 or later) through which several machines hear the same publications:
    /// redis://[user:password@]host[:port][/db], unix:///path[?db=N] or
    /// redis+sentinel://[user:password@]host[:port],…/name[/db], and for TLS rediss:// or rediss+sentinel://; a password in the arguments can be read by everyone on this
    /// machine, so give that in the variable or a file
    #[arg(long, env = "SLACKWATER_ENGINE", value_name = "URL", allow_hyphen_values = true)]
    // clap shows what it refuses, so this is read later.
    #[arg(value_parser = |text: &str| Ok::<_, Infallible>(Secret::unchecked(text)))]
    engine: Option<Secret>,

    /// File with the engine's password, instead of one in the URL
    #[arg(long, env = "SLACKWATER_ENGINE_PASSWORD_FILE", value_name = "PATH", requires = "engine")]
    pub engine_password_file: Option<PathBuf>,

    /// File with the certificates, in PEM, of the authorities of which one has to vouch for the engine [default: those that the
    /// system trusts]
    #[arg(long, env = "SLACKWATER_ENGINE_CACERT", value_name = "PATH", requires = "engine")]
    pub engine_cacert: Option<PathBuf>,

    /// File with the certificate that the engine is shown, in PEM, followed by those of the authorities between it and the root
    #[arg(long, env = "SLACKWATER_ENGINE_CERT", value_name = "PATH", requires = "engine")]
    pub engine_cert: Option<PathBuf>,

    /// File with its private key, in PEM and not encrypted [default: the key is in --engine-cert, too]
    #[arg(long, env = "SLACKWATER_ENGINE_KEY", value_name = "PATH", requires_all = ["engine", "engine_cert"])]
    pub engine_key: Option<PathBuf>,

    /// Name with which the engine's keys begin: machines with the same one hear the same publications
    #[arg(long, env = "SLACKWATER_ENGINE_NAME", value_name = "NAME", default_value = "slackwater")]
    #[arg(value_parser = name, requires = "engine")]
    pub engine_name: String,

    /// Time to wait for a replica of the engine to have a publication before its publisher is answered, in milliseconds; 0 not to wait
    #[arg(long, env = "SLACKWATER_ENGINE_WAIT", value_name = "MS", default_value = "0")]
    #[arg(value_parser = milliseconds(MAX_WAIT_MILLIS), requires = "engine", allow_negative_numbers = true)]
    pub engine_wait: Period,

    /// Where it is, once that has been read; `None` without an engine.
    #[arg(skip)]
    pub url: Option<EngineUrl>,

    /// Whether the URL was given as an argument, where everyone on this machine can read it.
    #[arg(skip)]
    is_in_arguments: bool,
}

impl EngineFlags {
    /// The URL as it was written, password and all, if it stands in the arguments.
    pub fn in_arguments(&self) -> Option<&Secret> {
        self.engine.as_ref().filter(|_| self.is_in_arguments)
    }

    /// Whether a password stands in the arguments.
    pub fn password_is_in_arguments(&self) -> bool {
        // A password of the file's is set later, and never beside one in the URL.
        let is_in_url = self.engine_password_file.is_none()
            && self.url.as_ref().is_some_and(|url| url.password.is_some());
        self.is_in_arguments && is_in_url
    }

    /// Where the private key is that belongs to what the engine is shown, and by which flag that was said.
    pub fn key_place(&self) -> Option<(&'static str, &Path)> {
        let own = self.engine_key.as_deref().map(|path| ("--engine-key", path));
        own.or_else(|| self.engine_cert.as_deref().map(|path| ("--engine-cert", path)))
    }

    /// Notes where the URL was given, and reads it.
    pub(super) fn check(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.is_in_arguments = is_argument(matches, "engine");
        let place = if self.is_in_arguments { "--engine <URL>" } else { "SLACKWATER_ENGINE" };
        let Some(text) = &self.engine else { return Ok(()) };
        let url = EngineUrl::read(text.reveal()).and_then(|url| self.with_one_password(url));
        let url = url.map_err(|why| usage_error(format!("invalid value for '{place}': {why}")))?;
        let in_vain = self.tls_flag().filter(|_| url.encryption == Encryption::None);
        self.url = Some(url);
        in_vain.map_or(Ok(()), |(flag, variable)| {
            Err(usage_error(format!(
                "'{flag}' ({variable}) means nothing without TLS: give '--engine' as rediss:// or rediss+sentinel://, or leave \
                 '{flag}' out"
            )))
        })
    }

    /// The first flag that is about TLS, and its variable.
    fn tls_flag(&self) -> Option<(&'static str, &'static str)> {
        let flags = [
            (&self.engine_cacert, "--engine-cacert", "SLACKWATER_ENGINE_CACERT"),
            (&self.engine_cert, "--engine-cert", "SLACKWATER_ENGINE_CERT"),
            (&self.engine_key, "--engine-key", "SLACKWATER_ENGINE_KEY"),
        ];
        flags.into_iter().find_map(|(path, flag, variable)| path.as_ref().map(|_| (flag, variable)))
    }

    fn with_one_password(&self, url: EngineUrl) -> Result<EngineUrl, String> {
        let why = match (&url.user, &url.password, &self.engine_password_file) {
            (_, Some(_), Some(_)) => {
                "there is a password in it, and --engine-password-file (SLACKWATER_ENGINE_PASSWORD_FILE) names another: leave \
                 one of them out"
            }
            // The user is not shown: whoever has forgotten the colon has written a password there.
            (Some(_), None, None) => {
                "there is a user and no password: give user:password@, or :password@ for the default user, or the password \
                 with --engine-password-file"
            }
            _ => return Ok(url),
        };
        Err(why.to_owned())
    }
}

/// What else contradicts that there is an engine, if something does.
pub(super) fn contradiction(config: &Config) -> Option<String> {
    let url = config.engine.url.as_ref()?;
    if config.state_file.is_some() {
        return Some(
            "'--state-file' (SLACKWATER_STATE_FILE) cannot be used with '--engine': the engine keeps the history while no \
             server runs, so leave the file out"
                .to_owned(),
        );
    }
    let EngineAddress::Unix(engine) = &url.at else { return None };
    let admin = match &config.admin {
        Some(AdminAddress::Path(path)) => Some(path),
        _ => None,
    };
    let sockets = [
        ("--uds", config.uds.as_ref()),
        ("--admin", admin),
        ("--handover", config.handover.handover.as_ref()),
    ];
    let is_taken = |path: &PathBuf| Path::new(path) == engine;
    let (flag, _) = sockets.into_iter().find(|(_, path)| path.is_some_and(is_taken))?;
    Some(format!(
        "'{flag}' cannot be the socket of '--engine', where the engine listens: choose another path"
    ))
}

/// Reads what keys begin with. No braces: it stands between some, so that all keys are on one node of a cluster.
fn name(text: &str) -> Result<String, String> {
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"._:-".contains(&octet);
    if !(1..=MAX_NAME_BYTES).contains(&text.len()) || !text.bytes().all(is_allowed) {
        return Err(format!("give 1 to {MAX_NAME_BYTES} letters, digits and . _ : -"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
#[path = "engine/engine_tests.rs"]
mod tests;
