//! Any process of a hand-over with workers is killed, stopped or refused something by the kernel at each step: a supervisor or
//! a worker, of the old server or of the next. There is always one that goes on with everything.

use std::thread;
use std::time::Instant;

use slackwater::wire::link::VERSION;
use support::PATIENCE;

use super::crew::Crew;
use super::handing_over::Meeting;
use super::program::Program;
use crate::audience::{Audience, published_while};
use crate::handing_over::faults::told;
use crate::process::{BINARY, signal};
use crate::strace::{self, Fault, Trace};

const KILL: &str = "signal=KILL";
const STOP: &str = "signal=STOP";

/// A worker of the successor's, as its supervisor says, or as somebody notices who has sent it something.
const HAS_ENDED: &str = " has ended";

const FAILED: &str = "[WARNING] Hand-over failed, this process goes on: ";

/// Messages of one process, at most, beyond those after which all is handed over.
const MANY: usize = 20;

/// In which process of a server it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Supervisor,
    Worker,
}

use Place::{Supervisor, Worker};

/// A server that hands over to others, of which all fail but the last.
struct Scene {
    meeting: Meeting,
    old: Crew,
    audience: Audience,
    /// Those of the next.
    flags: String,
    failures: usize,
}

/// What has come of one hand-over.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The old one says that it goes on, and why.
    Failed(String),
    /// The next one says that it takes nothing over.
    Declined,
    TookOver,
}

impl Scene {
    fn start(from: &str, to: &str) -> Self {
        let meeting = Meeting::new();
        let old = meeting.start(&format!("{from} --timeout-worker-healthcheck 60"));
        let audience = Audience::of(&old);
        Self { meeting, old, audience, flags: to.to_owned(), failures: 0 }
    }

    /// The next one, in which it happens.
    fn succeed_with(&self, place: Place, fault: Fault) -> (Crew, Trace, Program) {
        let (trace, program) = (Trace::new(), Program::new());
        let mut command = match place {
            Supervisor => self.meeting.command(trace.command(BINARY, fault), &self.flags),
            Worker => {
                let traced = trace.script(BINARY, fault);
                program.replace(&format!(
                    r#"case "$_SLACKWATER_WORKER" in "{VERSION} 1 "*) {traced};; esac; exec {BINARY} "$@""#
                ));
                self.meeting.command(program.command(""), &self.flags)
            }
        };
        let port = self.old.address().port().to_string();
        (Crew::spawn_only(command.env("SLACKWATER_PORT", port)), trace, program)
    }

    /// Why the old one has gone on, if it says so for once more.
    fn failure(&self) -> Option<String> {
        let lines = self.old.lines();
        let mut failures = lines.iter().filter_map(|line| line.strip_prefix(FAILED));
        failures.nth(self.failures).map(str::to_owned)
    }

