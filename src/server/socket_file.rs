//! The names of Unix sockets in the file system.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// The name of a Unix socket in the file system. It is removed with the socket, unless it belongs to another one by then.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// That of a socket that is bound there.
    ///
    /// # Errors
    /// When nothing is there.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }

    /// Whether what has this name now is still this.
    pub(super) fn is_there(&self) -> bool {
        identity(&self.path).is_ok_and(|identity| identity == self.identity)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_there() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// A process that was killed leaves its socket's name behind, which nobody can bind again.
pub(super) fn remove_abandoned(kind: Type, path: &Path, name: &SockAddr) {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let Ok(probe) = Socket::new(Domain::UNIX, kind.nonblocking(), None) else { return };
    let is_dead = || probe.connect(name).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused);
    if is_socket && is_dead() {
        let _ = fs::remove_file(path);
    }
}
