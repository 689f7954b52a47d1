//! The command: parse, start the log, run, exit code.

use std::process::ExitCode;

use log::error;
use slackwater::config::Config;
use slackwater::process::program::Inheritance;
use slackwater::process::{self, logging};

fn main() -> ExitCode {
    let config = match Config::read(std::env::args_os()) {
        Ok(config) => config,
        Err(error) => error.exit(),
    };
    let inheritance = Inheritance::read();
    let number = inheritance.iter().flatten().map(|inheritance| inheritance.number).next();
    logging::start(config.log_level, number);
    match inheritance {
        Ok(inheritance) => process::run(config, inheritance.as_ref()),
        Err(why) => {
            error!("{why}");
            ExitCode::from(3)
        }
    }
}
