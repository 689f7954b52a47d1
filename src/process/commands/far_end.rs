//! The server that `publish` and `listen` speak to, and what is said where it gives no answer, or none that helps. Every wait is bounded.

use std::fmt::{self, Display, Formatter};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::exchange::{self, Answer, NoAnswer};
use super::{fail, tell};
use crate::config::command::reach::Reach;
use crate::process::secrets;

pub(super) use self::dialer::Dialer;
pub(super) use self::line::Line;

mod bounded;
mod dialer;
mod line;
#[cfg(feature = "tls")]
mod trust;

/// How long the server may take to be reached and to answer, at most.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Nobody who has no time now is waited for any longer, in seconds, whatever they say.
const LONGEST_RETRY_AFTER: u64 = 3600;

/// Why there is nothing more to be done.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server, or a file, says no.
    Refused(String),
    /// The command line asks for what cannot be.
    Usage(String),
    /// The server is not there, or does not answer. To try again may help.
    Unreachable(String),
    /// The server has no time now, and may have in so many seconds.
    Busy(String, u64),
    /// Nobody reads what is printed.
    Unread,
}

impl Failure {
    /// Says what has failed, and ends.
    pub(super) fn end(self) -> ExitCode {
        match self {
            Self::Refused(why) => fail(1, why),
            Self::Usage(why) => fail(2, why),
            Self::Unreachable(why) | Self::Busy(why, _) => fail(3, why),
            Self::Unread => ExitCode::SUCCESS,
        }
    }
}

impl Failure {
    /// The same in other words.
    pub(super) fn reworded(self, words: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Refused(why) => Self::Refused(words(why)),
            Self::Usage(why) => Self::Usage(words(why)),
            Self::Unreachable(why) => Self::Unreachable(words(why)),
            Self::Busy(why, seconds) => Self::Busy(words(why), seconds),
            Self::Unread => Self::Unread,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) | Self::Usage(why) | Self::Unreachable(why) | Self::Busy(why, _) => {
                f.write_str(why)
            }
            Self::Unread => f.write_str("nobody reads what is printed"),
        }
    }
}

/// Who has to vouch for a server.
#[derive(Debug)]
#[cfg_attr(not(feature = "tls"), allow(dead_code))] // Where nobody need.
pub(super) enum Trust {
    /// One of those whom the system trusts.
    System,
    /// One of those in this file.
    File(PathBuf),
    /// Nobody, so that no certificate is verified. For questions of health: such a one has no secret in it, the answer is a number, and
    /// a server that is asked on its own machine has a certificate for another name. Kubernetes probes the same way.
    Anybody,
}

/// A server, as the command line names it.
#[derive(Debug)]
pub(super) struct FarEnd {
    reach: Reach,
    dialer: Dialer,
}

impl FarEnd {
    /// By what the command line says.
    ///
    /// # Errors
    /// When TLS is asked for and cannot be spoken.
    pub(super) fn new(reach: Reach) -> Result<Self, Failure> {
        if let Some(path) = &reach.token_file {
            secrets::of_readers("token", path).iter().for_each(tell);
        }
        let trust = || reach.ca_file.clone().map_or(Trust::System, Trust::File);
        let dialer = Dialer::new(reach.at(), reach.url.is_secured.then(trust), false);
        let dialer = dialer.map_err(|failure| failure.reworded(|why| reach.sources.locate(&why)))?;
        Ok(Self { reach, dialer })
    }

    /// What is asked for there.
    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Connects. All that is waited for, now and on the connection, ends then.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(super) fn dial(&self, until: Instant) -> Result<Line, Failure> {
        let dialed = self.dialer.dial(until).map_err(|why| match why.kind() {
            // To ask again would bring the same certificate.
            ErrorKind::InvalidData => Failure::Refused(why.to_string()),
            _ => Failure::Unreachable(format!("cannot reach {}: {why}", self.shown())),
        });
        dialed.map_err(|failure| self.located(failure))
    }

