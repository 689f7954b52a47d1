//! Whether messages are compressed.

use clap::{ArgAction, Args};

use super::truth;

/// The flag of its own.
#[derive(Debug, Clone, Args)]
pub struct CompressionFlag {
    /// Compress messages for clients that ask for it (permessage-deflate), and let these compress theirs
    #[arg(long, env = "SLACKWATER_WS_PER_MESSAGE_DEFLATE", help_heading = "WebSocket")]
    #[arg(value_name = "BOOLEAN", default_value = "false", default_missing_value = "true", num_args = 0..=1)]
    #[arg(action = ArgAction::Set, value_parser = truth)]
    pub ws_per_message_deflate: bool,
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::config::Config;

    fn read(flags: &str) -> Result<bool, String> {
        let args = ["slackwater"].into_iter().chain(flags.split_whitespace()).map(OsString::from);
        let config = Config::read(args).map_err(|error| error.to_string())?;
        Ok(config.compression.ws_per_message_deflate)
    }

    #[test]
    fn it_is_off_unless_it_is_switched_on_with_or_without_a_value() {
        for (flags, is_on) in [
            ("", false),
            ("--ws-per-message-deflate", true),
            ("--ws-per-message-deflate --port 1", true),
            ("--port 1 --ws-per-message-deflate", true),
            ("--ws-per-message-deflate true", true),
            ("--ws-per-message-deflate=True --port 1", true),
            ("--ws-per-message-deflate on", true),
            ("--ws-per-message-deflate false", false),
            ("--ws-per-message-deflate=0", false),
        ] {
            assert_eq!(read(flags), Ok(is_on), "{flags}");
        }
        for flags in ["--ws-per-message-deflate maybe", "--ws-per-message-deflate="] {
            let error = read(flags).unwrap_err();
            let expected = "give 1, true, yes or on to set it, or 0, false, no or off";
            assert!(error.contains(expected), "{flags}: {error}");
        }
    }
}
