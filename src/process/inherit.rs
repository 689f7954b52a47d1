//! Descriptors that another process has opened: the only place with `unsafe` code in the program. A number is nothing
//! but a promise; each is checked to be open before it is owned.

use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use socket2::Socket;

/// Takes over an inherited socket, which no process started later inherits in turn. To be asked once for each number,
/// at the start, by whoever was told of it.
///
/// # Errors
/// When nothing is open under this number.
#[allow(unsafe_code)]
pub fn socket(fd: RawFd) -> io::Result<Socket> {
    fs::symlink_metadata(format!("/proc/self/fd/{fd}"))
        .map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: it is open, as was just checked, and nothing else in this process owns it: the number came from the
    // process before this one, and is asked for once.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    let socket = Socket::from(owned);
    socket.set_cloexec(true)?;
    Ok(socket)
}
