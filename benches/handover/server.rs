//! The server and those that come after it, each the child of the one before. This process becomes the parent of all whose
//! own has ended (prctl(2), PR_SET_CHILD_SUBREAPER), so that it sees how each of them ends.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};

use super::common::PATIENCE;
use super::common::machine::Cores;
use super::common::usage::{Resident, family};

/// As its users have it, with compression for those who ask, and with a port that is free; nothing is said unasked, and a publisher
/// may wait until all clients are there.
const FLAGS: &str = "--port 0 --ws-per-message-deflate --notify-interval 0 --ws-ping-interval 0 \
                     --timeout-keep-alive 3600 --handshake-timeout 600";

/// What is waited for in the log.
const TELLING: [&str; 6] =
    ["Serving the page", "Handed over", "Took over", "Hand-over failed", "[WARNING]", "[ERROR]"];

/// How old a report may be that is told again, and how old what a supervisor knows of its workers.
const REPORT_AGE: Duration = Duration::from_millis(150);
const BEAT: Duration = Duration::from_millis(2_000);

/// What the log says of a hand-over.
#[derive(Debug, Clone, Copy)]
pub struct HandedOver {
    pub connections: u64,
    pub milliseconds: u64,
    /// Connections that could not be moved.
    pub stayed: u64,
}

/// What a server holds at a moment, and has counted.
#[derive(Debug, Clone)]
pub struct Standing {
    pub resident: u64,
    pub descriptors: usize,
    metrics: Vec<(String, f64)>,
}

impl Standing {
    /// All with this name, with whatever labels, summed up.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let is_it = |full: &str| full.split('{').next() == Some(name) || full == name;
        let found: Vec<f64> =
            self.metrics.iter().filter(|(full, _)| is_it(full)).map(|(_, value)| *value).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }
}

/// The one that serves now. With several workers it is their supervisor.
pub struct Server {
    /// The one that was started here.
    first: Child,
    pid: Pid,
    pub address: SocketAddr,
    log: Receiver<String>,
}

impl Server {
    pub fn start(workers: usize, cores: Option<Cores>) -> Self {
        set_child_subreaper(Some(getpid())).expect("the kernel lets a process be one");
        let program = env!("CARGO_BIN_EXE_slackwater");
        let mut command = match cores {
            // It becomes the server, and keeps the process id; those that come after it stay on that core.
            Some(cores) => {
                let mut taskset = Command::new("taskset");
                taskset.args(["-c", &cores.for_processes(workers), program]);
                taskset
            }
            None => Command::new(program),
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        if workers > 1 {
            command.arg("--workers").arg(workers.to_string());
        }
        command
            .args(FLAGS.split_whitespace())
            .env_clear()
            .env("PATH", path)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let (sender, log) = mpsc::channel();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if TELLING.iter().any(|telling| line.contains(telling)) && sender.send(line).is_err() {
                    return;
                }
            }
        });
        let pid = Pid::from_child(&child);
        let mut server = Self { first: child, pid, address: SocketAddr::from(([0; 4], 0)), log };
        let line = server.line("Serving the page");
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split_whitespace().next());
        server.address =
            address.and_then(|address| address.parse().ok()).expect("the log says where it listens");
        server
    }

    /// Waits for a line; fails at one that tells of a hand-over that has come to nothing.
    fn line(&self, wanted: &str) -> String {
        loop {
            let line = self.log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line {wanted:?}"));
            assert!(!line.contains("Hand-over failed"), "{line}");
            if line.contains(wanted) {
                return line;
            }
        }
    }

    /// Has it hand over to the next one, and waits until it has ended.
    pub fn hand_over(&mut self) -> HandedOver {
        kill_process(self.pid, Signal::HUP).expect("it runs");
        // Two processes write into one log.
        let (mut handed_over, mut is_taken) = (None, false);
        while handed_over.is_none() || !is_taken {
            let line = self.line("over");
            is_taken |= line.contains("Took over");
            // Its workers say how many they have handed over, but not to whom.
            let said = line.split_once("Handed over ").filter(|(_, rest)| rest.contains(" to process "));
            handed_over = handed_over.or(said.map(|(_, rest)| numbers(rest)));
        }
        let numbers = handed_over.unwrap_or_default();
        let [connections, pid, milliseconds, stayed] = numbers[..] else { panic!("{numbers:?} is told") };
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process");
        let predecessor = std::mem::replace(&mut self.pid, pid);
        assert_eq!(exit_code(predecessor), Some(0), "who has handed over ends with 0");
        HandedOver { connections, milliseconds, stayed }
    }

    /// What it holds now. Nothing must be going on.
    pub fn standing(&self) -> Standing {
        thread::sleep(REPORT_AGE + if family(self.id()).len() > 1 { BEAT } else { Duration::ZERO });
        let metrics = self.metrics();
        // Its connection is gone again.
        thread::sleep(REPORT_AGE);
        let descriptors = |id: &u32| fs::read_dir(format!("/proc/{id}/fd")).expect("it runs").count();
        let descriptors = family(self.id()).iter().map(descriptors).sum();
        Standing { resident: Resident::of(self.id()).proportional, descriptors, metrics }
    }

    /// Bytes that it has held at most, and so have its workers, each by itself.
    pub fn peak(&self) -> u64 {
        let peak = |id: &u32| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            numbers(peak.expect("the kernel tells it"))[0] * 1024
        };
        family(self.id()).iter().map(peak).sum()
    }

    fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket can have a timeout");
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let parse = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        answer.lines().filter(|line| !line.starts_with('#')).filter_map(parse).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Workers may outlive their supervisor for a moment.
        for id in family(self.id()) {
            if let Some(process) = i32::try_from(id).ok().and_then(Pid::from_raw) {
                let _ = kill_process(process, Signal::KILL);
            }
        }
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
        // It has been waited for already.
        let _ = self.first.wait();
    }
}

/// Waits until a child, or one that has become one, has ended.
fn exit_code(pid: Pid) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => return status.exit_status(),
            Ok(None) => assert!(Instant::now() < deadline, "who has handed over ends"),
            Err(why) => panic!("it cannot be waited for: {why}"),
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Those in a text, in their order.
fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}
