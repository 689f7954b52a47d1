//! The one driver of the real binary: a running process, the lines that it logs, and signals.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::iter;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use support::PATIENCE;
use support::client::Client;

use crate::door::Door;

pub const BINARY: &str = env!("CARGO_BIN_EXE_slackwater");

/// Unless a test says otherwise, nothing is said unasked and nobody is cut off for being slow. A flag wins.
const DEFAULTS: [(&str, &str); 7] = [
    ("SLACKWATER_PORT", "0"),
    ("SLACKWATER_LOG_LEVEL", "info"),
    ("SLACKWATER_NOTIFY_INTERVAL", "0"),
    ("SLACKWATER_HANDSHAKE_TIMEOUT", "3600"),
    ("SLACKWATER_TIMEOUT_KEEP_ALIVE", "3600"),
    ("SLACKWATER_WS_PING_INTERVAL", "0"),
    ("SLACKWATER_NO_DRAIN_NOTICE", "1"),
];

/// A process with its children, which leads a group of its own that ends with it.
pub struct Process {
    child: Child,
    /// What it has logged so far, without the time.
    lines: RefCell<Vec<String>>,
    more: Receiver<String>,
    /// Behind the line that was asked for last.
    next: Cell<usize>,
}

impl Process {
    /// Starts the program and waits until it serves.
    pub fn start(flags: &str) -> Self {
        Self::spawn(Command::new(BINARY).args(flags.split_whitespace()))
    }

    /// Waits until it serves.
    pub fn spawn(command: &mut Command) -> Self {
        let process = Self::spawn_only(command.stdin(Stdio::null()));
        process.line("Serving ");
        process
    }

    /// Waits for nothing.
    pub fn spawn_only(command: &mut Command) -> Self {
        let (mut process, log) = Self::begin(command);
        process.read(log);
        process
    }

    /// Waits until it serves, and reads no more of its log than the line that says so.
    pub fn spawn_unread(command: &mut Command) -> (Self, BufReader<ChildStderr>) {
        let (process, mut log) = Self::begin(command.stdin(Stdio::null()));
        let mut start = log.by_ref().lines().map(Result::unwrap).inspect(|line| process.note(line));
        assert!(start.any(|line| line.contains("Serving ")), "{:#?}", process.lines());
        (process, log)
    }

