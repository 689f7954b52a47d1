//! The knobs of the engine: the Redis or Valkey server in which several machines keep one order of publications. Connects to
//! nothing. The text of the URL is read here and shown nowhere, since a password may stand in it.

mod url;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgMatches, Args};

use super::secret::Secret;
use super::{AdminAddress, Config, Period, is_argument, usage_error, whole};

pub use self::url::{EngineAddress, EngineUrl};

/// A name's longest.
const MAX_NAME_BYTES: usize = 64;

const MAX_WAIT_MILLIS: u64 = 60_000;

/// Where the engine is, and how it is used.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Several machines")]
pub struct EngineFlags {
    /// Redis (7.0 or later) or Valkey (8 or later) through which several machines hear the same publications:
    /// redis://[user:password@]host[:port][/db], unix:///path[?db=N] or
    /// redis+sentinel://[user:password@]host[:port],…/name[/db]; a password in the arguments can be read by everyone on this
    /// machine, so give that in the variable or a file
    #[arg(long, env = "SLACKWATER_ENGINE", value_name = "URL", allow_hyphen_values = true)]
    // clap shows what it refuses, so this is read later.
    #[arg(value_parser = |text: &str| Ok::<_, Infallible>(Secret::unchecked(text)))]
    engine: Option<Secret>,

    /// File with the engine's password, instead of one in the URL
    #[arg(long, env = "SLACKWATER_ENGINE_PASSWORD_FILE", value_name = "PATH", requires = "engine")]
    pub engine_password_file: Option<PathBuf>,

    /// Name with which the engine's keys begin: machines with the same one hear the same publications
    #[arg(long, env = "SLACKWATER_ENGINE_NAME", value_name = "NAME", default_value = "slackwater")]
    #[arg(value_parser = name, requires = "engine")]
    pub engine_name: String,

    /// Time to wait for a replica of the engine to have a publication before its publisher is answered, in milliseconds; 0 not to wait
    #[arg(long, env = "SLACKWATER_ENGINE_WAIT", value_name = "MS", default_value = "0")]
    #[arg(value_parser = wait, requires = "engine", allow_negative_numbers = true)]
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

    /// Notes where the URL was given, and reads it.
    pub(super) fn check(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.is_in_arguments = is_argument(matches, "engine");
        let place = if self.is_in_arguments { "--engine <URL>" } else { "SLACKWATER_ENGINE" };
        let Some(text) = &self.engine else { return Ok(()) };
        let url = EngineUrl::read(text.reveal()).and_then(|url| self.with_one_password(url));
        self.url = Some(url.map_err(|why| usage_error(format!("invalid value for '{place}': {why}")))?);
        Ok(())
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

/// Reads a time in milliseconds, or 0 for none.
fn wait(text: &str) -> Result<Period, String> {
    match whole(0..=MAX_WAIT_MILLIS)(text) {
        Ok(0) => Ok(Period(None)),
        Ok(millis) => Ok(Period(Some(Duration::from_millis(millis)))),
        Err(_) => Err(format!("give whole milliseconds from 1 to {MAX_WAIT_MILLIS}, or 0 not to wait")),
    }
}

#[cfg(test)]
#[path = "engine/engine_tests.rs"]
mod tests;
