//! A predecessor that dies or goes on, at each step of the way: a stand-in that speaks the protocol. The successor says so in one
//! line, ends, and has touched nothing.

use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use slackwater::server::handover::channel::Channel;
use slackwater::server::handover::memory;
use slackwater::wire::handover::FORMATS;
use slackwater::wire::handover::image::{Whole, Writer};
use slackwater::wire::handover::message::{
    Commit, Kind, Listening, Sockets, ToPredecessor, ToSuccessor, decode,
};
use slackwater::wire::handover::record::{Http, Phase, Record};
use socket2::{Domain, SockAddr, Socket, Type};
use support::peer::Peer;
use support::{HEALTHZ, PATIENCE};
use tempfile::TempDir;

use crate::process::{BINARY, Process};

/// A predecessor that only the test knows, and its successor.
struct StandIn {
    folder: TempDir,
    path: PathBuf,
    listener: Socket,
    /// What clients come in by, and one who has.
    public: TcpListener,
    peer: Peer,
    moved: Option<OwnedFd>,
    channel: Option<Channel>,
    successor: Process,
}

/// How far it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Accepted,
    Greeted,
    Offered,
    Imaged,
    Batched,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Dies,
    IsSilent,
    GoesOn(Option<&'static str>),
    Refuses(&'static str),
    SaysNonsense,
}

impl StandIn {
    fn new(flags: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handover");
        let listener = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(8).unwrap();
        let public = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = Peer::connect(public.local_addr().unwrap());
        let moved = public.accept().unwrap().0;
        // As all sockets of a server are.
        moved.set_nonblocking(true).unwrap();
        let moved = Some(OwnedFd::from(moved));
        let flags = flags.replace("FOLDER", folder.path().to_str().unwrap());
        let mut command = Command::new(BINARY);
        command.arg("--handover").arg(&path).args(flags.split_whitespace()).stdin(Stdio::null());
        let successor = Process::spawn_only(&mut command);
        let channel = OwnedFd::from(listener.accept().unwrap().0);
        make_nonblocking(&channel);
        let channel = Some(Channel::from(channel));
        Self { folder, path, listener, public, peer, moved, channel, successor }
    }

    fn say(&self, message: &ToSuccessor, beside: &[BorrowedFd<'_>]) {
        self.channel.as_ref().unwrap().send_by(Instant::now() + PATIENCE, message, beside).unwrap();
    }

    fn hear(&self) -> ToPredecessor {
        let received = self.channel.as_ref().unwrap().receive_by(Instant::now() + PATIENCE).unwrap();
        decode(&received.expect("it is there").octets).unwrap()
    }

    fn offer(&self) {
        let kinds = [Kind::Public, Kind::Handover];
        let listening = kinds
            .map(|kind| Listening {
                kind,
                is_shared: false,
                owns_file: kind == Kind::Handover,
                slot: 0,
                path: None,
            })
            .to_vec();
        let format = *FORMATS.end();
        let version = "stand-in".to_owned();
        let (pid, workers, has_more) = (std::process::id(), None, false);
        let offer = Sockets { format, version, pid, listening, workers, has_more, tickets: None };
        self.say(&ToSuccessor::Sockets(offer), &[self.public.as_fd(), self.listener.as_fd()]);
    }

    /// How everything stands: one who has asked for nothing yet.
    fn send_image(&self) {
        let (file, bytes) = memory::write(|file| {
            let mut image = Writer::new(file, *FORMATS.end())?;
            image.whole(&Whole::default())?;
            image.connection(&Record::of(Phase::Http(Http::default())))?;
            image.end()
        })
        .unwrap();
        self.say(&ToSuccessor::Image { bytes, connections: 1 }, &[file.as_fd()]);
    }

    fn send_batch(&self) {
        self.say(&ToSuccessor::Batch { connections: 1 }, &[self.moved.as_ref().unwrap().as_fd()]);
        assert_eq!(self.hear(), ToPredecessor::Taken { connections: 1 });
        assert_eq!(self.hear(), ToPredecessor::Prepared);
    }

    fn go(&self, step: Step) {
        if step >= Step::Greeted {
            assert!(matches!(self.hear(), ToPredecessor::Hello(_)));
        }
        if step >= Step::Offered {
            self.offer();
            assert_eq!(self.hear(), ToPredecessor::Ready);
        }
        if step >= Step::Imaged {
            self.send_image();
        }
        if step >= Step::Batched {
            self.send_batch();
        }
    }

    /// The successor ends without having touched anything; the line that it leaves.
    fn abandoned(self, inode: u64) -> String {
        self.ended_with(3, inode)
    }

    fn ended_with(mut self, expected: i32, inode: u64) -> String {
        let (code, lines) = self.successor.end();
        assert_eq!((code, lines.len()), (Some(expected), 1), "{lines:?}");
        drop(self.channel);
        assert_eq!(fs::metadata(&self.path).unwrap().ino(), inode, "where it listens, it still does");
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 1, "nothing is left behind");
        // Its connection lives, and those that wait have not been accepted.
        let accepted = std::net::TcpStream::from(self.moved.take().unwrap());
        std::io::Write::write_all(&mut &accepted, b"HTTP/1.1 204 x\r\n\r\n").unwrap();
        assert_eq!(self.peer.head().status, 204);
        let _waiting = Peer::connect(self.public.local_addr().unwrap());
        self.public.accept().unwrap();
        drop(self.listener);
        lines.into_iter().next().unwrap()
    }
}

fn make_nonblocking(channel: &OwnedFd) {
    Socket::from(channel.try_clone().unwrap()).set_nonblocking(true).unwrap();
}

#[test]
fn a_predecessor_may_fail_at_any_step_and_in_any_way() {
    for step in [Step::Accepted, Step::Greeted, Step::Offered, Step::Imaged, Step::Batched] {
        for (fault, why) in [
            (Fault::Dies, "the other process has ended"),
            (Fault::IsSilent, "the other process has said nothing in time (--handover-timeout)"),
            (Fault::GoesOn(None), "the other process goes on itself"),
            (Fault::GoesOn(Some("\x1b]0;it leaves\n")), "the other process goes on itself: ]0;it leaves"),
            (Fault::Refuses("\x1b]0;it leaves\n"), "the other process says: ]0;it leaves"),
            (Fault::SaysNonsense, "what the other process says is not understood"),
        ] {
            // It listens where nobody has listened before.
            let mut predecessor = StandIn::new("--handover-timeout 0.2 --uds FOLDER/socket");
            let inode = fs::metadata(&predecessor.path).unwrap().ino();
            predecessor.go(step);
            match fault {
                Fault::Dies => predecessor.channel = None,
                Fault::IsSilent => {}
                Fault::GoesOn(why) => {
                    predecessor.say(&ToSuccessor::Abort { why: why.map(str::to_owned) }, &[]);
                }
                Fault::Refuses(why) => predecessor.say(&ToSuccessor::Refused { why: why.to_owned() }, &[]),
                Fault::SaysNonsense => predecessor.say(&ToSuccessor::Batch { connections: 7 }, &[]),
            }
            let line = predecessor.abandoned(inode);
            assert_eq!(line, format!("[ERROR] cannot take over: {why}"), "{step:?} {fault:?}");
        }
    }
}

#[test]
fn a_successor_that_is_told_to_leave_before_it_is_answered_ends_at_once() {
    for (workers, signal) in [(1, "TERM"), (1, "INT"), (2, "TERM"), (2, "INT")] {
        let flags = format!("--handover-timeout 300 --uds FOLDER/socket --workers {workers}");
        let predecessor = StandIn::new(&flags);
        let inode = fs::metadata(&predecessor.path).unwrap().ino();
        predecessor.go(Step::Greeted);
        predecessor.successor.signal(signal);
        assert_eq!(predecessor.hear(), ToPredecessor::Failed { why: "it has been told to leave".to_owned() });
        assert_eq!(predecessor.ended_with(0, inode), "[INFO] Told to leave before anything was taken over");
    }
}

#[test]
fn an_image_that_is_none_is_refused_and_the_predecessor_is_told() {
    let predecessor = StandIn::new("--uds FOLDER/socket");
    let inode = fs::metadata(&predecessor.path).unwrap().ino();
    predecessor.go(Step::Offered);
    let (file, ()) = memory::write(|file| std::io::Write::write_all(file, b"nonsense")).unwrap();
    predecessor.say(&ToSuccessor::Image { bytes: 8, connections: 1 }, &[file.as_fd()]);
    predecessor.say(&ToSuccessor::Batch { connections: 1 }, &[predecessor.moved.as_ref().unwrap().as_fd()]);
    assert_eq!(predecessor.hear(), ToPredecessor::Taken { connections: 1 });
    assert_eq!(
        predecessor.hear(),
        ToPredecessor::Failed { why: "what it handed over is damaged".to_owned() }
    );
    assert_eq!(predecessor.abandoned(inode), "[ERROR] cannot take over: what it handed over is damaged");
}

#[test]
fn a_successor_that_cannot_listen_says_so_to_its_predecessor() {
    let predecessor = StandIn::new("--uds FOLDER/none/socket");
    let inode = fs::metadata(&predecessor.path).unwrap().ino();
    predecessor.go(Step::Greeted);
    predecessor.offer();
    let ToPredecessor::Failed { why } = predecessor.hear() else { panic!("it does not say so") };
    assert!(why.starts_with("cannot listen on unix:"), "{why}");
    assert_eq!(predecessor.abandoned(inode), format!("[ERROR] {why}"));
}

#[test]
fn who_connects_meanwhile_is_served_once_everything_is_the_successors() {
    let mut predecessor = StandIn::new("--port 0");
    let mut waiting = Peer::connect(predecessor.public.local_addr().unwrap());
    waiting.send(HEALTHZ);
    predecessor.peer.send(HEALTHZ);
    predecessor.go(Step::Batched);
    for peer in [&waiting, &predecessor.peer] {
        peer.socket.set_nonblocking(true).unwrap();
        let why = std::io::Read::read(&mut &peer.socket, &mut [0]).unwrap_err();
        assert_eq!(why.kind(), std::io::ErrorKind::WouldBlock, "nobody answers yet");
        peer.socket.set_nonblocking(false).unwrap();
    }
    predecessor.say(&ToSuccessor::Commit(Commit::default()), &[]);
    assert_eq!(waiting.response().status, 200);
    assert_eq!(predecessor.peer.response().status, 200);
    predecessor.successor.line("] Took over 1 connections from process ");
    assert_eq!(predecessor.successor.address(), predecessor.public.local_addr().unwrap());
}

#[test]
fn why_a_successor_does_not_start_is_logged_before_its_predecessor_sees_that_it_ends() {
    for flags in ["--log-format text", "--log-format json", "--workers 2"] {
        let (ours, theirs) = Channel::pair().unwrap();
        let mut command = Command::new(BINARY);
        command.args(flags.split(' ')).args(["--port", "0", "--state-file", "/nope/x"]);
        command.env("_SLACKWATER_HANDOVER", "0").stdin(Stdio::from(theirs)).stderr(Stdio::piped());
        let mut successor = command.spawn().unwrap();
        drop(command);
        let heard = ours.receive_by(Instant::now() + PATIENCE).unwrap();
        assert!(heard.is_none(), "{flags}: it has ended");
        // As a predecessor does at once.
        successor.kill().unwrap();
        let said = String::from_utf8(successor.wait_with_output().unwrap().stderr).unwrap();
        assert_eq!(
            said.matches("cannot keep the state in --state-file /nope/x").count(),
            1,
            "{flags}: {said}"
        );
    }
}
