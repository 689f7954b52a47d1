//! The real program in a process of its own, for what can only be measured there: its memory.
//! It is killed when the test lets go of it.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;

/// A server process that listens.
pub struct ServerProcess {
    child: Child,
    pub address: SocketAddr,
}

impl ServerProcess {
    /// Starts the program with these flags on a free port; it says nothing unasked.
    pub fn with(flags: &str) -> Self {
        let quiet = ["--notify-interval", "--ws-ping-interval"].into_iter();
        let mut child = Command::new(env!("CARGO_BIN_EXE_slackwater"))
            .args("--port 0 --log-level info".split(' '))
            .args(quiet.filter(|flag| !flags.contains(flag)).flat_map(|flag| [flag, "0"]))
            .args(flags.split_whitespace())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut log = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let mut line = String::new();
        log.read_line(&mut line).expect("the program says where it listens");
        let address = line.split_once("ws://").and_then(|(_, rest)| rest.split_once("/ws"));
        let address = address.and_then(|(address, _)| address.parse().ok());
        thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        Self { child, address: address.unwrap_or_else(|| panic!("no address in {line:?}")) }
    }

    /// Sends it a signal of this name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("there is a kill(1)").success());
    }

    /// The memory that it owns, in MiB: what is resident, or what is reserved (proc(5)).
    pub fn memory(&self) -> Memory {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let of = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("proc(5) names it");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") / 1024
        };
        Memory { resident: of("VmRSS:"), reserved: of("VmData:") }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In MiB.
#[derive(Debug)]
pub struct Memory {
    pub resident: u64,
    pub reserved: u64,
}

impl Memory {
    /// Fails the test if it is more than this many MiB over what it was.
    pub fn assert_at_most_over(&self, before: &Self, most: u64) {
        assert!(
            self.resident <= before.resident + most && self.reserved <= before.reserved + most,
            "{before:?} has become {self:?}"
        );
    }
}