    fn outcome(&self, new: &Crew) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lines = new.lines();
            let has_said = |part: &str| lines.iter().any(|line| line.contains(part));
            match self.failure() {
                Some(why) => return Outcome::Failed(why),
                None if has_said("] Took over ") => return Outcome::TookOver,
                None if has_said("[ERROR] cannot take over: ") => return Outcome::Declined,
                None => {}
            }
            assert!(Instant::now() < deadline, "nothing comes of it: {:#?} {lines:#?}", self.old.lines());
            thread::yield_now();
        }
    }

    /// It happens in the next server: the old one goes on and says why, and nobody notices.
    fn goes_on(&mut self, place: Place, fault: Fault, why: &str) {
        let mut said = String::new();
        let published = published_while(&self.old, || {
            let (new, trace, _program) = self.succeed_with(place, fault);
            let outcome = self.outcome(&new);
            assert_ne!(outcome, Outcome::TookOver, "{place:?} {fault:?}: {:#?}", new.lines());
            self.old.count(FAILED, self.failures + 1);
            said = self.failure().unwrap();
            if fault.what == STOP && place == Supervisor {
                new.signal("CONT");
            }
            let (_, lines) = new.end();
            assert!(trace.has_happened(), "{place:?} {fault:?}: {said}");
            assert!(!lines.iter().any(|line| line.contains("panicked")), "{lines:#?}");
        });
        self.failures += 1;
        assert!(said.contains(why), "{place:?} {fault:?}: {said}");
        self.audience.hear(&published);
    }

    /// It happens in the old server, which goes on and says why. Gives back the line.
    fn goes_on_itself(&mut self, place: Place, fault: Fault) -> String {
        let trace = Trace::of(self.process(place), fault);
        let new = self.meeting.succeed(&self.old, &self.flags);
        self.old.count(FAILED, self.failures + 1);
        let said = self.failure().unwrap();
        assert!(trace.has_happened(), "{place:?} {fault:?}: {said}");
        self.failures += 1;
        let (code, lines) = new.end();
        let errors: Vec<String> = lines.into_iter().filter(|line| line.starts_with("[ERROR]")).collect();
        assert_eq!((code, errors), (Some(3), vec![told(&said)]), "{place:?} {fault:?}");
        said
    }

    /// A process of the old server.
    fn process(&self, place: Place) -> u32 {
        match place {
            Supervisor => self.old.pid(),
            Worker => self.old.process(1, 1),
        }
    }

    /// The next one takes over, and nothing has failed beside what should.
    fn ends(mut self) {
        let new = self.meeting.succeed(&self.old, &self.flags);
        new.line("] Took over ");
        let (code, lines) = self.old.end();
        assert_eq!(code, Some(0));
        assert_eq!(lines.iter().filter(|line| line.starts_with(FAILED)).count(), self.failures, "{lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("panicked")), "{lines:#?}");
        self.audience.is_served(&new);
    }
}

/// The messages of a supervisor that takes over are these many before it has everything: that it is there, channels if it takes
/// over from workers, that it could serve, two to its workers for each of these, that it has everything.
fn is_killed_at_any_message(from: &str, to: &str, of_supervisor: usize, of_worker: usize) {
    let mut scene = Scene::start(from, to);
    for nth in 1..=of_supervisor {
        scene.goes_on(Supervisor, Fault::new("sendmsg", KILL, nth), "the successor has ended before it had ");
    }
    for nth in 1..=of_worker {
        scene.goes_on(Worker, Fault::new("sendmsg", KILL, nth), HAS_ENDED);
    }
    scene.ends();
}

#[test]
fn a_process_of_a_successor_with_workers_may_be_killed_at_any_message() {
    if strace::is_possible() {
        is_killed_at_any_message("--workers 2", "--workers 2", 6, 2);
    }
}

#[test]
fn a_process_of_a_successor_of_one_process_may_be_killed_at_any_message() {
    if strace::is_possible() {
        is_killed_at_any_message("--workers 1", "--workers 2", 5, 2);
    }
}

#[test]
fn a_single_successor_of_workers_may_be_killed_at_any_message() {
    if strace::is_possible() {
        is_killed_at_any_message("--workers 2", "--workers 1", 7, 0);
    }
}

#[test]
fn a_process_of_a_successor_may_be_stopped_at_any_message() {
    if !strace::is_possible() {
        return;
    }
    let mut scene = Scene::start("--workers 2 --handover-timeout 2", "--workers 2");
    for (place, nth) in [(Supervisor, 1), (Supervisor, 3), (Supervisor, 5), (Worker, 1)] {
        scene.goes_on(place, Fault::new("sendmsg", STOP, nth), "in time (--handover-timeout)");
    }
    scene.ends();
}

#[test]
fn a_process_of_a_successor_may_be_refused_something_by_the_kernel() {
    if !strace::is_possible() {
        return;
    }
    let mut scene = Scene::start("--workers 2", "--workers 2");
    let worker = HAS_ENDED;
    for (place, calls, what, nths, why) in [
        (Supervisor, "recvmsg", "error=ENOMEM", &[2, 3][..], "the successor "),
        (Supervisor, "socketpair", "error=EMFILE", &[3], "the successor says: Too many open files"),
        (Supervisor, "socketpair", "error=EMFILE", &[5], worker),
        (Supervisor, "epoll_ctl", "error=ENOMEM", &[2], "the successor says: Cannot allocate memory"),
        (Supervisor, "clone,clone3,fork,vfork", "error=EAGAIN", &[1, 2], worker),
        (Worker, "sendmsg", "error=ENOBUFS", &[1, 2], worker),
        (Worker, "recvmsg", "error=ENOMEM", &[1], worker),
        (Worker, "epoll_ctl", "error=ENOMEM", &[1, 4], worker),
        (Worker, "getsockopt", "error=ENOBUFS", &[1], worker),
    ] {
        nths.iter().for_each(|nth| scene.goes_on(place, Fault::new(calls, what, *nth), why));
    }
    scene.ends();
}

#[test]
fn a_process_of_a_server_that_hands_over_may_be_refused_something_by_the_kernel() {
    if !strace::is_possible() {
        return;
    }
    let mut scene = Scene::start("--workers 2", "--workers 2");
    for (place, calls, what, nths, why) in [
        (Supervisor, "sendmsg", "error=ENOBUFS", &[1, 2][..], "cannot hand over: No buffer space available"),
        (Supervisor, "recvmsg", "error=ENOMEM", &[1, 4], "cannot hand over: Cannot allocate memory"),
        (Supervisor, "epoll_ctl", "error=ENOMEM", &[1], "Cannot allocate memory"),
        (Supervisor, "memfd_create", "error=EMFILE", &[1], "cannot hand over: Too many open files"),
        (Worker, "sendmsg", "error=ENOBUFS", &[1, 2], "cannot hand over: No buffer space available"),
        (Worker, "recvmsg", "error=ENOMEM", &[1, 2], "cannot hand over: Cannot allocate memory"),
        (Worker, "epoll_ctl", "error=ENOMEM", &[1], "cannot hand over: Cannot allocate memory"),
        (Worker, "memfd_create", "error=EMFILE", &[1], "cannot hand over: Too many open files"),
        (Worker, "fcntl", "error=EPERM", &[1], "cannot hand over: Operation not permitted"),
    ] {
        for nth in nths {
            let said = scene.goes_on_itself(place, Fault::new(calls, what, *nth));
            assert!(said.contains(why), "{place:?} {calls} {what} {nth}: {said}");
            scene.audience.is_served(&scene.old);
        }
    }
    // Who cannot be accepted at once is accepted later.
    let trace = Trace::of(scene.old.pid(), Fault::new("accept4", "error=EMFILE", 1));
    scene.ends();
    assert!(trace.has_happened());
}

#[test]
fn a_successor_is_told_why_its_predecessor_goes_on_whether_either_is_one_process_or_several() {
    if !strace::is_possible() {
        return;
    }
    for (from, to) in [("1", "1"), ("1", "2"), ("2", "1"), ("3", "2")] {
        let mut scene = Scene::start(&format!("--workers {from}"), &format!("--workers {to}"));
        for (calls, what, nth) in [
            ("memfd_create", "error=EMFILE", 1),
            ("sendmsg", "error=ENOBUFS", 2),
            ("epoll_ctl", "error=ENOMEM", 1),
            ("sendmsg", "signal=TERM", 1),
        ] {
            scene.goes_on_itself(Supervisor, Fault::new(calls, what, nth));
        }
    }
}

#[test]
fn a_server_of_which_a_process_is_only_interrupted_hands_over() {
    if !strace::is_possible() {
        return;
    }
    for (place, calls, nth) in [
        (Supervisor, "recvmsg", 1),
        (Supervisor, "recvmsg", 4),
        (Supervisor, "sendmsg", 5),
        (Worker, "recvmsg", 2),
    ] {
        let scene = Scene::start("--workers 2", "--workers 2");
        let trace = Trace::of(scene.process(place), Fault::new(calls, "error=EINTR", nth));
        scene.ends();
        assert!(trace.has_happened(), "{place:?} {calls} {nth}");
    }
}

#[test]
fn a_worker_that_is_stopped_when_it_moves_its_connections_lets_all_go_on() {
    if !strace::is_possible() {
        return;
    }
    let mut scene = Scene::start("--workers 2 --handover-timeout 2", "--workers 2");
    for nth in 1..=2 {
        let said = scene.goes_on_itself(Worker, Fault::new("sendmsg", STOP, nth));
        assert!(said.contains("in time (--handover-timeout)"), "{said}");
        signal(scene.process(Worker), "CONT");
        scene.audience.is_served(&scene.old);
    }
    scene.ends();
}

#[test]
fn a_worker_that_is_killed_when_it_moves_its_connections_lets_all_others_go_on() {
    if !strace::is_possible() {
        return;
    }
    for nth in 1..=2 {
        let meeting = Meeting::new();
        let old = meeting.start("--workers 2");
        let mut clients = old.clients(2);
        let killed = old.process(1, 1);
        let _trace = Trace::of(killed, Fault::new("sendmsg", KILL, nth));
        let new = meeting.succeed(&old, "--workers 2");
        let why = "one of its workers has left or ended meanwhile";
        assert_eq!(old.line(FAILED), format!("{FAILED}{why}"));
        let (code, lines) = new.end();
        assert_eq!(code, Some(3));
        assert!(lines.contains(&told(why)), "{lines:#?}");
        clients.remove(&killed);
        clients.values_mut().flatten().for_each(|client| client.echo("x"));
        old.client_of(old.process(1, 2)).leave();
    }
}

#[test]
fn the_workers_of_a_supervisor_that_is_killed_before_the_end_go_on_serving_until_their_clients_have_left() {
    if !strace::is_possible() {
        return;
    }
    let mut has_ended = false;
    for nth in 1..=MANY {
        let mut scene = Scene::start("--workers 2 --handover-timeout 2", "--workers 2");
        let _trace = Trace::of(scene.old.pid(), Fault::new("sendmsg", KILL, nth));
        let new = scene.meeting.succeed(&scene.old, "--workers 2");
        has_ended = match scene.outcome(&new) {
            Outcome::Failed(why) => panic!("{nth}: it is killed, and says {why}"),
            Outcome::TookOver => true,
            Outcome::Declined => {
                assert_eq!(new.end().0, Some(3));
                false
            }
        };
        // Nobody is cut, whoever serves them.
        scene.audience.hear(&[]);
        if has_ended {
            break;
        }
        drop(scene.audience);
        assert_eq!(scene.old.end().0, None);
    }
    assert!(has_ended, "at last all is handed over");
}

#[test]
fn the_workers_of_a_supervisor_that_is_stopped_serve_meanwhile_or_have_handed_over() {
    if !strace::is_possible() {
        return;
    }
    let mut scene = Scene::start("--workers 2 --handover-timeout 0.5", "--workers 2 --handover-timeout 0.5");
    let mut has_ended = false;
    for nth in 1..=MANY {
        let trace = Trace::of(scene.old.pid(), Fault::new("sendmsg", STOP, nth));
        let new = scene.meeting.succeed(&scene.old, &scene.flags);
        has_ended = scene.outcome(&new) == Outcome::TookOver;
        scene.audience.hear(&[]);
        assert!(trace.has_happened(), "{nth}");
        drop(trace);
        scene.old.signal("CONT");
        if has_ended {
            scene.audience.is_served(&new);
            assert_eq!(scene.old.end().0, Some(0));
            break;
        }
        scene.old.count(FAILED, scene.failures + 1);
        scene.failures += 1;
        assert_eq!(new.end().0, Some(3));
        scene.audience.is_served(&scene.old);
    }
    assert!(has_ended, "at last all is handed over");
}
