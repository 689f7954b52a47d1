//! How lines of the log are written.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use clap::{Args, ValueEnum};

use super::file::{self, Open};

const FLAG: &str = "log-format";

const VARIABLE: &str = "SLACKWATER_LOG_FORMAT";

/// For whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

impl LogFormat {
    /// How a server of this command line would write its log, as far as that can be told of one that is refused.
    pub fn guess(args: &[OsString], open: &Open<'_>) -> Self {
        let config = || argument(args, "config").or_else(|| env::var("SLACKWATER_CONFIG").ok());
        let in_file = || file::text_of(&open(Path::new(&config()?)).ok()?, FLAG);
        let said = argument(args, FLAG).or_else(|| env::var(VARIABLE).ok()).or_else(in_file);
        said.and_then(|said| Self::from_str(&said, true).ok()).unwrap_or_default()
    }
}

/// What stands behind a flag, be the rest as it may.
fn argument(args: &[OsString], flag: &str) -> Option<String> {
    let mut args = args.iter().filter_map(|arg| arg.to_str());
    while let Some(arg) = args.next() {
        match arg.strip_prefix("--").and_then(|arg| arg.strip_prefix(flag)) {
            Some("") => return args.next().map(str::to_owned),
            Some(rest) if rest.starts_with('=') => return Some(rest[1..].to_owned()),
            _ => {}
        }
    }
    None
}

/// The flag of its own.
#[derive(Debug, Clone, Args)]
pub struct LogFlags {
    /// How lines are logged: as text for people, or each as a JSON object
    #[arg(long, env = VARIABLE, ignore_case = true, help_heading = "Logging")]
    #[arg(value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_found_though_the_rest_is_wrong() {
        for (args, text, expected) in [
            ("--prot 1 --log-format json", "", LogFormat::Json),
            ("--log-format=JSON --port x", "", LogFormat::Json),
            ("--log-format", "", LogFormat::Text),
            ("--log-format loud", "", LogFormat::Text),
            ("--config f", "log-format = 'json'\nprot = 1", LogFormat::Json),
            ("--config f", "port = = 1\nlog_format = 'json'", LogFormat::Json),
            ("--config f --log-format text", "log-format = 'json'", LogFormat::Text),
            ("", "log-format = 'json'", LogFormat::Text),
        ] {
            let args: Vec<OsString> = args.split_whitespace().map(OsString::from).collect();
            assert_eq!(LogFormat::guess(&args, &|_| Ok(text.to_owned())), expected, "{args:?} {text}");
        }
    }
}
