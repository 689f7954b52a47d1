//! A server with a door of its own for operators: a Unix socket in a folder that goes with the test.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::door::Door;
use crate::process::Process;

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
        let server = Process::start(&format!("--admin {} {flags}", path.display()));
        Self { server, admin: Door::Unix(path.clone()), path, _folder: folder }
    }
}
