//! A program under measure: a process of its own, where possible on a core of its own. It is killed when the bench
//! lets go of it.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::machine::{Cores, cpu_of_process};

/// The server as its users have it, but that it says nothing unasked and ends nobody for being slow: that would be
/// the load's fault, and is to be seen as such.
const SERVER_FLAGS: &str = "--port 0 --notify-interval 0 --ws-ping-interval 0 --timeout-keep-alive 3600 \
                            --outbox-limit 268435456 --log-level info";

/// A program that listens.
pub struct Program {
    child: Child,
    pub address: SocketAddr,
}

impl Program {
    /// The release server.
    pub fn server(cores: Option<Cores>) -> Self {
        Self::start(cores, env!("CARGO_BIN_EXE_slackwater"), SERVER_FLAGS.split_whitespace())
    }

    /// This program again, as the floor for so many clients.
    pub fn floor(cores: Option<Cores>, clients: usize) -> Self {
        let bench = std::env::current_exe().expect("a running program has a path");
        Self::start(cores, bench, ["--floor", &clients.to_string()])
    }

    fn start<'a>(
        cores: Option<Cores>,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut command = match cores {
            // It becomes the program, and keeps the process id.
            Some(cores) => {
                let mut taskset = Command::new("taskset");
                taskset.args(["-c", &cores.program.to_string()]).arg(program);
                taskset
            }
            None => Command::new(program),
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        // No flag must come from the environment.
        command.args(args).env_clear().env("PATH", path).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut log = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let mut line = String::new();
        log.read_line(&mut line).expect("the program says where it listens");
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split_whitespace().next());
        let address = address.and_then(|address| address.parse().ok());
        thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        Self { child, address: address.unwrap_or_else(|| panic!("no address in {line:?}")) }
    }

    /// Gives it a line to read.
    pub fn tell(&self, line: &str) {
        let mut stdin = self.child.stdin.as_ref().expect("stdin is piped");
        writeln!(stdin, "{line}").expect("the program reads on");
    }

    /// CPU time that it has used.
    pub fn cpu(&self) -> Duration {
        cpu_of_process(self.child.id())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
