//! What the program does besides serving: each sub-command is a file here, reads what it needs, prints what was asked for on
//! standard output and all else on standard error, and ends. None of them starts the log.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

pub mod check;
pub mod token;

/// The command line asks for what cannot be.
const BAD_USAGE: u8 = 2;

/// A file cannot be read, or an answer not be written.
const FAILED: u8 = 3;

/// Says on standard error why there is nothing on standard output, and ends with this code.
fn fail(code: u8, why: impl Display) -> ExitCode {
    tell(format_args!("error: {why}"));
    ExitCode::from(code)
}

/// Says something beside the answer. Nobody need be there to read it.
fn tell(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
