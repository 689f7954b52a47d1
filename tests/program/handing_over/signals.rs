//! Signals that come while a server hands over.

use slackwater::wire::handover::message::ToSuccessor;

use super::rollback::StandIn;
use super::server::Server;
use crate::process::signal;
use crate::workers::crew::stop;
use crate::workers::program::{Gate, Program};

/// One process, and several workers.
const EITHER: [usize; 2] = [1, 2];

fn begun(workers: usize) -> (Program, Server, Gate) {
    let program = Program::new();
    let flags = format!("--workers {workers} --handover-timeout 20 --drain-check-interval 3600");
    let server = Server::spawn(&mut program.command(&flags));
    let gate = program.gate_for_all();
    server.tell("HUP");
    (program, server, gate)
}

#[test]
fn a_second_one_to_hand_over_changes_nothing() {
    for workers in EITHER {
        let (_program, server, gate) = begun(workers);
        let mut client = server.client();
        let _waiting = gate.reached();
        server.tell("HUP");
        server.line("[WARNING] Not handing over: another process is about to take over");
        gate.open();
        server.handed_over();
        client.echo("x");
    }
}

#[test]
fn one_to_leave_ends_it_and_the_server_leaves_as_ever() {
    for workers in EITHER {
        let (_program, server, gate) = begun(workers);
        let mut client = server.client();
        let waiting = gate.reached();
        server.tell("TERM");
        assert_eq!(server.failed(1), "it has been told to leave");
        server.line("Waiting for 1");
        client.echo("x");
        client.leave();
        drop(waiting);
        assert_eq!(server.ended().0, Some(0));
    }
}

#[test]
fn one_to_leave_that_comes_when_nobody_is_heard_any_more_is_obeyed_by_the_old_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("handover");
    let server = Server::start(&format!(
        "--handover-timeout 20 --drain-check-interval 3600 --handover {}",
        path.display()
    ));
    let mut client = server.client();
    let mut successor = StandIn::connect(&path);
    successor.greet();
    successor.get_ready();
    server.tell("TERM");
    assert_eq!(successor.take_batches(), ToSuccessor::abort(&"it has been told to leave"));
    assert_eq!(server.failed(1), "it has been told to leave");
    server.line("Waiting for 1");
    client.echo("x");
    client.leave();
    assert_eq!(server.ended().0, Some(0));
    assert!(!path.exists());
}

#[test]
fn a_server_that_leaves_hands_over_to_nobody() {
    for workers in EITHER {
        let server = Server::start(&format!("--workers {workers} --drain-check-interval 3600"));
        let mut client = server.client();
        server.tell("TERM");
        server.line("Waiting for 1");
        server.tell("HUP");
        server.line("[WARNING] Not handing over: the server leaves already");
        client.echo("x");
        client.leave();
        assert_eq!(server.ended().0, Some(0));
    }
}

/// The process of the successor that was started.
fn successor(server: &Server) -> u32 {
    let line = server.line("] Started /");
    line.rsplit_once(" as process ").unwrap().1.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_successor_that_is_told_to_leave_while_its_predecessor_is_stopped_ends_at_once() {
    for workers in EITHER {
        let (_program, server, gate) = begun(workers);
        let mut client = server.client();
        let successor = successor(&server);
        stop(server.now());
        signal(successor, "TERM");
        gate.open();
        server.line("[INFO] Told to leave before anything was taken over");
        server.tell("CONT");
        assert_eq!(server.failed(1), "the successor says: it has been told to leave");
        client.echo("x");
    }
}

#[test]
fn a_successor_that_is_killed_is_none() {
    for workers in EITHER {
        let (_program, server, gate) = begun(workers);
        let mut client = server.client();
        let _waiting = gate.reached();
        signal(successor(&server), "KILL");
        assert_eq!(server.failed(1), "the successor has ended before it had said what it is");
        client.echo("x");
    }
}

#[test]
fn a_predecessor_that_is_killed_takes_its_successor_with_it() {
    for workers in EITHER {
        let (_program, server, gate) = begun(workers);
        let waiting = gate.reached();
        server.tell("KILL");
        drop(waiting);
        let (code, lines) = server.ended();
        assert_eq!(code, None);
        // Workers say that they leave, too, before that or after it.
        let said = "[ERROR] cannot take over: the other process has ended";
        assert_eq!(lines.iter().filter(|line| line.starts_with(said)).count(), 1, "{lines:?}");
    }
}
