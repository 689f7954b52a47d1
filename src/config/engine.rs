//! The knobs of the engine: the Redis or Valkey server in which several machines keep one order of publications. Connects to
//! nothing. The text of the URL is read here and shown nowhere, since a password may stand in it.

mod url;

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use clap::Args;

use super::secret::Secret;
use super::sources::Sources;
use super::{Config, Period, Place, milliseconds, usage_error};

pub use self::url::{Encryption, EngineAddress, EngineUrl};

/// A name's longest.
const MAX_NAME_BYTES: usize = 64;

const MAX_WAIT_MILLIS: u64 = 60_000;

/// The flags that are about TLS to an engine.
const OF_TLS: [&str; 3] = ["engine_cacert", "engine_cert", "engine_key"];

/// All that are about an engine, those first that may stand in the way of the others.
const OF_AN_ENGINE: [&str; 6] =
    ["engine_cacert", "engine_cert", "engine_key", "engine_password_file", "engine_name", "engine_wait"];

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
    #[arg(long, env = "SLACKWATER_ENGINE_PASSWORD_FILE", value_name = "PATH")]
    pub engine_password_file: Option<PathBuf>,

    /// File with the certificates, in PEM, of the authorities of which one has to vouch for the engine [default: those that the
    /// system trusts]
    #[arg(long, env = "SLACKWATER_ENGINE_CACERT", value_name = "PATH")]
    pub engine_cacert: Option<PathBuf>,

    /// File with the certificate that the engine is shown, in PEM, followed by those of the authorities between it and the root
    #[arg(long, env = "SLACKWATER_ENGINE_CERT", value_name = "PATH")]
    pub engine_cert: Option<PathBuf>,

    /// File with its private key, in PEM and not encrypted [default: the key is in --engine-cert, too]
    #[arg(long, env = "SLACKWATER_ENGINE_KEY", value_name = "PATH")]
    pub engine_key: Option<PathBuf>,

    /// Name with which the engine's keys begin: machines with the same one hear the same publications
    #[arg(long, env = "SLACKWATER_ENGINE_NAME", value_name = "NAME", default_value = "slackwater")]
    #[arg(value_parser = name)]
    pub engine_name: String,

    /// Time to wait for a replica of the engine to have a publication before its publisher is answered, in milliseconds; 0 not to wait
    #[arg(long, env = "SLACKWATER_ENGINE_WAIT", value_name = "MS", default_value = "0")]
    #[arg(value_parser = milliseconds(MAX_WAIT_MILLIS), allow_negative_numbers = true)]
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
    pub(super) fn check(&mut self, sources: &Sources) -> Result<(), clap::Error> {
        self.is_in_arguments = sources.is_argument("engine");
        let given = OF_AN_ENGINE.into_iter().find(|id| sources.is_given(id));
        let (Some(text), given) = (&self.engine, given) else {
            return given.map_or(Ok(()), |id| {
                let name = sources.name(id);
                Err(usage_error(format!(
                    "{name} means nothing without an engine: give that, too, with '--engine <URL>', or leave it out"
                )))
            });
        };
        let url = EngineUrl::read(text.reveal()).and_then(|url| self.with_one_password(url, sources));
        let url =
            url.map_err(|why| usage_error(format!("invalid value for {}: {why}", sources.place("engine"))))?;
        let is_plain = url.encryption == Encryption::None;
        self.url = Some(url);
        let Some(id) = given.filter(|id| is_plain && OF_TLS.contains(id)) else {
            return self.without_certificate(sources);
        };
        let (name, engine) = (sources.name(id), sources.name("engine"));
        Err(usage_error(format!(
            "{name} means nothing without TLS: give {engine} as rediss:// or rediss+sentinel://, or leave {name} out"
        )))
    }

    fn without_certificate(&self, sources: &Sources) -> Result<(), clap::Error> {
        if self.engine_key.is_none() || self.engine_cert.is_some() {
            return Ok(());
        }
        let name = sources.name("engine_key");
        Err(usage_error(format!(
            "{name} means nothing without the certificate that belongs to it: give that, too, with '--engine-cert <PATH>'"
        )))
    }

    fn with_one_password(&self, url: EngineUrl, sources: &Sources) -> Result<EngineUrl, String> {
        let why = match (&url.user, &url.password, &self.engine_password_file) {
            (_, Some(_), Some(_)) => {
                let file = sources.name("engine_password_file");
                return Err(format!(
                    "there is a password in it, and {file} names another: leave one of them out"
                ));
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
pub(super) fn contradiction(config: &Config, sources: &Sources) -> Option<String> {
    let url = config.engine.url.as_ref()?;
    let name = sources.name("engine");
    if config.state_file.is_some() {
        return Some(format!(
            "{} cannot be used with {name}: the engine keeps the history while no server runs, so leave the file out",
            sources.name("state_file")
        ));
    }
    let EngineAddress::Unix(engine) = &url.at else { return None };
    let admin = match &config.admin {
        Some(Place::Path(path)) => Some(path),
        _ => None,
    };
    let sockets =
        [("uds", config.uds.as_ref()), ("admin", admin), ("handover", config.handover.handover.as_ref())];
    let is_taken = |path: &PathBuf| Path::new(path) == engine;
    let (id, _) = sockets.into_iter().find(|(_, path)| path.is_some_and(is_taken))?;
    Some(format!(
        "{} cannot be the socket of {name}, where the engine listens: choose another path",
        sources.name(id)
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
