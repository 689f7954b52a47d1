//! How lines of the log are written.

use clap::{Args, ValueEnum};

/// For whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// The flag of its own.
#[derive(Debug, Clone, Args)]
pub struct LogFlags {
    /// How lines are logged: as text for people, or each as a JSON object
    #[arg(long, env = "SLACKWATER_LOG_FORMAT", ignore_case = true, help_heading = "Logging")]
    #[arg(value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}
