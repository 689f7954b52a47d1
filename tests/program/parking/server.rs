//! A service: one process after the other under the same service manager.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use support::client::Client;

use super::manager::{Manager, PARKED};
use crate::process::Process;

/// What the variable is set to that has a server park its connections.
pub const PARK: (&str, &str) = ("SLACKWATER_PARK", "1");

pub struct Service {
    pub manager: Manager,
    pub flags: String,
    process: Option<Process>,
}

impl Service {
    /// With room for one descriptor.
    pub fn start(flags: &str) -> Self {
        Self::under(Manager::new(1), flags)
    }

    pub fn under(manager: Manager, flags: &str) -> Self {
        let mut service = Self::idle(manager, flags);
        service.go_on();
        service
    }

    /// No process runs yet.
    pub fn idle(manager: Manager, flags: &str) -> Self {
        Self { manager, flags: flags.to_owned(), process: None }
    }

    pub fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.process().address()
    }

    pub fn client(&self) -> Client {
        self.process().client()
    }

    /// Starts the next process, and waits until it serves.
    pub fn go_on(&mut self) {
        self.go_on_with(&[]);
    }

    /// The same with these listening sockets.
    pub fn go_on_with(&mut self, sockets: &[&dyn AsFd]) {
        self.go_on_by("exec \"$0\" \"$@\"", sockets);
    }

    /// The same; the shell starts it by this.
    pub fn go_on_by(&mut self, script: &str, sockets: &[&dyn AsFd]) {
        self.begin_by(script, sockets);
        self.process().line("Serving ");
    }

    /// The same; waits for nothing.
    pub fn begin_by(&mut self, script: &str, sockets: &[&dyn AsFd]) {
        let mut command = self.manager.command_by(script, &self.flags, sockets);
        self.process = Some(Process::spawn_only(command.env(PARK.0, PARK.1).stdin(Stdio::null())));
    }

    /// Ends all processes at once.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Stops the process, which parks everything: what it has logged.
    pub fn park(&mut self) -> Vec<String> {
        self.process().signal("TERM");
        self.parked()
    }

    /// Waits until the process has parked everything and ended: what it has logged.
    pub fn parked(&mut self) -> Vec<String> {
        let (code, lines) = self.process.take().unwrap().end();
        assert_eq!(code, Some(0), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("] Parked ")), "{lines:#?}");
        assert_eq!(self.manager.kept(), [PARKED]);
        lines
    }

    /// Stops the process and starts the next: where it serves.
    pub fn restart(&mut self) -> SocketAddr {
        self.park();
        self.go_on();
        self.process().line("] Took up ");
        assert_eq!(self.manager.kept(), [""; 0], "what was taken up is forgotten");
        self.address()
    }

    /// A next start with these flags that fails: what it has logged. What was parked stays where it is.
    pub fn fail(&self, flags: &str) -> Vec<String> {
        self.failed(self.manager.command(flags, &[]))
    }

    /// The same with its flags; the shell starts it by this.
    pub fn fail_by(&self, script: &str) -> Vec<String> {
        self.failed(self.manager.command_by(script, &self.flags, &[]))
    }

    fn failed(&self, mut command: Command) -> Vec<String> {
        let (code, lines) = Process::spawn_only(command.env(PARK.0, PARK.1).stdin(Stdio::null())).end();
        assert_eq!((code, self.manager.kept()), (Some(3), vec![PARKED.to_owned()]), "{lines:#?}");
        lines
    }

    /// Waits for the end of a process that does not park: its exit code, and what it has logged.
    pub fn end(&mut self) -> (Option<i32>, Vec<String>) {
        self.process.take().unwrap().end()
    }
}
