//! A server with workers hands everything over to another: as many workers as it likes on either side, one process among
//! them. Nobody is disconnected, whoever fails on the way.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use slackwater::wire::link::VERSION;
use support::client::Client;
use support::publisher::Publisher;
use tempfile::TempDir;

use super::crew::{Crew, stop};
use super::program::{Program, mark_of};
use crate::audience::{Audience, published_while};
use crate::handing_over::two_starts::half_publisher;
use crate::process::{BINARY, signal};

/// Where a server and its successors meet.
pub struct Meeting(TempDir);

impl Meeting {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The server that is there, or the next.
    pub fn command(&self, program: impl Into<Command>, flags: &str) -> Command {
        let mut command = program.into();
        command.args(flags.split_whitespace()).arg("--handover").arg(self.0.path().join("handover"));
        command
    }

    pub fn start(&self, flags: &str) -> Crew {
        Crew::spawn(&mut self.command(Command::new(BINARY), flags))
    }

    /// Takes over from the one that listens at this port; waits for nothing.
    pub fn succeed(&self, old: &Crew, flags: &str) -> Crew {
        let mut command = self.command(Command::new(BINARY), flags);
        Crew::spawn_only(command.env("SLACKWATER_PORT", old.address().port().to_string()))
    }
}

fn all_move(from: &str, to: &str) {
    let meeting = Meeting::new();
    let old = meeting.start(from);
    let mut audience = Audience::of(&old);
    let mut new = None;
    let published = published_while(&old, || {
        let successor = meeting.succeed(&old, to);
        successor.line("] Took over ");
        new = Some(successor);
    });
    audience.hear(&published);
    let new = new.unwrap();
    assert_eq!(old.end().0, Some(0));
    Publisher::connect(new.address()).publish("behind it");
    audience.hear(&["behind it".to_owned()]);
    assert_eq!(new.address(), new.client().stream().peer_addr().unwrap());
}

#[test]
fn as_many_workers_take_over_from_workers() {
    all_move("--workers 2", "--workers 2");
}

#[test]
fn more_workers_take_over_from_workers() {
    all_move("--workers 2", "--workers 3");
}

#[test]
fn fewer_workers_take_over_from_workers() {
    all_move("--workers 4", "--workers 2");
}

#[test]
fn one_process_takes_over_from_workers() {
    all_move("--workers 3", "--workers 1");
}

#[test]
fn workers_take_over_from_one_process() {
    all_move("--workers 1", "--workers 2");
}

#[test]
fn workers_hand_over_at_sighup_to_the_program_that_is_there_now() {
    let program = Program::new();
    let crew = Crew::spawn(&mut program.command("--workers 2"));
    let mut audience = Audience::of(&crew);
    // The successor has the same flags, and so as many workers as they say.
    crew.signal("TTIN");
    let old = [crew.process(1, 1), crew.process(2, 1), crew.process(3, 1)];
    let serves = format!("({}): Client connected", old[2]);
    while !crew.lines().iter().any(|line| line.contains(&serves)) {
        crew.client().leave();
    }
    let first = Publisher::connect(crew.address()).publish("ahead of it");
    program.mark("new");
    let published = published_while(&crew, || _ = crew.hand_over());
    audience.hear(&[&["ahead of it".to_owned()], &published[..]].concat());
    for pid in old {
        crew.line(&format!("Worker process {pid} has ended: exit status: 0"));
    }
    let fresh = [crew.process(1, 2), crew.process(2, 2)];
    assert_eq!(crew.children(), fresh);
    assert!(fresh.iter().all(|pid| mark_of(*pid).as_deref() == Some("new")));
    let mut back = Client::resume(crew.address(), &first);
    assert_eq!(back.welcome["resumed"], true);
    assert!(published.iter().all(|text| back.hear_data() == text.as_str()));
    crew.tell("TERM");
    drop((audience, back));
    assert_eq!(crew.end().0, Some(0));
}

