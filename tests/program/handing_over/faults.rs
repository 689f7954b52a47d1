//! Either process of a hand-over is killed, stopped or refused something by the kernel at each step, and there is always one
//! that goes on with everything.

use std::fs;
use std::process::Command;

use support::peer::Peer;
use tempfile::TempDir;

use super::server::{FAILED, Server};
use crate::audience::{Audience, published_while};
use crate::process::{BINARY, Process, signal};
use crate::strace::{self, Fault, Trace};
use crate::workers::crew::until_state;
use crate::workers::program::Program;

const KILL: &str = "signal=KILL";
const STOP: &str = "signal=STOP";

/// What a successor says whose predecessor goes on for this reason.
pub fn told(why: &str) -> String {
    format!("[ERROR] cannot take over: the other process goes on itself: {why}")
}

/// The messages of a successor: that it is there, that it could serve, that a batch has come, that it has everything.
const OF_SUCCESSOR: usize = 4;

/// Those of a predecessor: what is listened on, how everything stands, a batch, and that all is the successor's.
const OF_PREDECESSOR: usize = 4;

/// A server that starts successors by SIGHUP, in which something happens.
struct Reloading {
    program: Program,
    server: Server,
    audience: Audience,
    failures: usize,
}

impl Reloading {
    fn start(flags: &str) -> Self {
        let program = Program::new();
        let server = Server::spawn(&mut program.command(flags));
        let audience = Audience::of(&server);
        Self { program, server, audience, failures: 0 }
    }

    /// Nothing comes of it, nobody notices, and the log says why.
    fn goes_on(&mut self, fault: Fault, why: &str) {
        let trace = Trace::new();
        self.program.replace(&trace.script(BINARY, fault));
        self.failures += 1;
        let mut line = String::new();
        let published = published_while(&self.server, || {
            self.server.tell("HUP");
            line = self.server.failed(self.failures);
        });
        self.audience.hear(&published);
        assert!(line.contains(why), "{fault:?}: {line}");
        assert!(trace.has_happened(), "{fault:?}");
        let children = format!("/proc/{0}/task/{0}/children", self.server.now());
        assert_eq!(fs::read_to_string(children).unwrap(), "", "{fault:?}: it is gone, and no zombie");
    }

    /// It is handed over all the same.
    fn hands_over(mut self, fault: Fault) {
        let trace = Trace::new();
        self.program.replace(&trace.script(BINARY, fault));
        let published = published_while(&self.server, || {
            self.server.hand_over();
        });
        self.audience.hear(&published);
        assert!(trace.has_happened(), "{fault:?}");
    }

