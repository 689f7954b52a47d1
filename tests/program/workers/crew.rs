//! A supervisor with its workers, and all that they log. It leads a process group of its own, which ends with it.
//! Who serves a connection is read from /proc: the kernel spreads newcomers, and nobody here guesses how.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use crate::driver::{BINARY, Client, PATIENCE, address_in, kill, text_of};

/// Clients of each worker, by its process.
pub type Clients = BTreeMap<u32, Vec<Client>>;

pub struct Crew {
    child: Child,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    told: Mutex<Told>,
    news: Condvar,
}

#[derive(Default)]
struct Told {
    lines: Vec<String>,
    is_over: bool,
}

impl Crew {
    /// Serves on a free port, logs everything, and notifies only if the flags ask for it.
    pub fn start(flags: &str) -> Self {
        Self::spawn(Command::new(BINARY).args(["--port", "0"]).args(flags.split_whitespace()))
    }

    /// Waits until all workers serve.
    pub fn spawn(command: &mut Command) -> Self {
        let crew = Self::spawn_only(command.stdin(Stdio::null()));
        crew.line("Serving ");
        crew
    }

    /// Waits for nothing.
    pub fn spawn_only(command: &mut Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        if !command.get_envs().any(|(name, _)| name == "SLACKWATER_LOG_LEVEL") {
            command.env("SLACKWATER_LOG_LEVEL", "debug");
        }
        // Nobody is cut off for being slow, and nothing is said unasked. A flag wins.
        for (name, value) in [
            ("NOTIFY_INTERVAL", "0"),
            ("TIMEOUT_KEEP_ALIVE", "3600"),
            ("WS_PING_INTERVAL", "3600"),
            ("NO_DRAIN_NOTICE", "1"),
        ] {
            command.env(format!("SLACKWATER_{name}"), value);
        }
        let mut child = command.process_group(0).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Log::default());
        let writer = log.clone();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                writer.told.lock().unwrap().lines.push(line);
                writer.news.notify_all();
            }
            writer.told.lock().unwrap().is_over = true;
            writer.news.notify_all();
        });
        Self { child, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        assert!(kill(&self.pid().to_string(), name));
    }

    /// As a terminal does.
    pub fn signal_group(&self, name: &str) {
        assert!(kill(&format!("-{}", self.pid()), name));
    }

    pub fn address(&self) -> SocketAddr {
        address_in(&self.line("Serving the page on"))
    }

    /// What was logged so far, without the time.
    pub fn lines(&self) -> Vec<String> {
        self.log.told.lock().unwrap().lines.iter().map(|line| text_of(line).to_owned()).collect()
    }

    /// The first line that contains this, once it is there.
    pub fn line(&self, part: &str) -> String {
        self.until(part, |lines| lines.iter().find(|line| line.contains(part)).cloned())
    }

    /// Waits until so many lines contain this.
    pub fn count(&self, part: &str, count: usize) {
        self.until(part, |lines| {
            (lines.iter().filter(|line| line.contains(part)).count() >= count).then_some(())
        });
    }

    /// Waits until something is found in what was logged since the start.
    pub fn until<T>(&self, what: &str, mut find: impl FnMut(&[String]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut told = self.log.told.lock().unwrap();
        loop {
            if let Some(found) = find(&told.lines) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if told.is_over || left.is_zero() {
                let lines = told.lines.join("\n");
                drop(told);
                panic!("{what:?} has not come in time:\n{lines}");
            }
            told = self.log.news.wait_timeout(told, left).unwrap().0;
        }
    }

    /// The processes that are its children now, whether they serve or leave.
    pub fn children(&self) -> Vec<u32> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }

    /// All processes that were started as the worker of this number, oldest first.
    pub fn processes_of(&self, number: usize) -> Vec<u32> {
        let start = format!("Started worker {number} as process ");
        let lines = self.lines();
        lines.iter().filter_map(|line| line.split_once(&start)?.1.parse().ok()).collect()
    }

    /// The process of this worker once so many were started.
    pub fn process(&self, number: usize, started: usize) -> u32 {
        self.count(&format!("Started worker {number} as process "), started);
        self.processes_of(number)[started - 1]
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// Who has accepted a connection: a worker, or itself, though it never should.
    pub fn server_of(&self, stream: &TcpStream) -> u32 {
        let (ours, theirs) = (stream.local_addr().unwrap().port(), stream.peer_addr().unwrap().port());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(pid) = self.servers(theirs).get(&ours) {
                return *pid;
            }
            thread::yield_now();
        }
        panic!("nobody has accepted {stream:?}");
    }

    /// Who serves, after newcomers enough to meet everyone.
    pub fn met(&self) -> BTreeSet<u32> {
        let newcomers: Vec<Client> = (0..40).map(|_| self.client()).collect();
        self.servers_of(newcomers.iter().map(|client| client.stream())).into_iter().collect()
    }

    /// Who has accepted each of these, which all have been answered.
    pub fn servers_of<'a>(&self, streams: impl IntoIterator<Item = &'a TcpStream>) -> Vec<u32> {
        let servers = self.servers(self.address().port());
        streams.into_iter().map(|stream| servers[&stream.local_addr().unwrap().port()]).collect()
    }

    /// The process that has accepted each connection to a port, by the port of the other end: proc_net_tcp, proc_pid_fd(5).
    fn servers(&self, port: u16) -> BTreeMap<u16, u32> {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let own_port = format!(":{port:04X} ");
        let port_of = |address: &str| u16::from_str_radix(address.split_once(':').unwrap().1, 16).unwrap();
        let port_by_socket: BTreeMap<String, u16> = table
            .lines()
            .filter(|line| line.contains(&own_port))
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|fields| fields[1].ends_with(own_port.trim()))
            .map(|fields| (format!("socket:[{}]", fields[9]), port_of(fields[2])))
            .collect();
        let processes = self.children().into_iter().chain([self.pid()]);
        let of_one = |pid| sockets_of(pid).into_iter().map(move |socket| (socket, pid));
        processes
            .flat_map(of_one)
            .filter_map(|(socket, pid)| Some((*port_by_socket.get(&socket)?, pid)))
            .collect()
    }

    /// A client of this process; others who were met on the way leave.
    pub fn client_of(&self, pid: u32) -> Client {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let client = self.client();
            if self.server_of(client.stream()) == pid {
                return client;
            }
            client.leave();
        }
        panic!("process {pid} accepts nobody");
    }

    /// So many clients of each child.
    pub fn clients(&self, of_each: usize) -> Clients {
        let of_one = |pid| (pid, (0..of_each).map(|_| self.client_of(pid)).collect());
        self.children().into_iter().map(of_one).collect()
    }

    /// Its exit code and all that was logged, once it and all its workers have ended by themselves.
    pub fn end(mut self) -> (Option<i32>, Vec<String>) {
        self.until_silent();
        let status = self.child.wait().unwrap();
        (status.code(), self.lines())
    }

    /// Waits until no process is left that could log anything.
    pub fn until_silent(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut told = self.log.told.lock().unwrap();
        while !told.is_over {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let lines = told.lines.join("\n");
                drop(told);
                panic!("somebody stays:\n{lines}");
            }
            told = self.log.news.wait_timeout(told, left).unwrap().0;
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        kill(&format!("-{}", self.pid()), "KILL");
        let _ = self.child.wait();
    }
}

/// Stops a process until it is continued, and waits until it has stopped.
pub fn stop(pid: u32) {
    assert!(kill(&pid.to_string(), "STOP"));
    until_state(pid, "T");
}

/// Waits until a process is in this state: proc_pid_stat(5).
pub fn until_state(pid: u32, state: &str) {
    let deadline = Instant::now() + PATIENCE;
    let reached = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().next() == Some(state)
    };
    while !reached() {
        assert!(Instant::now() < deadline, "process {pid} does not reach {state}");
    }
}

fn sockets_of(pid: u32) -> Vec<String> {
    // It may have ended meanwhile.
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return vec![] };
    let links = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter_map(|link| link.into_os_string().into_string().ok()).collect()
}
