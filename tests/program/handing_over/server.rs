//! A server that hands over: the processes that it has been, one after the other, and what all of them have logged.

use std::cell::RefCell;
use std::fs;
use std::ops::Deref;
use std::process::Command;

use crate::process::{BINARY, Process, signal};

pub struct Server {
    process: Process,
    /// All processes so far.
    pids: RefCell<Vec<u32>>,
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Server {
    /// Waits until it serves.
    pub fn start(flags: &str) -> Self {
        Self::spawn(Command::new(BINARY).args(flags.split_whitespace()))
    }

    /// Waits until it serves.
    pub fn spawn(command: &mut Command) -> Self {
        Self::of(Process::spawn(command))
    }

    /// One that serves.
    pub fn of(process: Process) -> Self {
        let pids = RefCell::new(vec![process.pid()]);
        Self { process, pids }
    }

    /// The process that serves.
    pub fn now(&self) -> u32 {
        *self.pids.borrow().last().unwrap()
    }

    /// Sends a signal to the process that serves.
    pub fn tell(&self, name: &str) {
        signal(self.now(), name);
    }

    /// Hands over by SIGHUP, and waits until the successor serves: its process.
    pub fn hand_over(&self) -> u32 {
        self.tell("HUP");
        self.handed_over()
    }

    /// Waits until a successor serves: its process.
    pub fn handed_over(&self) -> u32 {
        let count = self.pids.borrow().len();
        self.count("] Took over ", count);
        self.count("] Serving ", count + 1);
        let pid = self.until("a successor", |lines| {
            let mut done = lines.iter().filter(|line| line.contains("] Handed over "));
            let (_, rest) = done.nth(count - 1)?.split_once(" to process ")?;
            rest.split(':').next()?.parse().ok()
        });
        self.pids.borrow_mut().push(pid);
        pid
    }

    /// Waits until a hand-over has failed, the nth by this count: what the line says.
    pub fn failed(&self, count: usize) -> String {
        self.until("a failure", |lines| {
            let mut failures = lines.iter().filter_map(|line| line.strip_prefix(FAILED));
            failures.nth(count - 1).map(str::to_owned)
        })
    }

    /// Waits for the end of all: the exit code of the first one, and all lines.
    pub fn ended(self) -> (Option<i32>, Vec<String>) {
        self.process.end()
    }

    /// Tells the process that serves to leave, and waits for the end of all: the exit code of the first one, and all lines.
    pub fn leave(self) -> (Option<i32>, Vec<String>) {
        self.tell("TERM");
        self.ended()
    }
}

/// How the line begins that says that nothing has come of it.
pub const FAILED: &str = "[WARNING] Hand-over failed, this process goes on: ";

/// Descriptors that a process has open.
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}
