//! A server with a door of its own for operators: a Unix socket in a folder that goes with the test.

use std::path::PathBuf;

use tempfile::TempDir;

use super::door::Door;
use crate::driver::Process;

/// Unless a test says otherwise, nothing is said unasked.
pub const QUIET: &str = "--port 0 --notify-interval 0 --ws-ping-interval 0 --no-drain-notice";

pub struct Office {
    pub server: Process,
    pub admin: Door,
    pub path: PathBuf,
    _folder: TempDir,
}

impl Office {
    pub fn open(flags: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin");
        let quiet = if flags.contains("--ws-ping-interval") {
            "--port 0 --notify-interval 0 --no-drain-notice"
        } else {
            QUIET
        };
        let server = Process::start(&format!("{quiet} --admin {} {flags}", path.display()));
        Self { server, admin: Door::Unix(path.clone()), path, _folder: folder }
    }

    pub fn public(&self) -> Door {
        Door::Ip(self.server.address)
    }
}
