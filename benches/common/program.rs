//! A program under measure: a process of its own, where possible on a core of its own. It is killed when the bench
//! lets go of it.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::machine::Cores;
use super::usage::{Resident, Usage, family};

/// The server as its users have it, but that it says nothing unasked and ends nobody for being slow: that would be
/// the load's fault, and is to be seen as such.
const SERVER_FLAGS: &str = "--port 0 --notify-interval 0 --ws-ping-interval 0 --timeout-keep-alive 3600 \
                            --outbox-limit 268435456 --handshake-timeout 600 --log-level info";

/// How long a program uses no CPU that has nothing left to do. Longer than a tick of the kernel's clock.
const QUIET: Duration = Duration::from_millis(12);

/// The program has ended before it listened, with this exit code if it has one.
#[derive(Debug)]
pub struct Refused(pub Option<i32>);

/// A program that listens.
pub struct Program {
    child: Child,
    pub address: SocketAddr,
}

impl Program {
    /// The release server.
    pub fn server(cores: Option<Cores>) -> Self {
        Self::server_with(cores, 1, "").expect("the server starts")
    }

    /// The release server in so many processes, with flags that replace the usual ones or come beside them.
    pub fn server_with(cores: Option<Cores>, workers: usize, flags: &str) -> Result<Self, Refused> {
        Self::server_at(env!("CARGO_BIN_EXE_slackwater"), cores, workers, flags)
    }

    /// As `server_with`, of the server in this file.
    pub fn server_at(
        path: impl AsRef<OsStr>,
        cores: Option<Cores>,
        workers: usize,
        flags: &str,
    ) -> Result<Self, Refused> {
        let mut args = usual_flags_beside(flags);
        args.extend(flags.split_whitespace().map(str::to_owned));
        if workers > 1 {
            args.extend(["--workers".to_owned(), workers.to_string()]);
        }
        let cores = cores.map(|cores| cores.for_processes(workers));
        Self::start(cores, path, args.iter().map(String::as_str))
    }

    /// This program again, as the floor for so many clients.
    pub fn floor(cores: Option<Cores>, clients: usize) -> Self {
        Self::own(cores, ["--floor", &clients.to_string()])
    }

    /// This program again, with these arguments.
    pub fn own<'a>(cores: Option<Cores>, args: impl IntoIterator<Item = &'a str>) -> Self {
        let bench = std::env::current_exe().expect("a running program has a path");
        let core = cores.map(|cores| cores.program.to_string());
        Self::start(core, bench, args).expect("a program of this bench starts")
    }

    /// A program that does not say where it listens: it is asked there until it takes a connection.
    pub fn at<'a>(
        address: SocketAddr,
        cores: Option<Cores>,
        path: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let (mut child, mut log) = spawn(cores.map(|cores| cores.program.to_string()), path, args);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let status = child.try_wait().expect("it can be waited for");
            if status.is_some() || Instant::now() > deadline {
                let mut said = String::new();
                let _ = log.read_to_string(&mut said);
                panic!("a program does not listen at {address}: {said}");
            }
            thread::sleep(QUIET);
        }
        thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        Self { child, address }
    }

    /// `cores` as taskset(1) lists them.
    fn start<'a>(
        cores: Option<String>,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Refused> {
        let (mut child, mut log) = spawn(cores, program, args);
        let address = loop {
            let mut line = String::new();
            if log.read_line(&mut line).expect("the program says where it listens") == 0 {
                return Err(Refused(child.wait().expect("it can be waited for").code()));
            }
            let found = ["http://", "https://"].iter().find_map(|scheme| line.split_once(scheme));
            if let Some(address) = found.and_then(|(_, rest)| rest.split_whitespace().next()) {
                break address.parse().unwrap_or_else(|_| panic!("no address in {line:?}"));
            }
        };
        thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        Ok(Self { child, address })
    }

    /// Gives it a line to read.
    pub fn tell(&self, line: &str) {
        let mut stdin = self.child.stdin.as_ref().expect("stdin is piped");
        writeln!(stdin, "{line}").expect("the program reads on");
    }

    /// CPU time that it has used, with its children.
    pub fn cpu(&self) -> Duration {
        self.usage().cpu
    }

    /// What it has used, with its children.
    pub fn usage(&self) -> Usage {
        Usage::of(self.child.id())
    }

    /// What it holds, with its children.
    pub fn resident(&self) -> Resident {
        Resident::of(self.child.id())
    }

    /// Waits until it sleeps: until then the kernel has not booked its last CPU time.
    pub fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut last = self.usage();
        loop {
            thread::sleep(QUIET);
            let now = self.usage();
            if now == last || Instant::now() > deadline {
                return;
            }
            last = now;
        }
    }
}

fn spawn<'a>(
    cores: Option<String>,
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = &'a str>,
) -> (Child, BufReader<ChildStderr>) {
    let mut command = match cores {
        // It becomes the program, and keeps the process id.
        Some(cores) => {
            let mut taskset = Command::new("taskset");
            taskset.args(["-c", &cores]).arg(program);
            taskset
        }
        None => Command::new(program),
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    // No flag must come from the environment.
    command.args(args).env_clear().env("PATH", path).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let log = BufReader::new(child.stderr.take().expect("stderr is piped"));
    (child, log)
}

/// The usual flags without those that are given another value here: the server takes each flag once.
fn usual_flags_beside(flags: &str) -> Vec<String> {
    let usual: Vec<&str> = SERVER_FLAGS.split_whitespace().collect();
    let beside = usual.chunks(2).filter(|flag| !flags.split_whitespace().any(|given| given == flag[0]));
    beside.flatten().map(|word| (*word).to_owned()).collect()
}

impl Drop for Program {
    fn drop(&mut self) {
        // Those that it has started might outlive it.
        let family: Vec<String> = family(self.child.id()).iter().map(u32::to_string).collect();
        if family.len() > 1 {
            let _ = Command::new("kill").arg("-KILL").args(&family).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
