//! Opens files that others name, without waiting for whatever else may be there in their place.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub mod rights;

/// Opens a file without waiting for somebody to write to a FIFO.
///
/// # Errors
/// As open(2), or when it is something else.
pub fn open_regular(path: &Path) -> io::Result<File> {
    open(path, 0)
}

/// The same without following a link to a file elsewhere.
///
/// # Errors
/// As open(2), or when it is something else.
pub fn open_unlinked(path: &Path) -> io::Result<File> {
    open(path, libc::O_NOFOLLOW)
}

fn open(path: &Path, flags: i32) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | flags;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}
