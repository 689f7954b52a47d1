//! A successor that fails, at each step of the way: a stand-in that speaks the protocol, and programs that are none. The server
//! goes on, nobody is cut, and the log says why.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use slackwater::server::handover::channel::Channel;
use slackwater::wire::handover::FORMATS;
use slackwater::wire::handover::message::{Hello, ToPredecessor, ToSuccessor, decode};
use socket2::{Domain, SockAddr, Socket, Type};
use support::PATIENCE;
use support::client::Client;
use support::events::Listener;
use support::peer::Peer;
use support::publisher::Publisher;

use super::server::Server;
use crate::exposition::Metrics;
use crate::process::{BINARY, children, signal};
use crate::workers::program::Program;

/// A successor that only the test knows.
pub struct StandIn {
    channel: Option<Channel>,
    /// All that it was handed.
    pub descriptors: Vec<OwnedFd>,
    connections: u64,
}

/// How far it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Connected,
    Greeted,
    Ready,
    Imaged,
    AlmostTaken,
}

/// And what it does then.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Dies,
    IsSilent,
    SaysNonsense,
    Fails,
}

impl StandIn {
    pub fn connect(path: &Path) -> Self {
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET.nonblocking(), None).unwrap();
        socket.connect(&SockAddr::unix(path).unwrap()).unwrap();
        let channel = Some(Channel::from(OwnedFd::from(socket)));
        Self { channel, descriptors: vec![], connections: 0 }
    }

    pub fn say(&self, message: &ToPredecessor) {
        let deadline = Instant::now() + PATIENCE;
        self.channel.as_ref().unwrap().send_by(deadline, message, &[]).unwrap();
    }

    pub fn hear(&mut self) -> ToSuccessor {
        let deadline = Instant::now() + PATIENCE;
        let mut received = self.channel.as_ref().unwrap().receive_by(deadline).unwrap().expect("it is there");
        self.descriptors.append(&mut received.descriptors);
        decode(&received.octets).unwrap()
    }

    pub fn greet(&mut self) {
        self.say(&ToPredecessor::Hello(hello()));
        assert!(matches!(self.hear(), ToSuccessor::Sockets(_)));
    }

    /// Takes everything, and gives back what it is told then.
    pub fn take_all(&mut self) -> ToSuccessor {
        self.greet();
        self.get_ready();
        self.take_batches()
    }

    /// Takes all connections, and gives back what it is told then.
    pub fn take_batches(&mut self) -> ToSuccessor {
        self.acknowledge(0);
        self.say(&ToPredecessor::Prepared);
        self.hear()
    }

    /// Hears how everything stands: nobody else is heard from then on.
    pub fn get_ready(&mut self) {
        self.say(&ToPredecessor::Ready);
        let ToSuccessor::Image { connections, .. } = self.hear() else { panic!("no image") };
        self.connections = connections;
    }

    /// Takes all batches; of the last one it says so many too many.
    fn acknowledge(&mut self, too_many: u64) {
        let mut taken = 0;
        while taken < self.connections {
            let ToSuccessor::Batch { connections } = self.hear() else { panic!("no batch") };
            taken += u64::from(connections);
            let excess = if taken == self.connections { too_many } else { 0 };
            self.say(&ToPredecessor::Taken { connections: taken + excess });
        }
    }

    fn go(&mut self, step: Step) {
        if step >= Step::Greeted {
            self.greet();
        }
        if step >= Step::Ready {
            self.say(&ToPredecessor::Ready);
        }
        if step >= Step::Imaged {
            let ToSuccessor::Image { connections, .. } = self.hear() else { panic!("no image") };
            self.connections = connections;
        }
        if step >= Step::AlmostTaken {
            self.acknowledge(0);
        }
    }
}

fn hello() -> Hello {
    Hello {
        oldest_format: *FORMATS.start(),
        newest_format: *FORMATS.end(),
        version: "stand-in".to_owned(),
        pid: std::process::id(),
        most_descriptors: 100_000,
    }
}

/// Some who are connected, and hear and are heard.
struct Crowd {
    clients: Vec<Client>,
    stream: Listener,
    publisher: Publisher,
    published: usize,
}

impl Crowd {
    fn of(server: &Server) -> Self {
        let address = server.address();
        Self {
            clients: (0..3).map(|_| server.client()).collect(),
            stream: Listener::join(address, "/events"),
            publisher: Publisher::connect(address),
            published: 0,
        }
    }

    fn assert_served(&mut self, server: &Server) {
        self.published += 1;
        let text = format!("number {}", self.published);
        self.publisher.publish(&text);
        assert_eq!(self.stream.hear_data(), text.as_str());
        for client in &mut self.clients {
            assert_eq!(client.hear_data(), text.as_str());
            client.echo("x");
        }
        server.client().leave();
    }

    fn assert_failures(&mut self, server: &Server, count: usize) {
        self.assert_served(server);
        let is_counted =
            |now: &Metrics| now.of("slackwater_handovers_total{result=\"failed\"}") == count as f64;
        server.door().metrics_with("one failure more", is_counted);
    }
}

