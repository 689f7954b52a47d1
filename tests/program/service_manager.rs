//! The real binary under a service manager that speaks systemd's protocol, as sd_notify(3) and sd_listen_fds(3) have it:
//! what it is told and when, and that a listening socket of its own is served on and outlives the server.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use support::client::Client;
use support::peer::Peer;
use support::{HEALTHZ, PATIENCE};
use tempfile::TempDir;

use crate::door::Door;
use crate::process::{BINARY, Process, run};

/// The socket on which a service manager is told about its service.
pub struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    pub fn start(&self, flags: &str) -> Process {
        let mut command = Command::new(BINARY);
        Process::spawn(command.args(flags.split_whitespace()).env("NOTIFY_SOCKET", self.path()))
    }

    /// Starts the program with so many descriptors from 3 on, all of them this socket, that are meant for the process
    /// named, `$$` being the program itself.
    pub fn activate(&self, socket: OwnedFd, count: usize, pid: &str, flags: &str) -> Process {
        let descriptors: String = (3..3 + count).map(|fd| format!(" {fd}<&0")).collect();
        let script = format!("export LISTEN_PID={pid}; exec \"$0\" \"$@\"{descriptors} 0</dev/null");
        let mut command = Command::new("sh");
        command.args(["-c", &script, BINARY]).args(flags.split_whitespace());
        command.env("LISTEN_FDS", count.to_string()).env("NOTIFY_SOCKET", self.path());
        Process::spawn_only(command.stdin(socket))
    }

    /// What it is told next.
    pub fn hear(&self) -> Vec<String> {
        let mut datagram = [0; 4096];
        let length = loop {
            match self.socket.recv(&mut datagram) {
                // A wait with a timeout is not taken up again by itself, should something stop the process (signal(7)).
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                result => break result.unwrap_or_else(|e| panic!("nothing is said in time: {e}")),
            }
        };
        str::from_utf8(&datagram[..length]).unwrap().lines().map(str::to_owned).collect()
    }

    /// Hears that the server is ready, and where.
    pub fn hear_ready(&self) -> String {
        let told = self.hear();
        assert_eq!((told.len(), &*told[0]), (2, "READY=1"), "{told:?}");
        told[1].strip_prefix("STATUS=Serving on ").unwrap().to_owned()
    }

    /// Hears how far the drain is.
    fn hear_progress(&self) -> Progress {
        let told = self.hear();
        let [stopping, status, extension] = &told[..] else { panic!("{told:?}") };
        assert_eq!(stopping, "STOPPING=1", "{told:?}");
        let status = status.strip_prefix("STATUS=Draining: ").unwrap();
        let (connections, rest) = status.split_once(" connections left, ").unwrap();
        let microseconds = extension.strip_prefix("EXTEND_TIMEOUT_USEC=").unwrap().parse().unwrap();
        Progress {
            connections: connections.parse().unwrap(),
            remaining: Duration::from_secs(rest.strip_suffix(" s at most").unwrap().parse().unwrap()),
            extension: Duration::from_micros(microseconds),
        }
    }

    /// Hears reports until one says that so many are left. At most this many are; the first report may be older.
    fn hear_left(&self, connections: usize) -> Progress {
        let mut progress = self.hear_progress();
        while progress.connections != connections {
            progress = self.hear_progress();
        }
        progress
    }

    /// Forgets what else a server has said that has ended: how many datagrams it was.
    pub fn forget_rest(&self) -> usize {
        self.socket.set_nonblocking(true).unwrap();
        let rest = std::iter::from_fn(|| self.socket.recv(&mut [0]).ok()).count();
        self.socket.set_nonblocking(false).unwrap();
        rest
    }
}

/// Ends a server without clients gently.
fn end(server: Process) {
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
}

/// One report of a drain.
struct Progress {
    connections: usize,
    remaining: Duration,
    /// For so long from now on it is not to be cut.
    extension: Duration,
}

#[test]
fn a_server_is_ready_once_it_answers() {
    for workers in [1, 2] {
        let manager = Manager::new();
        let server = manager.start(&format!("--workers {workers}"));
        let address: SocketAddr = manager.hear_ready().parse().unwrap();
        assert_eq!(address, server.address());
        assert_eq!(Door::Ip(address).get("/healthz").status, 200);
    }
}

