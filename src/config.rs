//! Every knob once: its flag, environment variable, default, unit and bounds. A leaf: it knows no room.
//! What is read here is checked here; nobody checks it again.

mod address;
pub mod addresses;
mod age;
pub mod auth;
mod authority;
pub mod command;
mod compression;
pub mod engine;
pub mod file;
mod handover;
pub mod health;
mod hints;
pub mod last_good;
pub mod listed;
mod log_format;
mod log_level;
mod nearest;
pub mod origins;
mod reading;
pub mod redirect;
mod refused;
pub mod secret;
pub mod sources;
pub mod ssl;
pub mod token;
mod units;
mod values;
pub mod variables;

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::auth::AuthConfig;
use crate::config::engine::EngineFlags;
use crate::config::secret::Secret;
use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser};

pub use log_format::{LogFlags, LogFormat};
pub use log_level::LogLevel;

pub use self::address::Place;
use self::address::{admin_address, host};
use self::addresses::AddressFlags;
pub use self::age::Age;
use self::command::with_sub_commands;
pub use self::compression::CompressionFlag;
use self::file::{FileFlag, Open};
use self::handover::HandoverFlags;
use self::last_good::LastGood;
use self::origins::OriginFlags;
use self::reading::Reading;
use self::redirect::RedirectFlags;
use self::sources::Sources;
use self::ssl::SslFlags;
use self::values::{bytes, milliseconds, period, seconds, truth, whole};

const DAY: f64 = 86_400.0;
const MOST_WORKERS: u64 = 256;
const MIB: u64 = 1024 * 1024;

/// The most that `--max-publish-size` may be, in bytes: no server takes a larger body.
pub const MOST_PUBLISH_SIZE: u64 = 64 * MIB;

/// A WebSocket notification server that can be redeployed without its clients noticing.
///
/// Every flag can also be set by the environment variable named beside it, and in the file of --config; the flag wins over the
/// variable, and the variable over the file.
/// Durations are in seconds unless a unit stands behind them, as in 250ms, 30s, 5m, 1h30m or 1d; sizes are in bytes, or as in
/// 64KiB, 10MB or 1GiB.
#[derive(Debug, Clone, Parser)]
#[command(name = "slackwater", version, max_term_width = 100)]
pub struct Config {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub file: FileFlag,

    /// Address to listen on, 0.0.0.0 or :: for all; or a name, for all addresses that it has
    #[arg(long, env = "SLACKWATER_HOST", default_value = "127.0.0.1", help_heading = "Listening")]
    #[arg(value_parser = host)]
    pub host: String,

    /// Port to listen on; 0 takes a free one and says which
    #[arg(long, env = "SLACKWATER_PORT", default_value_t = 8000, help_heading = "Listening")]
    #[arg(value_parser = whole::<u16>(0..=65_535), allow_negative_numbers = true)]
    pub port: u16,

    /// Unix socket to listen on, instead of an address
    #[arg(long, env = "SLACKWATER_UDS", help_heading = "Listening")]
    #[arg(value_name = "PATH", conflicts_with_all = ["fd", "host", "port"])]
    pub uds: Option<PathBuf>,

    /// Descriptor of a listening socket that is inherited, instead of an address
    #[arg(long, env = "SLACKWATER_FD", help_heading = "Listening")]
    #[arg(value_name = "N", value_parser = whole::<i32>(0..=1_048_576), allow_negative_numbers = true)]
    #[arg(conflicts_with = "port")]
    pub fd: Option<i32>,

    /// Address, as HOST:PORT, or Unix socket on which only operators are answered: /readyz, /status, /metrics, /drain,
    /// /publish; open until the process ends [default: they are answered with the rest]
    #[arg(long, env = "SLACKWATER_ADMIN", help_heading = "Listening")]
    #[arg(value_name = "ADDRESS", value_parser = admin_address)]
    pub admin: Option<Place>,

    /// Whether TLS is spoken, and how.
    #[command(flatten)]
    pub ssl: SslFlags,

    /// Who is redirected to HTTPS.
    #[command(flatten)]
    pub redirect: RedirectFlags,

    /// Which pages are let in.
    #[command(flatten)]
    pub origins: OriginFlags,

