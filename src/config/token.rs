//! What a token is to be, as it is written on the command line of `slackwater token`. What it is to be accepted by has the
//! flags and variables of the server.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser};

use super::auth::AuthConfig;
use super::file::{FileFlag, Open};
use super::listed::{Listed, listed};
use super::reading::Reading;
use super::sources::Sources;
use super::{DAY, reading, units, usage_error};

/// The longest time that may be named: some hundred years.
const MOST_DAYS: f64 = 36_500.0;

/// Makes a token (JWT) for a client and prints it, with nothing but a newline behind it.
///
/// Signed by the secret of --auth-secret-file, or by the private key of --signing-key-file. The flags and variables that the
/// server has, too, mean the same here.
#[derive(Debug, Parser)]
#[command(name = "slackwater", bin_name = "slackwater token", version, max_term_width = 100)]
pub struct TokenRequest {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub file: FileFlag,

    /// Whose token it is (sub)
    #[arg(long, value_name = "NAME", help_heading = "Claims")]
    pub sub: Option<String>,

    /// Topic, or pattern as 'orders/*', that may be heard; repeatable, several with commas or spaces between them
    #[arg(long, value_name = "TOPIC", value_parser = listed(any), help_heading = "Claims")]
    pub subscribe: Vec<Listed<String>>,

    /// Topic, or pattern, that may be published to; repeatable, several with commas or spaces between them
    #[arg(long, value_name = "TOPIC", value_parser = listed(any), help_heading = "Claims")]
    pub publish: Vec<Listed<String>>,

    /// Time for which it counts: seconds, or with a unit, as 90s, 30m, 1h, 7d; or never, for it not to expire
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = lifetime, help_heading = "Claims")]
    #[arg(allow_negative_numbers = true)]
    pub expires: Lifetime,

    /// The secret or the keys of the server, and whom it expects to be named.
    #[command(flatten)]
    pub auth: AuthConfig,

    /// File with the private key to sign by, whose public one the server has in --auth-key-file: PEM (PKCS #8) of P-256,
    /// P-384, Ed25519 or RSA
    #[arg(long, env = "SLACKWATER_SIGNING_KEY_FILE", value_name = "PATH", help_heading = "Tokens")]
    #[arg(conflicts_with_all = ["auth_secret", "auth_secret_file"])]
    pub signing_key_file: Option<PathBuf>,

    /// Name of that key in the server's JWKS (kid)
    #[arg(long, value_name = "KID", help_heading = "Tokens")]
    pub key_id: Option<String>,

    /// Where each of these was given.
    #[arg(skip)]
    pub sources: Sources,
}

/// For how long a token counts; `None` for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime(pub Option<Duration>);

impl TokenRequest {
    /// What is read, and told in the help.
    pub(super) fn command_line() -> clap::Command {
        Self::command().mut_args(|arg| {
            let arg = arg.hide_env_values(true);
            match arg.get_id().as_str() {
                "auth_secret" => {
                    arg.help("Secret of at least 32 bytes to sign by (HS256), as the server has it")
                }
                "auth_key_file" => {
                    arg.help("File with the server's public key or JWKS: the token is verified by it")
                }
                "auth_audience" => arg.help("Whom the token is for (aud), as the server expects it"),
                "auth_issuer" => arg.help("Who has issued it (iss), as the server expects it"),
                "anonymous_topic" => arg.hide(true),
                _ => arg,
            }
        })
    }

    pub(super) fn read(args: Vec<OsString>, open: &Open<'_>) -> Result<Self, clap::Error> {
        let Reading { matches, sources, file } = reading::read(&Self::command_line(), args, open)?;
        let mut request = Self::from_arg_matches(&matches)?;
        request.file.read = file;
        request.auth.check(&sources)?;
        request.sources = sources;
        let auth = &request.auth;
        // Not left to clap, for which what conflicts need not be there.
        if request.signing_key_file.is_none() && request.key_id.is_some() {
            return Err(usage_error(
                "'--key-id' names the key of '--signing-key-file <PATH>': give that, too".to_owned(),
            ));
        }
        if request.signing_key_file.is_none() && auth.auth_key_file.is_some() {
            return Err(usage_error(
                "--auth-key-file holds the public key, by which nothing can be signed: give the private one with \
                 '--signing-key-file <PATH>', too"
                    .to_owned(),
            ));
        }
        if request.signing_key_file.is_none() && !auth.is_on() {
            return Err(usage_error(
                "there is nothing to sign by: give the server's secret with '--auth-secret-file <PATH>', or a private key with \
                 '--signing-key-file <PATH>'"
                    .to_owned(),
            ));
        }
        Ok(request)
    }
}

