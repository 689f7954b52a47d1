//! What is to be heard, as it is written on the command line of `slackwater listen`.

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser};

use super::reach::Reach;
use crate::config::reading::Reading;
use crate::config::{file, reading, whole};

/// Prints what is published, one line for each notification.
///
/// Comes back by itself where the connection ends, and goes on where it was; moves to another server when this one asks for it.
/// What happens to the connection is said on standard error. Exit code: 0 after --count, Ctrl-C, or when nobody reads any longer;
/// 1 refused or closed for good, 2 bad usage, 3 the server could not be reached at first.
#[derive(Debug, Parser)]
#[command(name = "slackwater", bin_name = "slackwater listen", version, max_term_width = 100)]
pub struct ListenRequest {
    /// Topic, or pattern as 'orders/*', to listen to; repeatable; without one, the default topic
    #[arg(long, short, value_name = "TOPIC")]
    pub topic: Vec<String>,

    /// Id behind which to begin: what has been missed since comes first
    #[arg(long, value_name = "ID")]
    pub last_event_id: Option<String>,

    /// Prints whole messages, as JSON, in place of what was published alone
    #[arg(long)]
    pub json: bool,

    /// Ends after so many notifications
    #[arg(long, short = 'n', value_name = "N")]
    #[arg(value_parser = whole::<u64>(1..=1_000_000_000), allow_negative_numbers = true)]
    pub count: Option<u64>,

    /// Where.
    #[command(flatten)]
    pub reach: Reach,
}

impl ListenRequest {
    pub(super) fn read(args: Vec<OsString>) -> Result<Self, clap::Error> {
        let command = Self::command().mut_args(|arg| arg.hide_env_values(true));
        let Reading { matches, sources, .. } = reading::read(&command, args, &file::none)?;
        let mut request = Self::from_arg_matches(&matches)?;
        request.reach.check(sources)?;
        Ok(request)
    }
}