    /// The next one is none that fails, and all have failed that should.
    fn ends(mut self) {
        self.program.mark("mended");
        self.server.hand_over();
        self.audience.is_served(&self.server);
        drop(self.audience);
        let (code, lines) = self.server.leave();
        assert_eq!(code, Some(0));
        assert_eq!(lines.iter().filter(|line| line.starts_with(FAILED)).count(), self.failures, "{lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("panicked")), "{lines:#?}");
    }
}

#[test]
fn a_successor_that_is_killed_or_stopped_at_any_message_is_none() {
    if !strace::is_possible() {
        return;
    }
    let mut server = Reloading::start("--handover-timeout 1");
    for nth in 1..=OF_SUCCESSOR {
        server.goes_on(Fault::new("sendmsg", KILL, nth), "the successor has ended before it had ");
    }
    // At the last one it has everything, and whoever has that is the server.
    for nth in 1..OF_SUCCESSOR {
        server.goes_on(Fault::new("sendmsg", STOP, nth), "in time (--handover-timeout)");
    }
    server.ends();
}

#[test]
fn a_successor_that_is_stopped_when_it_has_everything_serves_once_it_is_continued() {
    if !strace::is_possible() {
        return;
    }
    let mut server = Reloading::start("");
    let trace = Trace::new();
    server.program.replace(&trace.script(BINARY, Fault::new("sendmsg", STOP, OF_SUCCESSOR)));
    server.server.tell("HUP");
    let line = server.server.line("] Handed over ");
    let pid = line.rsplit_once(" to process ").unwrap().1.split(':').next().unwrap().parse().unwrap();
    signal(pid, "CONT");
    server.server.handed_over();
    // The kernel may hang up on a process that was stopped when those around it have ended (setpgid(2)): then it hands over once more,
    // and which process serves in the end is not known here.
    server.audience.is_served(&server.server);
}

#[test]
fn a_successor_that_the_kernel_refuses_something_is_none() {
    if !strace::is_possible() {
        return;
    }
    let mut server = Reloading::start("");
    for (calls, what, nths, why) in [
        ("sendmsg", "error=ENOBUFS", &[1][..], "the successor has ended before it had said what it is"),
        ("sendmsg", "error=ENOBUFS", &[2, 3, 4], "the successor says: No buffer space available"),
        // How often it looks in vain in between is not known.
        ("recvmsg", "error=ENOMEM", &[1, 2, 3], "the successor "),
        ("epoll_ctl", "error=ENOMEM", &[1, 2], "the successor says: cannot set up the event loop: "),
        ("epoll_ctl", "error=ENOMEM", &[4, 8, 12, 18], "the successor says: Cannot allocate memory"),
        ("getsockopt", "error=ENOBUFS", &[1, 2], "the successor says: cannot listen on "),
    ] {
        nths.iter().for_each(|nth| server.goes_on(Fault::new(calls, what, *nth), why));
    }
    server.ends();
    // What passes is tried again.
    for (calls, what, nth) in [
        ("sendmsg", "error=EINTR", 1),
        ("sendmsg", "error=EAGAIN", 3),
        ("recvmsg", "error=EINTR", 1),
        ("recvmsg", "error=EINTR", 3),
    ] {
        Reloading::start("").hands_over(Fault::new(calls, what, nth));
    }
}

#[test]
fn a_successor_that_has_no_room_for_the_descriptors_that_come_is_none() {
    let mut server = Reloading::start("");
    let more: Vec<Peer> = (0..40).map(|_| Peer::connect(server.server.address())).collect();
    // The limit would do, but so many are open already.
    let opened = r#"ulimit -n 92; for i in $(seq 20 60); do eval "exec $i</dev/null"; done; exec "$0" "$@""#;
    server.program.replace(&format!("exec bash -c '{opened}' {BINARY} \"$@\""));
    server.failures += 1;
    server.server.tell("HUP");
    let line = server.server.failed(1);
    assert!(line.contains("not all descriptors have come: the limit on open files is reached"), "{line}");
    server.audience.is_served(&server.server);
    drop(more);
    server.ends();
}

/// Where a server and its successors meet.
struct Meeting {
    folder: TempDir,
    server: Server,
    audience: Audience,
    failures: usize,
}

impl Meeting {
    fn start(flags: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::spawn(&mut Self::command(&folder, flags));
        let audience = Audience::of(&server);
        Self { folder, server, audience, failures: 0 }
    }

    fn command(folder: &TempDir, flags: &str) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("--handover").arg(folder.path().join("handover")).args(flags.split_whitespace());
        command
    }

    fn succeed(&self, flags: &str) -> Process {
        let mut command = Self::command(&self.folder, flags);
        Process::spawn_only(command.env("SLACKWATER_PORT", self.server.address().port().to_string()))
    }

    /// Something happens in the server; the next one takes nothing over, and this goes on.
    fn goes_on(&mut self, fault: Fault, why: &str) {
        let trace = Trace::of(self.server.pid(), fault);
        let (code, lines) = self.succeed("").end();
        self.failures += 1;
        let line = self.server.failed(self.failures);
        assert!(line.contains(why), "{fault:?}: {line}");
        assert_eq!((code, lines), (Some(3), vec![told(&line)]), "{fault:?}");
        assert!(trace.has_happened(), "{fault:?}");
        drop(trace);
        self.audience.is_served(&self.server);
    }

    /// The next one takes over, and all others have failed that should.
    fn ends(mut self) {
        let next = self.succeed("");
        next.line("] Took over ");
        let (code, lines) = self.server.ended();
        assert_eq!(code, Some(0));
        assert_eq!(lines.iter().filter(|line| line.starts_with(FAILED)).count(), self.failures, "{lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("panicked")), "{lines:#?}");
        self.audience.is_served(&next);
    }
}

#[test]
fn a_predecessor_that_the_kernel_refuses_something_goes_on() {
    if !strace::is_possible() {
        return;
    }
    let mut server = Meeting::start("");
    for (calls, what, nths) in [
        ("sendmsg", "error=ENOBUFS", &[1, 2, 3, 4][..]),
        ("sendmsg", "error=ETOOMANYREFS", &[3]),
        ("sendmsg", "error=EPERM", &[2]),
        ("recvmsg", "error=ENOMEM", &[1, 2, 3, 4]),
        ("epoll_ctl", "error=ENOMEM", &[1]),
        ("memfd_create", "error=EMFILE", &[1]),
        ("fcntl", "error=EPERM", &[1]),
    ] {
        let error = what.strip_prefix("error=").unwrap();
        let number = [("ENOBUFS", 105), ("ETOOMANYREFS", 109), ("EPERM", 1), ("ENOMEM", 12), ("EMFILE", 24)]
            .into_iter()
            .find_map(|(name, number)| (name == error).then_some(number));
        let why = format!("(os error {})", number.unwrap());
        nths.iter().for_each(|nth| server.goes_on(Fault::new(calls, what, *nth), &why));
    }
    // Who cannot be accepted at once is accepted later.
    let trace = Trace::of(server.server.pid(), Fault::new("accept4", "error=EMFILE", 1));
    server.ends();
    assert!(trace.has_happened());
}

#[test]
fn a_predecessor_that_is_only_interrupted_hands_over() {
    if !strace::is_possible() {
        return;
    }
    let server = Server::start("");
    let mut audience = Audience::of(&server);
    for (calls, what, nth) in [
        ("sendmsg", "error=EINTR", 1),
        ("sendmsg", "error=EINTR", OF_PREDECESSOR),
        ("sendmsg", "error=EAGAIN", 3),
        ("recvmsg", "error=EINTR", 1),
        ("recvmsg", "error=EINTR", 4),
        ("epoll_wait", "error=EINTR", 1),
    ] {
        let fault = Fault::new(calls, what, nth);
        let trace = Trace::of(server.now(), fault);
        server.hand_over();
        assert!(trace.has_happened(), "{fault:?}");
        audience.is_served(&server);
    }
}

#[test]
fn a_successor_that_cannot_be_started_is_none() {
    if !strace::is_possible() {
        return;
    }
    let mut server = Reloading::start("");
    for (calls, what, why) in [
        ("clone,clone3,fork,vfork", "error=EAGAIN", "Resource temporarily unavailable"),
        ("clone,clone3,fork,vfork", "error=ENOMEM", "Cannot allocate memory"),
        ("execve", "error=ENOMEM", "Cannot allocate memory"),
        ("execve", "error=EPERM", "Operation not permitted"),
        ("socketpair", "error=EMFILE", "Too many open files"),
    ] {
        let trace = Trace::of_all(server.server.now(), Fault::new(calls, what, 1));
        server.failures += 1;
        server.server.tell("HUP");
        let line = server.server.failed(server.failures);
        assert!(line.contains(why), "{calls} {what}: {line}");
        drop(trace);
        server.audience.is_served(&server.server);
    }
    server.ends();
}

#[test]
fn a_predecessor_that_is_killed_before_the_end_takes_its_successor_with_it() {
    if !strace::is_possible() {
        return;
    }
    for nth in 1..=OF_PREDECESSOR {
        let meeting = Meeting::start("");
        let _trace = Trace::of(meeting.server.pid(), Fault::new("sendmsg", KILL, nth));
        let (code, lines) = meeting.succeed("").end();
        assert_eq!((code, &lines[..]), (Some(3), &[ENDED.to_owned()][..]), "{nth}");
        assert_eq!(meeting.server.ended().0, None);
        let left = fs::read_dir(meeting.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["handover"], "what the killed one has left, and nothing else");
    }
}

const ENDED: &str = "[ERROR] cannot take over: the other process has ended";

#[test]
fn a_predecessor_that_is_stopped_before_the_end_goes_on_once_it_is_continued() {
    if !strace::is_possible() {
        return;
    }
    let mut meeting = Meeting::start("--handover-timeout 1");
    for nth in 1..OF_PREDECESSOR {
        let trace = Trace::of(meeting.server.pid(), Fault::new("sendmsg", STOP, nth));
        let (code, lines) = meeting.succeed("--handover-timeout 0.2").end();
        assert_eq!((code, lines.len()), (Some(3), 1), "{lines:?}");
        assert!(lines[0].ends_with("has said nothing in time (--handover-timeout)"), "{lines:?}");
        let published = published_while(&meeting.server, || {
            meeting.server.signal("CONT");
            meeting.failures += 1;
            meeting.server.failed(meeting.failures);
        });
        drop(trace);
        meeting.audience.hear(&published);
    }
    meeting.ends();
}

#[test]
fn a_predecessor_that_is_told_to_leave_at_any_message_leaves_or_has_the_successor_do_so() {
    if !strace::is_possible() {
        return;
    }
    let flags = "--drain-check-interval 3600";
    for nth in 1..=OF_PREDECESSOR {
        let mut meeting = Meeting::start(flags);
        let _trace = Trace::of(meeting.server.pid(), Fault::new("sendmsg", "signal=TERM", nth));
        let next = meeting.succeed(flags);
        let has_handed_over = nth == OF_PREDECESSOR;
        if has_handed_over {
            next.line("Waiting for ");
        } else {
            assert_eq!(meeting.server.failed(1), "it has been told to leave");
            meeting.server.line("Waiting for ");
        }
        meeting.audience.hear(&[]);
        drop(meeting.audience);
        assert_eq!(meeting.server.ended().0, Some(0));
        assert_eq!(next.end().0, Some(if has_handed_over { 0 } else { 3 }));
    }
}

#[test]
fn what_a_predecessor_has_handed_over_is_served_though_it_is_stopped_then_and_killed_or_continued() {
    if !strace::is_possible() {
        return;
    }
    for (name, code) in [("KILL", None), ("CONT", Some(0))] {
        let mut meeting = Meeting::start("");
        let trace = Trace::of(meeting.server.pid(), Fault::new("sendmsg", STOP, OF_PREDECESSOR));
        let next = meeting.succeed("");
        next.line("] Took over ");
        until_state(meeting.server.pid(), "t");
        meeting.audience.is_served(&next);
        drop(trace);
        meeting.server.signal(name);
        assert_eq!(meeting.server.ended().0, code);
        meeting.audience.is_served(&next);
    }
}