#[test]
fn a_service_manager_may_have_an_abstract_name() {
    let name = format!("slackwater/{}/notify", std::process::id());
    let address = net::SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager { socket: UnixDatagram::bind_addr(&address).unwrap(), ..Manager::new() };
    manager.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = Command::new(BINARY);
    let server = Process::spawn(command.args(["--port", "0"]).env("NOTIFY_SOCKET", format!("@{name}")));
    assert_eq!(manager.hear_ready(), server.address().to_string());
}

#[test]
fn a_service_manager_that_does_not_listen_keeps_nobody_waiting() {
    for workers in [1, 2] {
        let manager = Manager::new();
        let server = manager.start(&format!("--workers {workers} --drain-check-interval 0.01"));
        let mut client = server.client();
        server.signal("TERM");
        // More than the kernel keeps for it (net.unix.max_dgram_qlen).
        let queue = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap();
        for _ in 0..queue.trim().parse::<usize>().unwrap() + 5 {
            server.next_line("Waiting for 1");
        }
        client.echo("x");
        client.leave();
        assert_eq!(server.end().0, Some(0));
    }
}

#[test]
fn a_server_that_cannot_start_is_never_ready() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for workers in [1, 2] {
        let manager = Manager::new();
        let mut command = Command::new(BINARY);
        command.args(["--port", &port.to_string(), "--workers", &workers.to_string()]);
        let (code, _) = run(command.env("NOTIFY_SOCKET", manager.path()));
        assert_eq!(code, Some(3));
        assert_eq!(manager.forget_rest(), 0);
    }
}

#[test]
fn a_server_whose_workers_cannot_start_is_never_ready() {
    let manager = Manager::new();
    let mut command = Command::new(BINARY);
    // Workers are started by the name under which the program itself was: this one's end at once.
    command.arg0("/bin/false").args(["--port", "0", "--workers", "2"]);
    let (code, log) = run(command.env("NOTIFY_SOCKET", manager.path()));
    assert_eq!(code, Some(3), "{log}");
    assert_eq!(manager.forget_rest(), 0);
}

#[test]
fn a_drain_is_reported_while_it_lasts_and_may_last_until_its_limit() {
    for workers in [1, 2] {
        let manager = Manager::new();
        let patience = Duration::from_secs(100);
        let server = manager.start(&format!(
            "--workers {workers} --timeout-graceful-shutdown 100 --drain-check-interval 0.1"
        ));
        manager.hear_ready();
        let clients = [server.client(), server.client()];
        let signalled = Instant::now();
        server.signal("TERM");
        let mut last = manager.hear_left(2);
        for _ in 0..3 {
            let next = manager.hear_progress();
            assert!(next.extension < last.extension && next.remaining <= last.remaining);
            last = next;
        }
        assert!(last.extension <= last.remaining + Duration::from_secs(20), "rounded up, as in the log");
        assert!(last.extension >= last.remaining && last.extension + signalled.elapsed() >= patience);
        let [one, other] = clients;
        one.leave();
        manager.hear_left(1);
        other.leave();
        assert_eq!(server.end().0, Some(0));
    }
}