/// Takes a topic as it stands; whether it is one is not known here.
#[allow(clippy::unnecessary_wraps)] // As others are read.
fn any(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// Reads a time with its unit; without one it is in seconds.
fn lifetime(text: &str) -> Result<Lifetime, String> {
    if text == "never" {
        return Ok(Lifetime(None));
    }
    let seconds = text.parse().ok().or_else(|| units::duration(text).map(|time| time.as_secs_f64()));
    let seconds = seconds.filter(|seconds| (1.0..=MOST_DAYS * DAY).contains(seconds));
    seconds.map(|seconds| Lifetime(Some(Duration::from_secs_f64(seconds)))).ok_or_else(|| {
        format!("give from 1s to {MOST_DAYS}d, as 90s, 30m, 1h30m, 7d or plain seconds; or never")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn read(flags: &str) -> Result<TokenRequest, String> {
        let flags = flags.replace("SECRET", SECRET);
        let args = ["slackwater"].into_iter().chain(flags.split_whitespace()).map(OsString::from);
        TokenRequest::read(args.collect(), &crate::config::file::none).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_well_formed_and_its_variables_are_those_of_the_server() {
        TokenRequest::command().debug_assert();
        let server = Config::command();
        for arg in TokenRequest::command().get_arguments().filter(|arg| arg.get_env().is_some()) {
            let on_server = server.get_arguments().find(|other| other.get_long() == arg.get_long());
            let is_same = on_server.is_some_and(|other| other.get_env() == arg.get_env());
            assert!(is_same || arg.get_long() == Some("signing-key-file"), "{arg}");
        }
    }

    #[test]
    fn a_token_counts_for_an_hour_or_as_long_as_is_said() {
        let expires =
            |text: &str| read(&format!("--auth-secret SECRET {text}")).map(|request| request.expires);
        for (text, seconds) in [
            ("", 3600.0),
            ("--expires 1", 1.0),
            ("--expires 90s", 90.0),
            ("--expires 1.5m", 90.0),
            ("--expires 2h", 7200.0),
            ("--expires 1h30m", 5400.0),
            ("--expires 7d", 604_800.0),
            ("--expires 36500d", MOST_DAYS * DAY),
        ] {
            assert_eq!(expires(text), Ok(Lifetime(Some(Duration::from_secs_f64(seconds)))), "{text}");
        }
        assert_eq!(expires("--expires never"), Ok(Lifetime(None)));
        for text in ["0", "0.5s", "-1", "36501d", "1y", "h", "nan", "infd", "1h30", "\u{fc}"] {
            let why = expires(&format!("--expires {text}")).unwrap_err();
            let named = format!("invalid value '{text}' for '--expires <TIME>': give from 1s to 36500d");
            assert!(why.contains(&named), "{why}");
        }
    }

    #[test]
    fn topics_are_repeatable_and_may_stand_in_a_list() {
        let request =
            read("--auth-secret SECRET --subscribe a,b/* --subscribe c --publish * --sub ada").unwrap();
        assert_eq!(
            (Listed::all(&request.subscribe), Listed::all(&request.publish)),
            (vec!["a".into(), "b/*".into(), "c".into()], vec!["*".into()])
        );
        assert_eq!(request.sub.as_deref(), Some("ada"));
    }

    #[test]
    fn there_is_one_thing_to_sign_by_and_the_public_key_may_stand_beside_a_private_one() {
        for good in [
            "--auth-secret SECRET --auth-audience us",
            "--auth-secret-file /x --auth-issuer we",
            "--signing-key-file /x --auth-audience us",
            "--signing-key-file /x --auth-key-file /y --key-id k",
        ] {
            assert!(read(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", "there is nothing to sign by"),
            (
                "--auth-key-file /x",
                "by which nothing can be signed: give the private one with '--signing-key-file",
            ),
            ("--auth-secret SECRET --auth-secret-file /x", "cannot be used with"),
            ("--auth-secret SECRET --signing-key-file /x", "cannot be used with"),
            ("--auth-secret-file /x --signing-key-file /x", "cannot be used with"),
            ("--auth-secret SECRET --auth-key-file /x", "cannot be used with"),
            ("--auth-secret-file /x --auth-key-file /x", "cannot be used with"),
            ("--auth-secret SECRET --key-id k", "'--key-id' names the key of '--signing-key-file"),
            ("--auth-secret sekrit", "'--auth-secret <SECRET>': give at least 32 bytes"),
        ] {
            let told = read(bad).unwrap_err();
            assert!(told.contains(why) && !told.contains("sekrit"), "{bad}: {told}");
        }
    }
}
