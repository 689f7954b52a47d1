//! The room that lives and dies: the log, the start, the processes and their exit codes.

use std::env;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;

use log::{debug, error, info};
use thiserror::Error;

use crate::config::Config;
use crate::policy::drain::Outcome;
use crate::process::handover::SuccessionError::{self, ToldToLeave};
use crate::process::listeners::OpenError;
use crate::process::program::Inheritance;
use crate::process::remarks::Remark;
use crate::process::secrets::SecretError;
use crate::process::supervisor::{Supervisor, SupervisorError};
use crate::server::certificate::{CertificateError, CertificateFile};
use crate::server::clock::Now;
use crate::server::handover::parked::ParkedError;
use crate::server::key_file::{KeyFile, KeyFileError};
use crate::server::state_file::StateFileError;
use crate::server::{Address, StartError};

pub mod commands;
pub mod config_file;
pub mod contradictions;
pub mod crew;
pub mod dangers;
pub mod detached;
pub mod former;
pub mod handover;
pub mod listeners;
pub mod logging;
pub mod parking;
pub mod program;
pub mod progress_bar;
pub mod refusal;
pub mod remarks;
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
    /// Nothing to take over.
    #[error(transparent)]
    Succession(#[from] SuccessionError),
    /// Not with what was parked.
    #[error("cannot take up what was parked: {0}")]
    Parked(#[from] ParkedError),
    /// No supervisor.
    #[error(transparent)]
    Supervise(#[from] SupervisorError),
    /// No secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// No keys.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// No certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Serves until told to leave.
type Serve = Box<dyn FnOnce() -> ExitCode>;

/// Runs until told to leave: as a server, as a supervisor of several, or as one of those. Exit codes: 0 drained,
/// 1 forced, 3 could not start, 4 the loop failed.
pub fn run(config: Config, inheritance: Option<&Inheritance>) -> ExitCode {
    raise_open_files();
    survive_full_files();
    let sources = config.sources.clone();
    let mut way = None;
    let code = match start(config, inheritance, &mut way) {
        Ok(serve) => {
            drop(way.take());
            serve()
        }
        Err(RunError::Succession(why @ ToldToLeave))
        | Err(RunError::Supervise(SupervisorError::Succession(why @ ToldToLeave))) => {
            info!("{why}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            error!("{}", sources.locate(&why.to_string()));
            ExitCode::from(3)
        }
    };
    log::logger().flush();
    // A predecessor that sees its end of the way closed kills this process: what is logged is logged by now.
    drop(way);
    code
}

/// Everything up to where it serves. The way to the process that has started this one as its successor, if one has, stays open
/// beyond that.
fn start(
    mut config: Config,
    inheritance: Option<&Inheritance>,
    way: &mut Option<OwnedFd>,
) -> Result<Serve, RunError> {
    config.last_good = inheritance.map(worker::last_good).transpose()?.unwrap_or_default();
    secrets::read(&mut config)?;
    if let Some(inheritance) = inheritance {
        config.ssl.ticket_secret = worker::ticket_secret(inheritance)?;
        return Ok(Box::new(worker::serve_inherited(config, inheritance)?));
    }
    *way = program::succession().map_err(SuccessionError::Inherited)?;
    secrets::read_engine_password(&mut config.engine)?;
    say(&config, remarks::of_variables(env::vars_os().map(|(name, _)| name)));
    say(&config, remarks::of_file(&config));
    say(&config, secrets::of_others(&config));
    // Whoever serves reads it anew; without keys in it no worker would start.
    let keys = KeyFile::open(&config.auth, Now::read().instant)?.map(|(keys, _)| keys);
    say(&config, keys.as_ref().and_then(remarks::of_keys));
    let now = Now::read();
    let certificate = CertificateFile::open(&config.ssl, now)?;
    say(&config, certificate.iter().flat_map(|file| remarks::of_certificate(file, now.wall)));
    if config.workers > 1 {
        let supervisor = Supervisor::new(config, way.as_ref())?;
        return Ok(Box::new(|| supervisor.run()));
    }
    Ok(Box::new(worker::serve(config, way.as_ref())?))
}

/// Says that the server serves, and where.
fn announce(config: &Config, address: &Address, admin: Option<&Address>, redirect: Option<&Address>) {
    info!("Serving {} (Ctrl-C to leave)", remarks::serving(config, address));
    say(config, redirect.map(remarks::redirecting));
    say(config, admin.map(|admin| remarks::operators(config, admin)));
    say(config, remarks::of_access(config, address, admin));
    say(config, remarks::of_webroot(config));
    // Whoever hears that it is ready may look for that line.
    log::logger().flush();
    service_manager::ready(&serving(address));
}

/// Logs these, with where that was given which they are about.
fn say(config: &Config, remarks: impl IntoIterator<Item = Remark>) {
    remarks.into_iter().for_each(|remark| remark.located(&config.sources).log());
}

/// What the service manager shows of a server.
fn serving(address: &Address) -> String {
    format!("Serving on {address}")
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
