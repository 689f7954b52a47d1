//! A program in a folder of its own, which can be replaced while it runs: a link to the real one, or a script.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use slackwater::wire::link::VERSION;
use support::PATIENCE;
use tempfile::TempDir;

use crate::process::BINARY;

pub struct Program {
    folder: TempDir,
    path: PathBuf,
}

impl Program {
    /// The real one.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slackwater");
        std::os::unix::fs::symlink(BINARY, &path).unwrap();
        Self { folder, path }
    }

    /// The real one, called by this path, so that its workers are whatever is there.
    pub fn command(&self, flags: &str) -> Command {
        let mut command = Command::new(BINARY);
        command.arg0(&self.path);
        command.args(flags.split_whitespace());
        command
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces it by a script, at once: nobody sees half of it.
    pub fn replace(&self, script: &str) {
        // Written by another process: one that any test starts meanwhile would inherit the open file, and nobody can
        // execute what is open to be written (ETXTBSY, execve(2)).
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$2.new" && chmod 755 "$2.new" && mv "$2.new" "$2""#;
        let path = self.path.to_str().unwrap();
        let status = Command::new("sh").args(["-c", write, "sh", script, path]).status();
        assert!(status.unwrap().success());
    }

    /// The real one again, which finds this in its environment.
    pub fn mark(&self, mark: &str) {
        self.replace(&format!("MARK={mark} exec {BINARY} \"$@\""));
    }

    /// Takes it away.
    pub fn remove(&self) {
        std::fs::remove_file(&self.path).unwrap();
    }

    /// The real one again, but a worker of this number waits until the gate is opened.
    pub fn gate(&self, number: usize) -> Gate {
        let gate = self.new_gate();
        self.replace(&format!(
            r#"case "$_SLACKWATER_WORKER" in "{VERSION} {number} "*) read go < {};; esac; exec {BINARY} "$@""#,
            gate.0.display()
        ));
        gate
    }

    /// The real one again, but whoever is started waits until the gate is opened.
    pub fn gate_for_all(&self) -> Gate {
        let gate = self.new_gate();
        self.replace(&format!(r#"read go < {}; exec {BINARY} "$@""#, gate.0.display()));
        gate
    }

    fn new_gate(&self) -> Gate {
        let path = self.folder.path().join("gate");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        Gate(path)
    }
}

pub struct Gate(PathBuf);

impl Gate {
    /// Waits until somebody waits at it. Who was only started may still become what the program is replaced by, since
    /// a shell opens its script after it was executed.
    pub fn reached(&self) -> File {
        let mut door = OpenOptions::new();
        door.write(true).custom_flags(libc::O_NONBLOCK);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match door.open(&self.0) {
                Ok(door) => return door,
                // Nobody reads yet (open(2), ENXIO).
                Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {}
                Err(error) => panic!("{error}"),
            }
            assert!(Instant::now() < deadline, "nobody waits at the gate");
            thread::yield_now();
        }
    }

    /// Lets the one who waits go on, once they wait.
    pub fn open(self) {
        self.reached().write_all(b"go\n").unwrap();
    }
}

/// What this process finds in its environment.
pub fn mark_of(pid: u32) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let mut variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    variables.find_map(|variable| Some(variable.strip_prefix("MARK=")?.to_owned()))
}