#[test]
fn a_server_without_clients_says_that_it_stops() {
    let manager = Manager::new();
    let server = manager.start("");
    manager.hear_ready();
    server.signal("TERM");
    assert_eq!(manager.hear(), ["STOPPING=1", "STATUS=All connections closed"]);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn a_server_that_closes_its_clients_is_given_the_time_for_it() {
    let manager = Manager::new();
    let server = manager.start("--timeout-graceful-shutdown 0");
    manager.hear_ready();
    let _client = server.client();
    server.signal("TERM");
    let progress = manager.hear_progress();
    assert_eq!((progress.connections, progress.remaining), (1, Duration::ZERO));
    assert!(progress.extension > Duration::from_secs(1));
    assert_eq!(server.end().0, Some(1));
}

#[test]
fn a_report_counts_the_clients_of_all_workers_and_only_the_supervisor_makes_one() {
    let manager = Manager::new();
    let server = manager.start("--workers 2 --drain-check-interval 3600");
    manager.hear_ready();
    let (mut clients, mut serving) = (vec![], [false; 2]);
    // Which worker a connection goes to is the kernel's choice.
    while serving != [true; 2] {
        let mut client = server.client();
        // Whoever answers this has told its supervisor of the client before.
        client.echo("x");
        clients.push(client);
        let line = server.next_line("Client connected");
        serving[usize::from(line.contains("worker 2"))] = true;
    }
    server.signal("TERM");
    assert_eq!(manager.hear_progress().connections, clients.len());
    clients.into_iter().for_each(Client::leave);
    assert_eq!(server.end().0, Some(0));
    assert_eq!(manager.forget_rest(), 0);
}

#[test]
fn every_report_reaches_beyond_the_next_one_or_the_end() {
    for (patience, interval) in [(1800, 5), (1800, 3600), (604_800, 3600)] {
        let manager = Manager::new();
        let server = manager
            .start(&format!("--timeout-graceful-shutdown {patience} --drain-check-interval {interval}"));
        manager.hear_ready();
        let client = server.client();
        server.signal("TERM");
        let extension = manager.hear_progress().extension;
        assert!(extension > Duration::from_secs(patience.min(interval)), "{extension:?}");
        client.leave();
        assert_eq!(server.end().0, Some(0));
    }
}

#[test]
fn a_server_serves_on_a_tcp_socket_that_it_was_given() {
    for workers in [1, 2] {
        let (manager, listener) = (Manager::new(), TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        // The port is not looked at: it is there already.
        let flags = format!("--port 1 --workers {workers}");
        let server = manager.activate(listener.into(), 1, "$$", &flags);
        assert_eq!(manager.hear_ready(), address.to_string());
        let mut client = Client::join(address, "/ws");
        client.echo("x");
        client.leave();
        end(server);
    }
}

#[test]
fn a_server_serves_on_a_unix_socket_that_it_was_given_and_leaves_its_file_alone() {
    for workers in [1, 2] {
        let manager = Manager::new();
        let path = manager.folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = manager.activate(listener.into(), 1, "$$", &format!("--workers {workers}"));
        assert_eq!(manager.hear_ready(), format!("unix:{}", path.display()));
        assert_eq!(Door::Unix(path.clone()).get("/healthz").status, 200);
        end(server);
        assert!(path.exists(), "it is the service manager's");
    }
}

#[test]
fn who_connects_while_no_server_runs_is_served_by_the_next() {
    for workers in [1, 2] {
        let (manager, listener) = (Manager::new(), TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        let start = || {
            let flags = format!("--workers {workers}");
            let server = manager.activate(listener.try_clone().unwrap().into(), 1, "$$", &flags);
            manager.hear_ready();
            server
        };
        let first = start();
        assert_eq!(Door::Ip(address).get("/healthz").status, 200);
        end(first);
        manager.forget_rest();
        let mut waiting = Peer::connect(address);
        waiting.send(HEALTHZ);
        let second = start();
        assert_eq!(waiting.response().status, 200);
        end(second);
    }
}

#[test]
fn two_sockets_are_refused_with_the_mend() {
    for workers in [1, 2] {
        let (manager, listener) = (Manager::new(), TcpListener::bind("127.0.0.1:0").unwrap());
        let server = manager.activate(listener.into(), 2, "$$", &format!("--port 0 --workers {workers}"));
        let (code, lines) = server.end();
        assert_eq!((code, lines.len()), (Some(3), 1), "{lines:?}");
        assert!(
            lines[0].contains("cannot listen on 2 sockets of the service manager: give one"),
            "{lines:?}"
        );
        assert_eq!(manager.forget_rest(), 0);
    }
}

#[test]
fn sockets_that_are_announced_and_not_there_are_no_reason_to_listen_elsewhere() {
    for count in ["1", "many"] {
        let script = "export LISTEN_PID=$$; exec \"$0\" --port 0 3<&-";
        let mut command = Command::new("sh");
        let (code, line) = run(command.args(["-c", script, BINARY]).env("LISTEN_FDS", count));
        assert_eq!((code, line.lines().count()), (Some(3), 1), "{line}");
        assert!(line.contains("cannot take the service manager's sockets"), "{line}");
    }
}

#[test]
fn sockets_for_another_process_are_not_touched() {
    let (manager, listener) = (Manager::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    let server = manager.activate(listener.try_clone().unwrap().into(), 2, "1", "");
    let own: SocketAddr = manager.hear_ready().parse().unwrap();
    assert_ne!(own, listener.local_addr().unwrap());
    assert_eq!(Door::Ip(own).get("/healthz").status, 200);
    end(server);
}
