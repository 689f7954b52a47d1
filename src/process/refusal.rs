//! Says why a command line is refused: on standard error as ever; and where a server's log goes on from other processes, or is read by
//! programs, as a line of it.

use std::ffi::OsString;
use std::process::ExitCode;

use log::error;

use crate::config::LogFormat;
use crate::config::command::Command;
use crate::process::former::Former;
use crate::process::program::Inheritance;
use crate::process::{config_file, logging};

/// Says it, or what was asked for instead of anything else; gives back the exit code.
pub fn say(refused: &clap::Error, args: &[OsString]) -> ExitCode {
    let code = ExitCode::from(u8::try_from(refused.exit_code()).unwrap_or(u8::MAX));
    let Some(format) = format_of_log(args).filter(|_| refused.use_stderr()) else {
        // Nobody need be there to read it.
        let _ = refused.print();
        return code;
    };
    logging::start(None, format, None);
    error!("{}", in_one_line(&refused.render().to_string()));
    log::logger().flush();
    code
}

/// How the log is written that this is to be a line of, if it is to be one.
fn format_of_log(args: &[OsString]) -> Option<LogFormat> {
    if !Command::is_to_serve(args) {
        return None;
    }
    if let Some(former) = Former::told() {
        return Some(former.log_format());
    }
    // What a worker was told of the file it was told once.
    let is_worker = !matches!(Inheritance::read(), Ok(None));
    if is_worker {
        return Some(LogFormat::guess(args, &|_| Err(String::new())));
    }
    Some(LogFormat::guess(args, &config_file::open)).filter(|format| *format == LogFormat::Json)
}

/// Without what is of use at a prompt only.
fn in_one_line(said: &str) -> String {
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let of_use: Vec<&str> = lines
        .take_while(|line| !["Usage:", "For more information"].iter().any(|end| line.starts_with(end)))
        .collect();
    let one = of_use.join("; ");
    one.strip_prefix("error: ").unwrap_or(&one).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_at_a_prompt_is_one_line_of_a_log() {
        let said = "error: unexpected argument '--prot' found\n\n  tip: a similar argument exists: '--port'\n\nUsage: slackwater [OPTIONS]\n\n\
                    For more information, try '--help'.\n";
        let line = "unexpected argument '--prot' found; tip: a similar argument exists: '--port'";
        assert_eq!(in_one_line(said), line);
    }
}