#[test]
fn a_successor_may_fail_at_any_step_and_in_any_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("handover");
    let server = Server::start(&format!("--handover-timeout 0.3 --handover {}", path.display()));
    let mut crowd = Crowd::of(&server);
    let mut count = 0;
    for step in [Step::Connected, Step::Greeted, Step::Ready, Step::Imaged, Step::AlmostTaken] {
        for (fault, why) in [
            (Fault::Dies, "the successor has ended before it "),
            (Fault::IsSilent, "in time (--handover-timeout)"),
            (Fault::SaysNonsense, "what the successor says is not understood"),
            (Fault::Fails, "the successor says: no memory"),
        ] {
            let mut successor = StandIn::connect(&path);
            successor.go(step);
            match fault {
                Fault::Dies => successor.channel = None,
                Fault::IsSilent => {}
                Fault::SaysNonsense => successor.say(&ToPredecessor::Taken { connections: 1 << 40 }),
                Fault::Fails => successor.say(&ToPredecessor::Failed { why: "no memory".to_owned() }),
            }
            count += 1;
            let line = server.failed(count);
            assert!(line.contains(why), "{step:?} {fault:?}: {line}");
            if matches!(fault, Fault::IsSilent) && step < Step::Ready {
                assert_eq!(successor.hear(), ToSuccessor::abort(&line), "it is told what is logged");
            }
            drop(successor);
            crowd.assert_failures(&server, count);
        }
    }
}

#[test]
fn the_status_tells_of_a_failure() {
    let program = Program::new();
    let server = Server::spawn(&mut program.command(""));
    program.replace("exit 7");
    server.tell("HUP");
    server.failed(1);
    let status = server.door().status();
    let last = &status["handover"];
    assert_eq!(
        (&last["result"], &last["moved"], &last["seconds"]),
        (&"failed".into(), &0.into(), &0.0.into())
    );
}

#[test]
fn a_successor_that_counts_otherwise_or_has_another_format_or_too_few_descriptors_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("handover");
    let server = Server::start(&format!("--handover {}", path.display()));
    let mut crowd = Crowd::of(&server);
    for (count, (hello, why)) in [
        (
            Hello { oldest_format: 1000, newest_format: 1001, ..hello() },
            "speaks another format: 1000 to 1001",
        ),
        (Hello { most_descriptors: 10, ..hello() }, "may open 10 files, and "),
    ]
    .into_iter()
    .enumerate()
    {
        let successor = StandIn::connect(&path);
        successor.say(&ToPredecessor::Hello(hello));
        assert!(server.failed(count + 1).contains(why));
        crowd.assert_failures(&server, count + 1);
    }
    let mut successor = StandIn::connect(&path);
    successor.greet();
    successor.get_ready();
    successor.acknowledge(1);
    assert!(server.failed(3).contains("is not understood"));
    crowd.assert_failures(&server, 3);
}

#[test]
fn a_successor_that_has_taken_everything_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("handover");
    let server = Server::start(&format!("--handover {}", path.display()));
    let mut peer = Peer::connect(server.address()).upgraded();
    let mut successor = StandIn::connect(&path);
    assert!(matches!(successor.take_all(), ToSuccessor::Commit(_)));
    server.line("] Handed over 1 connections to process ");
    // Nobody listens to it now, but its connection has not ended.
    peer.socket.set_nonblocking(true).unwrap();
    let (code, lines) = server.ended();
    assert_eq!(code, Some(0), "{lines:?}");
    let mut nothing = [0];
    let why = std::io::Read::read(&mut peer.socket, &mut nothing).unwrap_err();
    assert_eq!(why.kind(), std::io::ErrorKind::WouldBlock);
    assert!(path.exists(), "its file is the successor's");
}

#[test]
fn a_program_that_does_not_take_over_leaves_everything_as_it_was() {
    leaves_everything_as_it_was(1);
}

#[test]
fn a_program_that_does_not_take_over_leaves_several_workers_as_they_were() {
    leaves_everything_as_it_was(2);
}

fn leaves_everything_as_it_was(workers: usize) {
    let program = Program::new();
    let server = Server::spawn(&mut program.command(&format!("--workers {workers} --handover-timeout 2")));
    let mut crowd = Crowd::of(&server);
    let workers = children(server.now());
    for (count, (script, why)) in [
        ("exit 7", "the successor has ended before it had said what it is"),
        ("kill -SEGV $$", "the successor has ended before it had said what it is"),
        ("echo no server; exit 0", "the successor has ended before it had said what it is"),
        (&format!("ulimit -n 20; exec {BINARY} \"$@\""), "the successor may open 20 files, and "),
        (&format!("ulimit -v 4000; exec {BINARY} \"$@\" 2>/dev/null"), "the successor has ended before it "),
        (
            &format!("exec {BINARY} --port none 2>/dev/null"),
            "the successor has ended before it had said what it is",
        ),
        ("exec sleep 100", "the successor has not said what it is in time (--handover-timeout)"),
    ]
    .into_iter()
    .enumerate()
    {
        program.replace(script);
        server.tell("HUP");
        let line = server.failed(count + 1);
        assert!(line.contains(why), "{script}: {line}");
        crowd.assert_failures(&server, count + 1);
        assert_eq!(children(server.now()), workers, "it is gone, and no zombie");
    }
    program.remove();
    server.tell("HUP");
    assert!(server.failed(8).starts_with("cannot start /"));
    crowd.assert_failures(&server, 8);

    program.mark("mended");
    server.hand_over();
    crowd.assert_served(&server);
    drop(crowd);
    assert_eq!(server.leave().0, Some(0));
}

#[test]
fn the_first_process_of_a_container_says_what_to_do_instead() {
    let can = Command::new("unshare").args(["--pid", "--fork", "true"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: this user may make no process namespace");
    }
    for workers in ["1", "2"] {
        let mut command = Command::new("unshare");
        let server = ["--pid", "--fork", "--kill-child", BINARY, "--workers", workers];
        let server = Server::spawn(command.args(server));
        let mut client = server.client();
        let first = children(server.pid())[0];
        let its_workers = children(first);
        signal(first, "HUP");
        assert!(server.failed(1).contains("start a second server with the same --handover PATH"));
        client.echo("x");
        assert_eq!(children(first), its_workers);
    }
}
