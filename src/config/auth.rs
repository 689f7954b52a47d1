//! The knobs of tokens: by which keys they are verified, and what may be heard without one.

use std::convert::Infallible;
use std::path::PathBuf;

use clap::Args;

use super::listed::{Listed, listed};
use super::sources::Sources;
use super::usage_error;
use crate::config::secret::Secret;

/// A topic's longest name, and a pattern's.
const MAX_PATTERN_BYTES: usize = 128;

/// How tokens are verified; not at all without a secret or a key.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Tokens")]
pub struct AuthConfig {
    /// Secret of at least 32 bytes by which tokens (JWT, HS256) are verified; without this or a key everybody may hear
    /// everything
    #[arg(long, env = "SLACKWATER_AUTH_SECRET", value_name = "SECRET", allow_hyphen_values = true)]
    // clap shows what it refuses, so this is checked later.
    #[arg(value_parser = |text: &str| Ok::<_, Infallible>(Secret::unchecked(text)))]
    pub auth_secret: Option<Secret>,

    /// File with that secret
    #[arg(long, env = "SLACKWATER_AUTH_SECRET_FILE", value_name = "PATH", conflicts_with = "auth_secret")]
    pub auth_secret_file: Option<PathBuf>,

    /// File with the public key by which tokens are verified: PEM (RS256, ES256, ES384, EdDSA) or a JWKS; read again when it
    /// changes
    #[arg(long, env = "SLACKWATER_AUTH_KEY_FILE", value_name = "PATH")]
    #[arg(conflicts_with_all = ["auth_secret", "auth_secret_file"])]
    pub auth_key_file: Option<PathBuf>,

    /// Audience that tokens have to name (aud) [default: none may]
    #[arg(long, env = "SLACKWATER_AUTH_AUDIENCE", value_name = "NAME")]
    #[arg(value_parser = name)]
    pub auth_audience: Option<String>,

    /// Issuer that tokens have to name (iss) [default: any]
    #[arg(long, env = "SLACKWATER_AUTH_ISSUER", value_name = "NAME")]
    #[arg(value_parser = name)]
    pub auth_issuer: Option<String>,

    /// Topic, or pattern as 'news/*', that may be heard without a token; repeatable, several with commas or spaces between
    /// them [default: none]
    #[arg(long, env = "SLACKWATER_ANONYMOUS_TOPIC", value_name = "TOPIC")]
    #[arg(value_parser = listed(pattern))]
    pub anonymous_topic: Vec<Listed<String>>,

    /// Whether the secret was given as an argument, where everyone on this machine can read it.
    #[arg(skip)]
    pub secret_is_in_arguments: bool,
}

impl AuthConfig {
    /// Whether tokens are expected.
    pub fn is_on(&self) -> bool {
        self.auth_secret.is_some() || self.auth_secret_file.is_some() || self.auth_key_file.is_some()
    }

    /// The topics and patterns that may be heard without a token.
    pub fn anonymous_topics(&self) -> Vec<String> {
        Listed::all(&self.anonymous_topic)
    }

    /// Notes where the secret was given, and checks it.
    pub(super) fn check(&mut self, sources: &Sources) -> Result<(), clap::Error> {
        self.secret_is_in_arguments = sources.is_argument("auth_secret");
        match self.auth_secret.as_ref().map(Secret::check_for_signatures) {
            Some(Err(why)) => {
                let place = sources.place("auth_secret");
                Err(usage_error(format!("invalid value for {place}: {why}")))
            }
            _ => Ok(()),
        }
    }

    /// What is said of tokens though there is nothing to verify them by, if something is.
    pub(super) fn in_vain(&self, sources: &Sources) -> Option<String> {
        let of_tokens = ["auth_audience", "auth_issuer", "anonymous_topic"];
        let given = of_tokens.into_iter().find(|id| !self.is_on() && sources.is_given(id))?;
        Some(format!(
            "{} means nothing without tokens: give what they are verified by, too, with '--auth-secret-file <PATH>' or \
             '--auth-key-file <PATH>'",
            sources.name(given)
        ))
    }
}