#[test]
fn what_a_worker_could_not_move_is_said_of_it_and_all_else_of_all_together() {
    let meeting = Meeting::new();
    let old = meeting.start("--workers 2");
    let (_client, publisher) = (old.client(), half_publisher(&old));
    let new = meeting.succeed(&old, "--workers 2");
    new.line("] Took over 1 connections from process ");
    old.line("; 1 could not be moved");
    drop(publisher);
    let (_, lines) = old.end();
    let levels = |part: &str| -> Vec<String> {
        let said = lines.iter().filter(|line| line.contains("): Handed over ") && line.ends_with(part));
        said.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    assert_eq!(levels("; 1 could not be moved"), ["[INFO]"], "{lines:#?}");
    assert_eq!(levels("; 0 could not be moved"), ["[DEBUG]"], "{lines:#?}");
}

/// A server one of whose two workers waits until this is dropped.
fn half_begun(program: &Program) -> (Crew, File) {
    let gate = program.gate(2);
    let crew = Crew::spawn_only(program.command("--workers 2").stdin(Stdio::null()));
    let waiting = gate.reached();
    crew.process(1, 1);
    (crew, waiting)
}

#[test]
fn a_server_that_is_starting_hands_over_what_it_has() {
    let program = Program::new();
    let (crew, _waiting) = half_begun(&program);
    program.mark("new");
    crew.signal("HUP");
    crew.line("Worker 2 has not served yet: ending it");
    crew.line("] Serving ");
    crew.line("] Handed over ");
    crew.client().leave();
}

#[test]
fn a_server_that_is_starting_goes_on_with_that_if_nothing_comes_of_it() {
    let program = Program::new();
    let (crew, waiting) = half_begun(&program);
    program.replace("exit 7");
    crew.signal("HUP");
    crew.failed(1);
    drop(waiting);
    assert_eq!(crew.met(), [crew.process(1, 1), crew.process(2, 1)].into());
}

#[test]
fn a_server_whose_workers_do_not_start_any_more_hands_over_to_one_whose_workers_do() {
    let program = Program::new();
    let crew = Crew::spawn(&mut program.command("--workers 2"));
    let id = Publisher::connect(crew.address()).publish("one");
    program.replace("exit 7");
    crew.children().into_iter().for_each(|pid| signal(pid, "KILL"));
    for number in [1, 2] {
        crew.line(&format!("Worker {number} ended with exit code 7: starting another in 0.25 s"));
    }
    program.mark("mended");
    crew.hand_over();
    Publisher::connect(crew.address()).publish("two");
    assert_eq!(Client::resume(crew.address(), &id).hear_data(), "two");
    crew.tell("TERM");
    assert_eq!(crew.end().0, Some(0));
}

#[test]
fn a_worker_of_another_version_says_what_to_do_and_that_helps() {
    let program = Program::new();
    let crew = Crew::spawn(&mut program.command("--workers 2"));
    let mut client = crew.client_of(crew.process(2, 1));
    // What a supervisor that speaks otherwise would have told it.
    program.replace(&format!(r#"_SLACKWATER_WORKER="0 ${{_SLACKWATER_WORKER#* }}" exec {BINARY} "$@""#));
    signal(crew.process(1, 1), "KILL");
    let line = crew.line("[ERROR] cannot work for a supervisor of another version");
    assert!(line.ends_with("send that one SIGHUP, so that it hands over to this one"), "{line}");
    crew.line("Worker 1 ended with exit code 3: starting another in");
    client.echo("x");
    program.mark("new");
    crew.hand_over();
    client.echo("x");
}

/// The successor does not take over, and all go on.
fn all_go_on(fail: impl FnOnce(&Meeting, &Crew) -> Crew, why: &str) {
    let meeting = Meeting::new();
    let old = meeting.start("--workers 2 --handover-timeout 2");
    let mut audience = Audience::of(&old);
    // However few of those one worker may have.
    let _others = old.clients(12);
    let published = published_while(&old, || {
        let successor = fail(&meeting, &old);
        old.line("[WARNING] Hand-over failed, this process goes on: ");
        assert!(old.line("Hand-over failed").contains(why), "{:#?}", old.lines());
        drop(successor);
    });
    audience.hear(&published);
    // Nothing is in the way of the next.
    let new = meeting.succeed(&old, "--workers 2");
    new.line("] Took over ");
    assert_eq!(old.end().0, Some(0));
    Publisher::connect(new.address()).publish("at last");
    audience.hear(&["at last".to_owned()]);
}

/// One that is started by a script, where workers of this number do so.
fn with_worker(deed: &'static str) -> impl FnOnce(&Meeting, &Crew) -> Crew {
    move |meeting, old| {
        let program = Program::new();
        program.replace(&format!(
            r#"case "$_SLACKWATER_WORKER" in "{VERSION} 2 "*) {deed};; esac; exec {BINARY} "$@""#
        ));
        let mut command = meeting.command(program.command(""), "--workers 2");
        let port = old.address().port().to_string();
        let crew = Crew::spawn_only(command.env("SLACKWATER_PORT", port));
        crew.until_silent();
        crew
    }
}

#[test]
fn a_new_worker_that_does_not_start_lets_all_go_on() {
    all_go_on(with_worker("exit 7"), "has ended");
}

#[test]
fn a_new_worker_that_lacks_descriptors_lets_all_go_on() {
    all_go_on(with_worker("ulimit -n 16"), "the successor");
}

#[test]
fn a_new_worker_that_hangs_lets_all_go_on() {
    all_go_on(with_worker("kill -STOP $$"), "made itself ready in time (--handover-timeout)");
}

#[test]
fn a_worker_that_hangs_lets_all_go_on_that_are_not_its_own() {
    let meeting = Meeting::new();
    let old = meeting.start("--workers 2 --handover-timeout 1");
    let mut clients = old.clients(2);
    let stopped = old.process(2, 1);
    stop(stopped);
    let new = meeting.succeed(&old, "--workers 2");
    old.line(
        "[WARNING] Hand-over failed, this process goes on: the successor has not taken everything in time",
    );
    signal(stopped, "CONT");
    clients.values_mut().flatten().for_each(|client| client.echo("x"));
    new.until_silent();
}

#[test]
fn a_worker_that_is_killed_meanwhile_lets_all_others_go_on() {
    let meeting = Meeting::new();
    let old = meeting.start("--workers 2 --handover-timeout 60 --timeout-worker-healthcheck 60");
    let mut clients = old.clients(2);
    let killed = old.process(2, 1);
    stop(killed);
    let new = meeting.succeed(&old, "--workers 2");
    old.line("Handing over to process");
    signal(killed, "KILL");
    old.line(
        "[WARNING] Hand-over failed, this process goes on: one of its workers has left or ended meanwhile",
    );
    let others = clients.iter_mut().filter(|(pid, _)| **pid != killed);
    others.flat_map(|(_, clients)| clients).for_each(|client| client.echo("x"));
    new.until_silent();
    let third = old.process(2, 2);
    old.client_of(third).leave();
}

#[test]
fn clients_of_a_worker_that_leaves_alone_move_as_all_others() {
    let meeting = Meeting::new();
    let old = meeting.start("--workers 3 --no-drain-notice");
    let mut audience = Audience::of(&old);
    signal(old.process(1, 1), "TERM");
    old.signal("TTOU");
    old.count("Graceful shutdown initiated", 2);
    audience.is_served(&old);
    let mut new = None;
    let published = published_while(&old, || {
        let successor = meeting.succeed(&old, "--workers 2");
        successor.line("] Took over 19 connections");
        new = Some(successor);
    });
    audience.hear(&published);
    assert_eq!(old.end().0, Some(0));
    audience.is_served(&new.unwrap());
}

/// Sockets that listen at this port, by proc_net_tcp(5).
pub fn listening_at(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().filter(|line| line.contains(&format!("0100007F:{port:04X} 00000000:0000 0A"))).count()
}

#[test]
fn there_are_no_more_listening_sockets_than_there_have_been_workers_at_once() {
    let meeting = Meeting::new();
    let mut server = meeting.start("--workers 2");
    let port = server.address().port();
    for (workers, sockets) in [(1, 2), (2, 2), (1, 2), (3, 3), (2, 3), (1, 3), (3, 3), (2, 3)] {
        let next = meeting.succeed(&server, &format!("--workers {workers}"));
        next.line("] Took over ");
        assert_eq!(server.end().0, Some(0));
        assert_eq!(listening_at(port), sockets, "{workers} workers");
        server = next;
    }
    let clients = server.clients(2);
    assert_eq!(clients.len(), 2);
}
