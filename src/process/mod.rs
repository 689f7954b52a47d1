//! The room that lives and dies: the log, the start, the processes and their exit codes.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use log::{debug, error, info, warn};
use thiserror::Error;

use crate::config::Config;
use crate::config::auth::AuthConfig;
use crate::config::origins::AllowedOrigin;
use crate::http::access::Reach;
use crate::policy::drain::Outcome;
use crate::process::listeners::OpenError;
use crate::process::program::Inheritance;
use crate::process::secrets::SecretError;
use crate::process::supervisor::{Supervisor, SupervisorError};
use crate::server::clock::Now;
use crate::server::key_file::{KeyFile, KeyFileError};
use crate::server::state_file::StateFileError;
use crate::server::terms::access;
use crate::server::{Address, StartError};

pub mod crew;
pub mod listeners;
pub mod logging;
pub mod program;
pub mod progress_bar;
pub mod secrets;
pub mod service_manager;
pub mod sight;
pub mod supervisor;
pub mod worker;

/// Why there is nothing to run.
#[derive(Debug, Error)]
pub enum RunError {
    /// Nothing to listen on.
    #[error(transparent)]
    Listen(#[from] OpenError),
    /// No loop.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No state file.
    #[error(transparent)]
    State(#[from] StateFileError),
    /// No supervisor.
    #[error(transparent)]
    Supervise(#[from] SupervisorError),
    /// No secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// No keys.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
}

/// Runs until told to leave: as a server, as a supervisor of several, or as one of those. Exit codes: 0 drained,
/// 1 forced, 3 could not start, 4 the loop failed.
pub fn run(config: Config, inheritance: Option<&Inheritance>) -> ExitCode {
    raise_open_files();
    survive_full_files();
    let code = start(config, inheritance).unwrap_or_else(|why| {
        error!("{why}");
        ExitCode::from(3)
    });
    log::logger().flush();
    code
}

fn start(mut config: Config, inheritance: Option<&Inheritance>) -> Result<ExitCode, RunError> {
    secrets::read(&mut config)?;
    if let Some(inheritance) = inheritance {
        return worker::serve_inherited(&config, inheritance);
    }
    secrets::warn_of_others(&config);
    if config.workers > 1 {
        // Workers read it themselves; without keys in it none of them would start.
        KeyFile::open(&config.auth, Now::read().instant)?;
        return Ok(Supervisor::new(config)?.run());
    }
    worker::serve(&config)
}

/// Says that the server serves, and where.
fn announce(config: &Config, address: &Address, admin: Option<&Address>) {
    let place = match address {
        Address::Ip(address) => {
            format!("the page on http://{address} and the WebSocket on ws://{address}/ws")
        }
        Address::Unix(_) => format!("on {address}"),
    };
    let workers =
        if config.workers > 1 { format!(" with {} workers", config.workers) } else { String::new() };
    info!("Serving {place}{workers} (Ctrl-C to leave)");
    if let Some(admin) = admin {
        let scheme = if admin.ip().is_some() { "http://" } else { "" };
        info!("Operators are answered on {scheme}{admin}");
    }
    let addresses = &config.addresses;
    if (addresses.proxy_headers || addresses.proxy_protocol) && addresses.forwarded_allow_ips.are_all() {
        warn!(
            "--forwarded-allow-ips believes everybody: a client that can reach this port makes up its address"
        );
    }
    say_who_may_hear(&config.auth);
    if config.publish_token.is_none() {
        say_who_may(config, admin.unwrap_or(address), admin.is_some());
    }
    if config.origins.all().contains(&AllowedOrigin::Any) {
        warn!(
            "Pages of every web site may listen in a browser that reaches this server, and publish where programs beside it \
             may: instead of --allowed-origin * name those that are to"
        );
    }
    service_manager::ready(&format!("Serving on {address}"));
}

/// Says what may be heard without a token, where tokens are expected.
fn say_who_may_hear(auth: &AuthConfig) {
    match &auth.anonymous_topic[..] {
        _ if !auth.is_on() => {}
        [] => info!("Nobody may hear anything without a token"),
        topics => info!("Without a token everyone may hear {} and nothing else", topics.join(", ")),
    }
}

/// Says to whom what is for operators is open while there is no token.
fn say_who_may(config: &Config, door: &Address, is_admin: bool) {
    match access(config, door, is_admin).reach {
        Reach::ThisMachine(_) => info!(
            "Everyone on this machine may publish, read /metrics and make the server leave, and so may everyone behind a \
             proxy on it that adds no X-Forwarded-For: to ask for a token, set --publish-token-file"
        ),
        Reach::Operators => info!("Everyone who may open {door} may publish and make the server leave"),
        Reach::World if config.auth.is_on() => info!(
            "Whoever's token grants it may publish. To publish everything, and to make the server leave, set --publish-token-file"
        ),
        Reach::World => warn!(
            "Publishing is off: others than this machine could publish. Set --publish-token or --publish-token-file"
        ),
    }
}

/// The machine is out of something, or broken: for a service manager to start it again.
fn loop_failed(why: &io::Error) -> ExitCode {
    error!("The event loop failed: {why}");
    ExitCode::from(4)
}

fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Outcome::Drained => ExitCode::SUCCESS,
        Outcome::Forced => ExitCode::FAILURE,
    }
}

/// Every client takes a descriptor, and the soft limit is often 1024: takes what the hard limit allows.
fn raise_open_files() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(most) => debug!("At most {most} open files"),
        Err(why) => debug!("The limit on open files stays as it is: {why}"),
    }
}

/// Lets a write beyond the limit on the size of files (`ulimit -f`) fail as any other, instead of ending the process
/// (SIGXFSZ, setrlimit(2)).
fn survive_full_files() {
    if let Err(why) = signal_hook::flag::register(libc::SIGXFSZ, Arc::default()) {
        debug!("A file that grows beyond its limit ends the process: {why}");
    }
}
