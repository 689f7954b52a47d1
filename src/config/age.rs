//! How old a connection may become.

use std::time::Duration;

use clap::Args;

use super::{DAY, seconds};

/// The flag of its own.
#[derive(Debug, Clone, Args)]
pub struct Age {
    /// Time after which a client is asked to reconnect, for each up to a tenth more or less; with --drain-close-after it is
    /// closed with 1012 that long after [default: never]
    #[arg(long, env = "SLACKWATER_MAX_CONNECTION_AGE", help_heading = "WebSocket")]
    #[arg(value_name = "SECONDS", value_parser = seconds(1.0..=7.0 * DAY), allow_negative_numbers = true)]
    pub max_connection_age: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::time::Duration;

    use crate::config::Config;

    fn read(flags: &str) -> Result<Option<Duration>, String> {
        let args = ["slackwater"].into_iter().chain(flags.split_whitespace()).map(OsString::from);
        Config::read(args).map(|config| config.age.max_connection_age).map_err(|error| error.to_string())
    }

    #[test]
    fn a_connection_may_be_of_any_age_unless_one_from_a_second_to_a_week_is_set() {
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("--max-connection-age 1"), Ok(Some(Duration::from_secs(1))));
        assert_eq!(read("--max-connection-age 604800"), Ok(Some(Duration::from_secs(604_800))));
        assert_eq!(read("--max-connection-age 1h"), Ok(Some(Duration::from_secs(3600))));
        for value in ["0", "0.9", "604801", "-1", "nan", "1y", "8d"] {
            let error = read(&format!("--max-connection-age {value}")).unwrap_err();
            let expected = format!(
                "invalid value '{value}' for '--max-connection-age <SECONDS>': give seconds from 1 to 604800, or a duration such as 30s or 5m"
            );
            assert!(error.contains(&expected), "{error}");
        }
    }

    #[test]
    fn what_depends_on_notices_is_refused_where_none_are_sent() {
        for flag in ["--max-connection-age 60", "--drain-close-after 60"] {
            let error = read(&format!("--no-drain-notice {flag}")).unwrap_err();
            let name = flag.split(' ').next().unwrap();
            assert!(error.contains(&format!("'{name}' cannot be used with '--no-drain-notice'")), "{error}");
        }
    }
}
