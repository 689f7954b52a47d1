//! The command: parse, start the log, run, exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use log::error;
use slackwater::config::Config;
use slackwater::config::command::Command;
use slackwater::process::program::Inheritance;
use slackwater::process::{self, commands, config_file, detached, logging, refusal};

fn main() -> ExitCode {
    if let Some(code) = detached::run() {
        return code;
    }
    let args: Vec<OsString> = std::env::args_os().collect();
    match Command::read(args.clone(), &config_file::open) {
        Ok(Command::Serve(config)) => serve(*config),
        Ok(Command::Token(request)) => commands::token::run(*request),
        Ok(Command::Check(request)) => commands::check::run(*request),
        Ok(Command::Publish(request)) => commands::publish::run(*request),
        Ok(Command::Listen(request)) => commands::listen::run(*request),
        Err(refused) => refusal::say(&refused, &args),
    }
}

fn serve(config: Config) -> ExitCode {
    let inheritance = Inheritance::read();
    let number = inheritance.iter().flatten().map(|inheritance| inheritance.number).next();
    logging::start(config.log_level, config.log.log_format, number);
    match inheritance {
        Ok(inheritance) => process::run(config, inheritance.as_ref()),
        Err(why) => {
            error!("{why}");
            ExitCode::from(3)
        }
    }
}
