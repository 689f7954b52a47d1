//! What the compiler cannot vouch for, and the only place with `unsafe` code in the program: owning descriptors that
//! another process has opened, handing free memory back to the system, asking what a peer has not taken yet, and what
//! becomes of signals.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::ptr;

use socket2::Socket;

/// Takes over an inherited socket, which no process started later inherits in turn. Its number is nothing but a promise:
/// it is checked to be an open socket before it is owned. To be asked once for each number, at the start, by whoever was
/// told of it: before this process opens sockets of its own.
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

/// Hands memory that is free back to the system (malloc_trim(3)), which the allocator would keep for later. Allocators
/// other than glibc's do so by themselves, or not at all.
#[allow(unsafe_code)]
pub fn trim_heap() {
    // SAFETY: it takes a number, touches free memory only, and may be called at any time, by any thread.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Bytes written to a stream socket that the system at the other end has not acknowledged (SIOCOUTQ, tcp(7)); the end of
/// our side counts as one. None where that cannot be told.
#[allow(unsafe_code)]
pub fn unacknowledged_bytes(socket: BorrowedFd<'_>) -> Option<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open while it is borrowed, and the call writes one number, into this one.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    (result == 0).then(|| u32::try_from(bytes).unwrap_or_default())
}

/// Lets these signals reach this process whatever mask it has inherited (pthread_sigmask(3)). To be asked once they are
/// taken: one that has come already is delivered then.
///
/// # Errors
/// When one of them is no signal.
pub fn unblock(signals: &[i32]) -> io::Result<()> {
    mask(libc::SIG_UNBLOCK, signals)
}

/// Keeps these signals waiting until they are unblocked. A process that is started meanwhile inherits that.
///
/// # Errors
/// When one of them is no signal.
pub fn block(signals: &[i32]) -> io::Result<()> {
    mask(libc::SIG_BLOCK, signals)
}

#[allow(unsafe_code)]
fn mask(how: i32, signals: &[i32]) -> io::Result<()> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset(3) fills the set before anything reads it, and all of them take only pointers to it, or none.
    let failure = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        signals.iter().for_each(|signal| _ = libc::sigaddset(set.as_mut_ptr(), *signal));
        libc::pthread_sigmask(how, set.as_ptr(), ptr::null_mut())
    };
    if failure == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(failure)) }
}

/// Lets a signal change nothing (signal(2)).
#[allow(unsafe_code)]
pub fn ignore(signal: i32) {
    // SAFETY: to ignore a signal installs no code that could run at a bad moment.
    unsafe {
        libc::signal(signal, libc::SIG_IGN);
    }
}
