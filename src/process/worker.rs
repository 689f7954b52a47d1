//! A process that serves: alone, or as one of a supervisor's.

use std::process::ExitCode;

use log::error;

use crate::config::Config;
use crate::policy::drain::{Outcome, Step};
use crate::process::listeners::{self, OpenError};
use crate::process::program::Inheritance;
use crate::process::progress::Progress;
use crate::process::{RunError, announce, exit_code, inherit, service_manager};
use crate::server::{ListenError, Server, Service, Watched};

/// Serves alone until told to leave.
///
/// # Errors
/// Why it could not start.
pub fn serve(config: &Config) -> Result<ExitCode, RunError> {
    let listening = listeners::open(config, false)?;
    let admin = listeners::open_admin(config)?;
    let mut server = Server::over(listening, admin, config, Service::Notifications)?;
    server.take_signals()?;
    server.take_over();
    announce(config, server.address());
    let mut progress = Progress::default();
    Ok(run(server, |watched| match watched {
        Watched::Step(Step::Waiting { connections, remaining }) => {
            service_manager::draining(*connections, *remaining);
        }
        Watched::Step(Step::Complete(_)) => progress.hide(),
        Watched::Step(_) => {}
        Watched::Turn { clients, remaining } => progress.show(clients, remaining),
    }))
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
    let admin = inheritance.admin.map(|fd| listeners::inherited(take(fd)?, fd)).transpose()?;
    let supervisor = take(inheritance.supervisor)?;
    let mut server = Server::worker(listening, admin, supervisor.into(), config)?;
    server.take_signals()?;
    Ok(run(server, |_| {}))
}

fn run(server: Server, watch: impl FnMut(Watched<'_>)) -> ExitCode {
    match server.run(watch) {
        Ok(outcome) => exit_code(outcome),
        Err(why) => {
            error!("The event loop failed: {why}");
            exit_code(Outcome::Forced)
        }
    }
}