    /// Server processes; from 2 on a supervisor keeps them alive [env: WEB_CONCURRENCY too]
    #[arg(long, env = "SLACKWATER_WORKERS", default_value_t = 1, help_heading = "Listening")]
    #[arg(value_name = "N", value_parser = whole::<u16>(1..=MOST_WORKERS), allow_negative_numbers = true)]
    pub workers: u16,

    /// Time in which a worker has to show that it is not stuck, or else it is replaced
    #[arg(
        long,
        env = "SLACKWATER_TIMEOUT_WORKER_HEALTHCHECK",
        default_value = "5",
        help_heading = "Listening"
    )]
    #[arg(value_name = "SECONDS", value_parser = seconds(0.1..=3600.0), allow_negative_numbers = true)]
    pub timeout_worker_healthcheck: Duration,

    /// Connections that may wait to be accepted
    #[arg(long, env = "SLACKWATER_BACKLOG", default_value_t = 2048, help_heading = "Listening")]
    #[arg(value_name = "N", value_parser = whole::<u16>(1..=65_535), allow_negative_numbers = true)]
    pub backlog: u16,

    /// Connections beyond which requests are answered 503 [default: no limit]
    #[arg(long, env = "SLACKWATER_LIMIT_CONCURRENCY", help_heading = "Listening")]
    #[arg(value_name = "N", value_parser = whole::<usize>(1..=10_000_000), allow_negative_numbers = true)]
    pub limit_concurrency: Option<usize>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub addresses: AddressFlags,

    /// Time for a request's head to be complete, and then for its body, or else 408
    #[arg(long, env = "SLACKWATER_HANDSHAKE_TIMEOUT", default_value = "10", help_heading = "Listening")]
    #[arg(value_name = "SECONDS", value_parser = seconds(0.01..=3600.0), allow_negative_numbers = true)]
    pub handshake_timeout: Duration,

    /// Time that an HTTP connection may idle between two requests
    #[arg(long, env = "SLACKWATER_TIMEOUT_KEEP_ALIVE", default_value = "5", help_heading = "Listening")]
    #[arg(value_name = "SECONDS", value_parser = seconds(0.0..=3600.0), allow_negative_numbers = true)]
    pub timeout_keep_alive: Duration,

    /// Period of the notification to all; 0 for none
    #[arg(long, env = "SLACKWATER_NOTIFY_INTERVAL", default_value = "10", help_heading = "WebSocket")]
    #[arg(value_name = "SECONDS", value_parser = period(DAY), allow_negative_numbers = true)]
    pub notify_interval: Period,

    /// Largest message from a client, in bytes, or else close code 1009
    #[arg(long, env = "SLACKWATER_WS_MAX_SIZE", default_value_t = 65_536, help_heading = "WebSocket")]
    #[arg(value_name = "BYTES", value_parser = bytes(1..=16 * MIB), allow_negative_numbers = true)]
    pub ws_max_size: usize,

    /// Period of pings to each client; 0 for none
    #[arg(long, env = "SLACKWATER_WS_PING_INTERVAL", default_value = "20", help_heading = "WebSocket")]
    #[arg(value_name = "SECONDS", value_parser = period(DAY), allow_negative_numbers = true)]
    pub ws_ping_interval: Period,

    /// Time for the pong to come, or else close code 4003; 0 to wait for ever
    #[arg(long, env = "SLACKWATER_WS_PING_TIMEOUT", default_value = "20", help_heading = "WebSocket")]
    #[arg(value_name = "SECONDS", value_parser = period(DAY), allow_negative_numbers = true)]
    pub ws_ping_timeout: Period,

    /// Bytes that may wait for one client, or else close code 4001
    #[arg(long, env = "SLACKWATER_OUTBOX_LIMIT", default_value_t = 1_048_576, help_heading = "WebSocket")]
    #[arg(value_name = "BYTES", value_parser = bytes(1024..=1024 * MIB), allow_negative_numbers = true)]
    pub outbox_limit: usize,

    /// Time that a client may take nothing of what waits for it, or else close code 4001
    #[arg(long, env = "SLACKWATER_WRITE_TIMEOUT", default_value = "30", help_heading = "WebSocket")]
    #[arg(value_name = "SECONDS", value_parser = seconds(0.01..=3600.0), allow_negative_numbers = true)]
    pub write_timeout: Duration,

    /// Whether messages are compressed.
    #[command(flatten)]
    pub compression: CompressionFlag,

    /// How old a connection may become.
    #[command(flatten)]
    pub age: Age,

    /// Token that publishers show; without one they have to be on this machine, and listening on a loopback address
    #[arg(long, env = "SLACKWATER_PUBLISH_TOKEN", help_heading = "Publishing")]
    #[arg(value_name = "TOKEN", conflicts_with = "publish_token_file", allow_hyphen_values = true)]
    // clap shows what it refuses, so this is checked later.
    #[arg(value_parser = |text: &str| Ok::<_, Infallible>(Secret::unchecked(text)))]
    pub publish_token: Option<Secret>,

    /// File with that token
    #[arg(long, env = "SLACKWATER_PUBLISH_TOKEN_FILE", help_heading = "Publishing")]
    #[arg(value_name = "PATH")]
    pub publish_token_file: Option<PathBuf>,

    /// Largest body of POST /publish, in bytes, or else 413
    #[arg(long, env = "SLACKWATER_MAX_PUBLISH_SIZE", default_value_t = 262_144, help_heading = "Publishing")]
    #[arg(value_name = "BYTES", value_parser = bytes(1..=MOST_PUBLISH_SIZE), allow_negative_numbers = true)]
    pub max_publish_size: usize,

    /// How tokens are verified.
    #[command(flatten)]
    pub auth: AuthConfig,

    /// Publications kept for clients that come back
    #[arg(long, env = "SLACKWATER_HISTORY_SIZE", default_value_t = 10_000, help_heading = "Publishing")]
    #[arg(value_name = "N", value_parser = whole::<usize>(0..=10_000_000), allow_negative_numbers = true)]
    pub history_size: usize,

    /// Bytes of memory that publications kept for clients that come back take
    #[arg(long, env = "SLACKWATER_HISTORY_BYTES", default_value_t = 67_108_864, help_heading = "Publishing")]
    #[arg(value_name = "BYTES", value_parser = bytes(0..=16 * 1024 * MIB), allow_negative_numbers = true)]
    pub history_bytes: usize,

    /// Time that publications are kept for clients that come back
    #[arg(long, env = "SLACKWATER_HISTORY_TTL", default_value = "300", help_heading = "Publishing")]
    #[arg(value_name = "SECONDS", value_parser = seconds(0.0..=7.0 * DAY), allow_negative_numbers = true)]
    pub history_ttl: Duration,

    /// Through what several machines hear the same.
    #[command(flatten)]
    pub engine: EngineFlags,

    /// File that hands history on from a leaving process to its successor
    #[arg(long, env = "SLACKWATER_STATE_FILE", help_heading = "Leaving")]
    #[arg(value_name = "PATH")]
    pub state_file: Option<PathBuf>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub handover: HandoverFlags,

    /// Time over which clients are asked to reconnect to the successor, each at its own moment; 0 for all at once
    #[arg(long, env = "SLACKWATER_DRAIN_SPREAD", default_value = "30", help_heading = "Leaving")]
    #[arg(value_name = "SECONDS", value_parser = seconds(0.0..=DAY), allow_negative_numbers = true)]
    pub drain_spread: Duration,

    /// Send no client a reconnect notice
    #[arg(long, env = "SLACKWATER_NO_DRAIN_NOTICE", help_heading = "Leaving")]
    #[arg(value_name = "BOOLEAN", default_value = "false", default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_parser = truth)]
    pub no_drain_notice: bool,

    /// Time after its moment at which a client that has not reconnected is closed with 1012 [default: never]
    #[arg(long, env = "SLACKWATER_DRAIN_CLOSE_AFTER", help_heading = "Leaving")]
    #[arg(value_name = "SECONDS", value_parser = seconds(0.0..=DAY), allow_negative_numbers = true)]
    pub drain_close_after: Option<Duration>,

    /// Time after the signal in which the server says that it is not ready, but still accepts connections
    #[arg(long, env = "SLACKWATER_DRAIN_DELAY", default_value = "0", help_heading = "Leaving")]
    #[arg(value_name = "SECONDS", value_parser = seconds(0.0..=DAY), allow_negative_numbers = true)]
    pub drain_delay: Duration,

    /// Time that clients have to leave by themselves, before they are closed with 1012
    #[arg(
        long,
        env = "SLACKWATER_TIMEOUT_GRACEFUL_SHUTDOWN",
        default_value = "1800",
        help_heading = "Leaving"
    )]
    #[arg(value_name = "SECONDS", value_parser = seconds(0.0..=7.0 * DAY), allow_negative_numbers = true)]
    pub timeout_graceful_shutdown: Duration,

    /// Period of the progress lines while leaving
    #[arg(long, env = "SLACKWATER_DRAIN_CHECK_INTERVAL", default_value = "5", help_heading = "Leaving")]
    #[arg(value_name = "SECONDS", value_parser = seconds(0.01..=3600.0), allow_negative_numbers = true)]
    pub drain_check_interval: Duration,

    /// Least severe lines to log; RUST_LOG is read when it is not given [default: info]
    #[arg(long, env = "SLACKWATER_LOG_LEVEL", ignore_case = true, help_heading = "Logging")]
    #[arg(value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogFlags,

    /// Whether the token was given as an argument, where everyone on this machine can read it.
    #[arg(skip)]
    pub token_is_in_arguments: bool,

    /// What files held that a worker may find in a state in which they cannot be used.
    #[arg(skip)]
    pub last_good: LastGood,

    /// Where each of these was given, for what is said about them.
    #[arg(skip)]
    pub sources: Sources,
}

