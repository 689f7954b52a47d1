//! Descriptors that another process has opened: the only place with `unsafe` code in the program. A number is nothing
//! but a promise; each is checked to be an open socket before it is owned.

use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;

use socket2::Socket;

/// Takes over an inherited socket, which no process started later inherits in turn. To be asked once for each number,
/// at the start, by whoever was told of it: before this process opens sockets of its own.
///
/// # Errors
/// When no socket is open under this number.
#[allow(unsafe_code)]
pub fn socket(fd: RawFd) -> io::Result<Socket> {
    let metadata =
        fs::metadata(format!("/proc/self/fd/{fd}")).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    if !metadata.file_type().is_socket() {
        // Where nothing was handed over, the log's file may have got that number since.
        return Err(io::Error::from_raw_os_error(libc::ENOTSOCK));
    }
    // SAFETY: it is an open socket, as was just checked, and nothing else in this process owns it: this process has
    // opened none yet, and the number is asked for once.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    let socket = Socket::from(owned);
    socket.set_cloexec(true)?;
    Ok(socket)
}
