//! What is to be published, as it is written on the command line of `slackwater publish`.

use std::ffi::OsString;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser};

use super::reach::Reach;
use crate::config::reading::Reading;
use crate::config::{file, reading, seconds, usage_error};

/// Publishes, and prints the id.
///
/// A text as it is, or JSON with --json. '-' in place of either publishes each line of standard input, as it comes. While the server
/// restarts or cannot be reached it is tried again; nothing is published twice. Exit code: 0 published, 1 refused, 2 bad
/// usage, 3 the server could not be reached, or gave no answer.
#[derive(Debug, Parser)]
#[command(name = "slackwater", bin_name = "slackwater publish", version, max_term_width = 100)]
pub struct PublishRequest {
    /// What to publish, as text; '-' for each line of standard input
    #[arg(value_name = "TEXT", conflicts_with = "json")]
    pub text: Option<String>,

    /// What to publish, as JSON; '-' for each line of standard input
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub json: Option<String>,

    /// Topic to publish to; without one, the default topic
    #[arg(long, short, value_name = "TOPIC")]
    pub topic: Option<String>,

    /// Key that makes a retry of the same command harmless; of several lines each has its number added
    #[arg(long, value_name = "KEY")]
    pub id: Option<String>,

    /// Time for which each publication is tried, an attempt 10 s at most; 0 for one attempt
    #[arg(long, value_name = "SECONDS", default_value = "10", allow_negative_numbers = true)]
    #[arg(value_parser = seconds(0.0..=3600.0))]
    pub timeout: Duration,

    /// Where.
    #[command(flatten)]
    pub reach: Reach,
}

impl PublishRequest {
    pub(super) fn read(args: Vec<OsString>) -> Result<Self, clap::Error> {
        let command = Self::command().mut_args(|arg| arg.hide_env_values(true));
        let Reading { matches, sources, .. } = reading::read(&command, args, &file::none)?;
        let mut request = Self::from_arg_matches(&matches)?;
        request.reach.check(sources)?;
        if request.text.is_none() && request.json.is_none() {
            return Err(usage_error(
                "there is nothing to publish: give a text, as 'slackwater publish hello', JSON with --json, or - for each line of \
                 standard input"
                    .to_owned(),
            ));
        }
        if request
            .id
            .as_ref()
            .is_some_and(|id| id.is_empty() || !id.bytes().all(|octet| octet.is_ascii_graphic()))
        {
            return Err(usage_error(
                "invalid value for '--id <KEY>': give printable ASCII characters, without spaces".to_owned(),
            ));
        }
        Ok(request)
    }
}
