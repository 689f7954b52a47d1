//! Handing over to another process.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::{seconds, truth};

/// The flags of it.
#[derive(Debug, Clone, Args)]
pub struct HandoverFlags {
    /// Take over from the server that was started with this path, if there is one, with all its clients; then hand over to the
    /// next that is started with it
    #[arg(long, env = "SLACKWATER_HANDOVER", help_heading = "Leaving")]
    #[arg(value_name = "PATH")]
    pub handover: Option<PathBuf>,

    /// Time that handing over may take; if it takes longer, the server goes on as if nothing had been
    #[arg(long, env = "SLACKWATER_HANDOVER_TIMEOUT", default_value = "5", help_heading = "Leaving")]
    #[arg(value_name = "SECONDS", value_parser = seconds(0.1..=300.0), allow_negative_numbers = true)]
    pub handover_timeout: Duration,

    /// Told to leave by SIGTERM, keep all connections in the service manager's store for the next start, and end at once (systemd,
    /// FileDescriptorStoreMax=)
    #[arg(long, env = "SLACKWATER_PARK", help_heading = "Leaving")]
    #[arg(value_name = "BOOLEAN", default_value = "false", default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_parser = truth)]
    pub park: bool,
}