    /// How a request begins, with the token as it is now.
    ///
    /// # Errors
    /// What is wrong with the file of the token.
    pub(super) fn head(&self, method: &str, target: &str) -> Result<String, Failure> {
        let token = match &self.reach.token_file {
            None => self.reach.token.clone(),
            Some(path) => {
                let read = secrets::read_shown_token(path);
                Some(read.map_err(|why| Failure::Refused(self.reach.sources.locate(&why.to_string())))?)
            }
        };
        let url = &self.reach.url;
        let mut head = format!(
            "{method} {}{target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: slackwater/{}\r\n",
            url.prefix,
            url.authority,
            env!("CARGO_PKG_VERSION"),
        );
        if let Some(token) = token {
            head.push_str(&format!("Authorization: Bearer {}\r\n", token.reveal()));
        }
        Ok(head)
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// Why none comes.
    pub(super) fn ask(&self, line: &mut Line, head: &str, body: &[u8]) -> Result<Answer, Failure> {
        exchange::ask(line, head, body).map_err(|why| self.unanswered(why))
    }

    /// Waits for what is behind the head.
    ///
    /// # Errors
    /// Why it does not come.
    pub(super) fn body(&self, line: &mut Line, answer: &mut Answer) -> Result<Vec<u8>, Failure> {
        answer.read_body(line).map_err(|why| self.unanswered(why))
    }

    fn unanswered(&self, why: NoAnswer) -> Failure {
        let place = self.shown();
        self.located(match why {
            NoAnswer::NotHttp(_) => {
                Failure::Refused(format!("{place} does not speak HTTP: is a Slackwater server there?"))
            }
            NoAnswer::Tls => Failure::Refused(format!("{place} speaks TLS: give --url with https://")),
            NoAnswer::Body => Failure::Refused(format!("{place} gives an answer whose body cannot be read")),
            NoAnswer::Io(why) if why.kind() == ErrorKind::InvalidData => {
                Failure::Refused(format!("no TLS with {place}: {why}"))
            }
            why if why.is_late() => Failure::Unreachable(format!("{place} did not answer in time")),
            why => Failure::Unreachable(format!("{place} did not answer: {why}")),
        })
    }

    /// With where each flag was given that it names.
    fn located(&self, failure: Failure) -> Failure {
        failure.reworded(|why| self.reach.sources.locate(&why))
    }

    /// What an answer means that is not the one that was hoped for.
    pub(super) fn refusal(&self, answer: &Answer, body: &[u8]) -> Failure {
        let status = answer.status;
        if let (301 | 302 | 303 | 307 | 308, Some(place)) = (status, answer.field("location")) {
            let place =
                self.reach.url.moved_to(place).unwrap_or_else(|| "which its answer does not tell".to_owned());
            let place: String = place.chars().take(200).collect();
            return Failure::Refused(format!(
                "the server is elsewhere: give its address with --url, {place}"
            ));
        }
        let why = format!(
            "the server answers {status}: {}",
            reason(body).unwrap_or_else(|| self.reason_of_others(status, body).to_owned())
        );
        match status {
            429 | 502 | 503 | 504 => {
                let after = answer.field("retry-after").and_then(|seconds| seconds.trim().parse().ok());
                Failure::Busy(why, after.unwrap_or(1).min(LONGEST_RETRY_AFTER))
            }
            _ => Failure::Refused(why),
        }
    }

    /// What it means if whoever answers is no Slackwater server, but a proxy in front of one, or somebody else.
    fn reason_of_others(&self, status: u16, body: &[u8]) -> &'static str {
        match status {
            // So say nginx, Apache and Caddy.
            400 if !self.reach.url.is_secured && body.windows(5).any(|word| word == b"HTTPS") => {
                "TLS is spoken there: give --url with https://"
            }
            401 | 403 | 407 => {
                "it gives no reason: does a proxy in front of it ask for something else than tokens?"
            }
            404 | 405 => {
                "nothing of Slackwater's is there: give --url with the path that the server is below, if it is below one"
            }
            502..=504 => "whoever answers in its place does not reach it",
            _ => "it gives no reason: is this a Slackwater server?",
        }
    }

    /// Where it is, as it is shown.
    pub(super) fn shown(&self) -> String {
        match &self.reach.uds {
            Some(path) => path.display().to_string(),
            None => self.reach.url.shown(),
        }
    }
}

/// What a server says is wrong, in the JSON of its answer; of anybody else's answer nothing is shown.
fn reason(body: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let why = answer.get("error")?.as_str()?;
    Some(why.chars().take(1000).map(|c| if c.is_control() { ' ' } else { c }).collect())
}
