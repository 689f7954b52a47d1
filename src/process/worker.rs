//! One process that serves: from the configuration to the exit code.

use std::fs;
use std::process::ExitCode;

use log::{debug, error, info, warn};
use thiserror::Error;

use crate::config::{self, Config};
use crate::policy::drain::Outcome;
use crate::server::{Server, Service, StartError};

/// Why there is nothing to run.
#[derive(Debug, Error)]
enum RunError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(
        "cannot read --publish-token-file {path}: {why}; give a file that holds the token and nothing else"
    )]
    Token { path: String, why: String },
}

/// Serves until told to leave. Exit codes: 0 drained, 1 forced, 3 could not start.
pub fn run(config: Config) -> ExitCode {
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

fn start(mut config: Config) -> Result<Server, RunError> {
    if let Some(path) = &config.publish_token_file {
        let text = fs::read_to_string(path).map_err(|e| e.to_string());
        let token = text.and_then(|text| config::token(text.trim()));
        config.publish_token =
            Some(token.map_err(|why| RunError::Token { path: path.display().to_string(), why })?);
    }
    let mut server = Server::bind(&config, Service::Notifications)?;
    server.take_signals()?;
    server.take_over();
    let address = server.address();
    info!("Serving the page on http://{address} and the WebSocket on ws://{address}/ws (Ctrl-C to leave)");
    if config.publish_token.is_none() && !address.ip().is_loopback() {
        warn!(
            "Publishing is off: others than this machine could publish. Set --publish-token or --publish-token-file"
        );
    }
    Ok(server)
}

/// Every client takes a descriptor, and the soft limit is often 1024: takes what the hard limit allows.
fn raise_open_files() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(most) => debug!("At most {most} open files"),
        Err(why) => debug!("The limit on open files stays as it is: {why}"),
    }
}
