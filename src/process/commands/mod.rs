//! What the program does besides serving: each sub-command is a file here, reads what it needs, prints what was asked for on
//! standard output and all else on standard error, and ends. None of them starts the log.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::process::ExitCode;

pub mod check;
mod exchange;
mod far_end;
pub mod listen;
pub mod publish;
pub mod token;

/// The command line asks for what cannot be.
const BAD_USAGE: u8 = 2;

/// A file cannot be read, or an answer not be written.
const FAILED: u8 = 3;

/// Of /dev/null (null(4)).
const NULL_DEVICE: (u32, u32) = (1, 3);

/// Says on standard error why there is nothing on standard output, and ends with this code.
fn fail(code: u8, why: impl Display) -> ExitCode {
    tell(format_args!("error: {why}"));
    ExitCode::from(code)
}

/// Says something beside the answer. Nobody need be there to read it.
fn tell(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A number that nobody can guess.
fn drawn() -> io::Result<u64> {
    let mut octets = [0; 8];
    rustix::rand::getrandom(&mut octets[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(octets))
}

/// Prints the answer.
fn print(text: &str) -> io::Result<()> {
    if is_closed() {
        return Err(io::Error::other("standard output is closed"));
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}

/// Whether the program was started without a standard output. The standard library then opens /dev/null in its place, for
/// reading, too, as nobody does who wants nothing printed.
fn is_closed() -> bool {
    let is_null = fs::metadata("/proc/self/fd/1").is_ok_and(|there| {
        let device = there.rdev();
        there.file_type().is_char_device() && (libc::major(device), libc::minor(device)) == NULL_DEVICE
    });
    // proc(5): the flags of open(2), in octal.
    let status = fs::read_to_string("/proc/self/fdinfo/1").unwrap_or_default();
    let flags =
        status.lines().find_map(|line| i32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    is_null && flags.is_some_and(|flags| flags & libc::O_ACCMODE == libc::O_RDWR)
}
