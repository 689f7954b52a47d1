//! A supervisor with its workers, and those that it hands over to. Who serves a connection is read from /proc: the kernel spreads newcomers, and nobody
//! here guesses how.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpStream;
use std::ops::Deref;
use std::process::Command;
use std::thread;
use std::time::Instant;

use support::client::Client;
use support::publisher::Publisher;
use support::{PATIENCE, handshake, peer::Peer};

use crate::handing_over::server::Server;
use crate::process::{BINARY, Process, children, signal};

/// Clients of each worker, by its process.
pub type Clients = BTreeMap<u32, Vec<Client>>;

/// Logs everything.
pub struct Crew(Server);

impl Deref for Crew {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Crew {
    /// Waits until all workers serve.
    pub fn start(flags: &str) -> Self {
        Self::spawn(Command::new(BINARY).args(flags.split_whitespace()))
    }

    /// Waits until all workers serve.
    pub fn spawn(command: &mut Command) -> Self {
        Self(Server::spawn(command.env("SLACKWATER_LOG_LEVEL", "debug")))
    }

    /// Waits for nothing.
    pub fn spawn_only(command: &mut Command) -> Self {
        Self(Server::of(Process::spawn_only(command.env("SLACKWATER_LOG_LEVEL", "debug"))))
    }

    /// The workers that there are now, whether they serve or leave.
    pub fn children(&self) -> Vec<u32> {
        children(self.now())
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
        let processes = self.children().into_iter().chain([self.now()]);
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
            let port = client.stream().local_addr().unwrap().port();
            match self.servers(self.address().port()).get(&port) {
                Some(server) if *server == pid => return client,
                Some(_) => client.leave(),
                // A worker that leaves may have welcomed it, and be gone by now.
                None => {}
            }
        }
        panic!("process {pid} accepts nobody");
    }

    /// So many clients of each child.
    pub fn clients(&self, of_each: usize) -> Clients {
        let of_one = |pid| (pid, (0..of_each).map(|_| self.client_of(pid)).collect());
        self.children().into_iter().map(of_one).collect()
    }

    /// A publisher who is served by this process.
    pub fn publisher_of(&self, pid: u32) -> Publisher {
        loop {
            let publisher = Publisher::connect(self.address());
            if self.server_of(&publisher.0.socket) == pid {
                return publisher;
            }
        }
    }

    /// So many newcomers who ask for a WebSocket and wait. The kernel spreads them over the listeners.
    pub fn ask(&self, target: &str, count: usize) -> Vec<Peer> {
        let ask = |_| {
            let mut newcomer = Peer::connect(self.address());
            newcomer.send(handshake(target));
            newcomer
        };
        (0..count).map(ask).collect()
    }

    /// [`Process::end`], of the first supervisor.
    pub fn end(self) -> (Option<i32>, Vec<String>) {
        self.0.ended()
    }
}

/// All of them are served.
pub fn assert_served(clients: &mut Clients) {
    clients.values_mut().flatten().for_each(|client| client.echo("x"));
}

/// Stops a process until it is continued, and waits until it has stopped.
pub fn stop(pid: u32) {
    signal(pid, "STOP");
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
