//! A process that serves: alone, or as one of a supervisor's.

use std::process::ExitCode;

use crate::config::Config;
use crate::policy::drain::Step;
use crate::process::listeners::{self, OpenError};
use crate::process::program::Inheritance;
use crate::process::{RunError, announce, exit_code, inherit, loop_failed, service_manager};
use crate::server::{ListenError, Server, Service};

/// Serves alone until told to leave.
///
/// # Errors
/// Why it could not start.
pub fn serve(config: &Config) -> Result<ExitCode, RunError> {
    let listening = listeners::open(config, false)?;
    let mut server = Server::over(listening, config, Service::Notifications)?;
    server.take_signals()?;
    server.take_over();
    announce(config, server.address());
    Ok(run(server, service_manager::on_step))
}

/// Serves as one of a supervisor's workers until told to leave, or until the supervisor is gone.
///
/// # Errors
/// Why it could not start.
pub fn serve_inherited(config: &Config, inheritance: &Inheritance) -> Result<ExitCode, RunError> {
    let take = |fd| {
        let refused = |why: std::io::Error| ListenError::Inherited { fd, why: why.to_string() };
        inherit::socket(fd).map_err(refused).map_err(OpenError::from)
    };
    let listening = listeners::inherited(take(inheritance.listener)?, inheritance.listener)?;
    let supervisor = take(inheritance.supervisor)?;
    let mut server = Server::worker(listening, supervisor.into(), config)?;
    server.take_signals()?;
    Ok(run(server, |_| {}))
}

fn run(server: Server, on_step: impl FnMut(&Step)) -> ExitCode {
    match server.run(on_step) {
        Ok(outcome) => exit_code(outcome),
        Err(why) => loop_failed(&why),
    }
}
