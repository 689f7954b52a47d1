//! One process that serves: from the configuration to the exit code.

use std::process::ExitCode;

use log::{debug, error, info};

use crate::config::Config;
use crate::policy::drain::Outcome;
use crate::server::{Server, Service, StartError};

/// Serves until told to leave. Exit codes: 0 drained, 1 forced, 3 could not start.
pub fn run(config: &Config) -> ExitCode {
    raise_open_files();
    let server = match start(config) {
        Ok(server) => server,
        Err(why) => {
            error!("{why}");
            return ExitCode::from(3);
        }
    };
    match server.run() {
        Ok(Outcome::Drained) => ExitCode::SUCCESS,
        Ok(Outcome::Forced) => ExitCode::FAILURE,
        Err(why) => {
            error!("The event loop failed: {why}");
            ExitCode::FAILURE
        }
    }
}

fn start(config: &Config) -> Result<Server, StartError> {
    let mut server = Server::bind(config, Service::Notifications)?;
    server.take_signals()?;
    let address = server.address();
    info!("Serving the page on http://{address} and the WebSocket on ws://{address}/ws (Ctrl-C to leave)");
    Ok(server)
}

/// Every client takes a descriptor, and the soft limit is often 1024: takes what the hard limit allows.
fn raise_open_files() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(most) => debug!("At most {most} open files"),
        Err(why) => debug!("The limit on open files stays as it is: {why}"),
    }
}
