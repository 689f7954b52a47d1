//! The command: parse, start the log, run, exit code.

use std::process::ExitCode;

use slackwater::config::Config;
use slackwater::process::{logging, worker};

fn main() -> ExitCode {
    let config = match Config::read(std::env::args_os()) {
        Ok(config) => config,
        Err(error) => error.exit(),
    };
    logging::start(config.log_level);
    worker::run(config)
}