    fn begin(command: &mut Command) -> (Self, BufReader<ChildStderr>) {
        let is_asked_to_guide = command.get_args().any(|argument| argument == "--drain-spread");
        for (name, value) in DEFAULTS {
            let is_given = command.get_envs().any(|(given, _)| given == name);
            if !(is_given || is_asked_to_guide && name == "SLACKWATER_NO_DRAIN_NOTICE") {
                command.env(name, value);
            }
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        (Self { child, lines: RefCell::default(), more: channel().1, next: Cell::new(0) }, log)
    }

    /// Reads the log from now on.
    pub fn read(&mut self, log: impl BufRead + Send + 'static) {
        let (sender, more) = channel();
        self.more = more;
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// As a terminal does.
    pub fn signal_group(&self, name: &str) {
        assert!(kill(&format!("-{}", self.pid()), name));
    }

    pub fn address(&self) -> SocketAddr {
        address_in(&self.line("Serving the page on"))
    }

    /// Where everybody is answered.
    pub fn door(&self) -> Door {
        Door::Ip(self.address())
    }

    pub fn client(&self) -> Client {
        self.client_at("/ws")
    }

    /// A client that asks for this.
    pub fn client_at(&self, target: &str) -> Client {
        Client::join(self.address(), target)
    }

    /// What was logged so far.
    pub fn lines(&self) -> Vec<String> {
        self.more.try_iter().for_each(|line| self.note(&line));
        self.lines.borrow().clone()
    }

    /// What was logged before it said where it serves.
    pub fn preamble(&self) -> Vec<String> {
        self.lines().into_iter().take_while(|line| !line.contains("Serving ")).collect()
    }

    /// The first line that contains this, once it is there.
    pub fn line(&self, part: &str) -> String {
        self.until(part, |lines| lines.iter().find(|line| line.contains(part)).cloned())
    }

    /// The next line that contains this, behind the one that was asked for last in this way.
    pub fn next_line(&self, part: &str) -> String {
        self.until(part, |lines| {
            let mut unseen = lines[self.next.get()..].iter();
            let found = unseen.find(|line| line.contains(part)).cloned();
            self.next.set(lines.len() - unseen.len());
            found
        })
    }

    /// Waits until so many lines contain this.
    pub fn count(&self, part: &str, count: usize) {
        self.until(part, |lines| {
            (lines.iter().filter(|line| line.contains(part)).count() >= count).then_some(())
        });
    }

    /// Waits until something is found in what was logged since the start.
    pub fn until<T>(&self, what: &str, find: impl FnMut(&[String]) -> Option<T>) -> T {
        self.within(PATIENCE, what, find)
    }

    /// The same of what takes long by itself.
    pub fn within<T>(
        &self,
        patience: Duration,
        what: &str,
        mut find: impl FnMut(&[String]) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + patience;
        loop {
            self.more.try_iter().for_each(|line| self.note(&line));
            if let Some(found) = find(&self.lines.borrow()) {
                return found;
            }
            match self.more.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                // Looked at together: a loud server says many while they are looked through.
                Ok(line) => iter::once(line).chain(self.more.try_iter()).for_each(|line| self.note(&line)),
                Err(_) => panic!("{what:?} has not come in time: {:#?}", self.lines()),
            }
        }
    }

    /// Waits until no process is left that could log anything.
    pub fn until_silent(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.more.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.note(&line),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => panic!("somebody stays: {:#?}", self.lines()),
            }
        }
    }

    /// Its exit code, once it and all its children have ended by themselves, and what was logged behind the last line
    /// that was asked for by [`Self::next_line`].
    pub fn end(mut self) -> (Option<i32>, Vec<String>) {
        self.until_silent();
        let code = wait(&mut self.child);
        (code, self.lines.borrow_mut().split_off(self.next.get()))
    }

    fn note(&self, line: &str) {
        self.lines.borrow_mut().push(text_of(line).to_owned());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill(&format!("-{}", self.pid()), "KILL");
        let _ = self.child.wait();
    }
}

/// The processes that this one has started and that are there.
pub fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Sends a signal to a process that is there.
pub fn signal(pid: u32, name: &str) {
    assert!(kill(&pid.to_string(), name), "there is no process {pid}");
}

/// Sends a signal to a process, or to the group of `-PID`. Whether there was somebody to take it.
fn kill(target: &str, name: &str) -> bool {
    // The shell's own kill: it is there wherever a shell is.
    let script = format!("kill -s {name} -- {target}");
    Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status().unwrap().success()
}

pub fn wait(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        thread::yield_now();
    }
    panic!("the process did not end in time");
}

/// What a command that ends by itself, and in time, has made of it and said.
pub fn output(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (pid, (done, ended)) = (child.id().to_string(), channel());
    thread::spawn(move || done.send(child.wait_with_output()));
    match ended.recv_timeout(PATIENCE) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            kill(&pid, "KILL");
            panic!("{command:?} did not end in time");
        }
    }
}

/// The same of its exit code and of standard error alone.
pub fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = output(command);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

pub fn address_in(line: &str) -> SocketAddr {
    let start = line.find("://").expect("the line says where the page is") + "://".len();
    line[start..].split(' ').next().unwrap().parse().unwrap()
}

/// A line without its timestamp. A JSON object has it elsewhere.
pub fn text_of(line: &str) -> &str {
    if line.starts_with('{') {
        return line;
    }
    line.split_once(' ').unwrap_or_else(|| panic!("{line:?} does not begin with its time")).1
}