/// Reads whom a token is to name: an empty name would be expected of every token, and no issuer gives one.
fn name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("it is empty: give a name, or leave it out") } else { Ok(text.to_owned()) }
}

/// Reads a topic, or a pattern whose last segment is `*`. What it is to match is not known here.
fn pattern(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('*').unwrap_or(text);
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"._-:/".contains(&octet);
    let is_whole = name.len() == text.len() || name.is_empty() || name.ends_with('/');
    if text.is_empty() || name.len() > MAX_PATTERN_BYTES || !is_whole || !name.bytes().all(is_allowed) {
        return Err(
            "give 1 to 128 letters, digits and . _ - : / of which the last segment may be *".to_owned()
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::config::Config;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn read(flags: &str) -> Result<AuthConfig, String> {
        let flags = flags.replace("SECRET", SECRET);
        let args = ["slackwater"].into_iter().chain(flags.split_whitespace()).map(OsString::from);
        Config::read(args).map(|config| config.auth).map_err(|error| error.to_string())
    }

    #[test]
    fn tokens_are_off_unless_there_is_something_to_verify_them_by() {
        assert!(!read("").unwrap().is_on());
        for flags in ["--auth-secret SECRET", "--auth-secret-file /x", "--auth-key-file /x --auth-issuer us"]
        {
            assert!(read(flags).unwrap().is_on(), "{flags}");
        }
        for flags in ["--auth-audience us", "--auth-issuer us", "--anonymous-topic news"] {
            let why = read(flags).unwrap_err();
            assert!(why.contains("--auth-secret") && why.contains("--auth-key-file"), "{why}");
        }
        for flags in ["--auth-secret SECRET --auth-key-file /x", "--auth-secret-file /x --auth-key-file /x"] {
            assert!(read(flags).unwrap_err().contains("cannot be used with"), "{flags}");
        }
    }

    #[test]
    fn a_secret_that_is_too_short_is_refused_and_not_shown() {
        let why = read("--auth-secret sekrit").unwrap_err();
        assert!(why.contains("'--auth-secret <SECRET>': give at least 32 bytes"), "{why}");
        assert!(!why.contains("sekrit"), "{why}");
        assert!(!format!("{:?}", read("--auth-secret SECRET").unwrap()).contains(SECRET));
        assert!(read("--auth-secret SECRET").unwrap().secret_is_in_arguments);
    }

    #[test]
    fn what_may_be_heard_without_a_token_are_topics_and_patterns() {
        let topics =
            |flags: &str| read(&format!("--auth-secret SECRET {flags}")).map(|auth| auth.anonymous_topics());
        assert_eq!(topics("--anonymous-topic a,b/* --anonymous-topic *").unwrap(), ["a", "b/*", "*"]);
        let spaced = ["slackwater", "--auth-secret", SECRET, "--anonymous-topic", "news, notifications"];
        let auth = Config::read(spaced.map(OsString::from)).unwrap().auth;
        assert_eq!(auth.anonymous_topics(), ["news", "notifications"]);
        for bad in ["a*", "a/*/b", "ä", "**", &"x".repeat(129)] {
            let why = topics(&format!("--anonymous-topic {bad}")).unwrap_err();
            assert!(why.contains("--anonymous-topic <TOPIC>") && why.contains("give 1 to 128"), "{why}");
        }
    }

    #[test]
    fn an_audience_or_an_issuer_without_a_name_is_refused() {
        for flag in ["--auth-audience", "--auth-issuer"] {
            let why = read(&format!("--auth-secret SECRET {flag}=")).unwrap_err();
            assert!(
                why.contains(&format!("'{flag} <NAME>': it is empty: give a name, or leave it out")),
                "{why}"
            );
        }
    }
}