/// How often something is done, or how long something is waited for; `None` when it is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(pub Option<Duration>);

impl Config {
    /// Reads the command line of `serve`, the program's name first, and the environment, but no configuration file.
    ///
    /// # Errors
    /// What to print and the exit code to end with: also for `--help` and `--version`.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::read_with(args.into_iter().collect(), &file::none)
    }

    /// The same with a configuration file, whose text is come by so.
    fn read_with(args: Vec<OsString>, open: &Open<'_>) -> Result<Self, clap::Error> {
        let command = with_sub_commands(Self::command()).mut_args(|arg| arg.hide_env_values(true));
        Self::of(reading::read(&command, args, open)?)
    }

    /// What was read, once it has been checked as a whole.
    fn of(reading: Reading) -> Result<Self, clap::Error> {
        let Reading { matches, mut sources, file } = reading;
        let mut config = Self::from_arg_matches(&matches)?;
        config.file.read = file;
        config.token_is_in_arguments = sources.is_argument("publish_token");
        if let Some(Err(why)) = config.publish_token.as_ref().map(Secret::check) {
            let place = sources.place("publish_token");
            return Err(usage_error(format!("invalid value for {place}: {why}")));
        }
        config.auth.check(&sources)?;
        config.engine.check(&sources)?;
        config.ssl.check(&sources, config.admin.is_some())?;
        let contradiction = config
            .auth
            .in_vain(&sources)
            .or_else(|| engine::contradiction(&config, &sources))
            .or_else(|| redirect::contradiction(&config, &sources))
            .or_else(|| config.contradiction(&sources));
        if let Some(why) = contradiction {
            return Err(usage_error(why));
        }
        // uvicorn, gunicorn and several hosting services use this name for the number of processes.
        if !sources.is_given("workers")
            && let Ok(count) = std::env::var("WEB_CONCURRENCY")
        {
            config.workers = whole::<u16>(1..=MOST_WORKERS)(&count).map_err(|why| {
                usage_error(format!("invalid value '{count}' for 'WEB_CONCURRENCY': {why}"))
            })?;
            sources.note_variable("workers", "WEB_CONCURRENCY");
        }
        config.sources = sources;
        Ok(config)
    }

    /// Not left to clap, for which a variable that says `false` counts as a flag that is given.
    fn contradiction(&self, sources: &Sources) -> Option<String> {
        let needs_notices = [
            ("drain_close_after", self.drain_close_after),
            ("max_connection_age", self.age.max_connection_age),
        ];
        let in_vain = needs_notices.into_iter().find(|(_, is_set)| self.no_drain_notice && is_set.is_some());
        // Those who are redirected come by --host though clients do not.
        let has_host = self.redirect.http_redirect.is_none() && sources.are_beside("fd", "host");
        let pair = match in_vain {
            Some((id, _)) => (id, "no_drain_notice"),
            None if has_host => ("fd", "host"),
            None => return None,
        };
        Some(format!("{} cannot be used with {}", sources.name(pair.0), sources.name(pair.1)))
    }
}

fn usage_error(message: String) -> clap::Error {
    clap::Error::raw(ErrorKind::InvalidValue, message + "\n")
}

#[cfg(test)]
mod tests;
