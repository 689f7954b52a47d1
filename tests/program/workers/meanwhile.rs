//! What comes while a server with workers hands over: signals, further starts, and workers that end.

use std::thread;
use std::time::Instant;

use support::PATIENCE;

use super::crew::{Crew, stop, until_state};
use super::handing_over::Meeting;
use super::program::{Gate, Program};
use crate::process::{BINARY, signal};
use crate::strace::{self, Fault, Trace};

fn begun() -> (Program, Crew, Gate) {
    begun_with(2)
}

/// Its successor waits at the gate.
fn begun_with(workers: usize) -> (Program, Crew, Gate) {
    let program = Program::new();
    let flags = format!("--workers {workers} --handover-timeout 20 --drain-check-interval 3600");
    let crew = Crew::spawn(&mut program.command(&flags));
    let gate = program.gate_for_all();
    crew.signal("HUP");
    (program, crew, gate)
}

/// The process of the successor.
fn successor(crew: &Crew) -> u32 {
    let line = crew.line("to hand over to");
    line.rsplit_once(" as process ").unwrap().1.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_second_signal_to_hand_over_changes_nothing() {
    let (_program, crew, gate) = begun();
    let mut client = crew.client();
    let _waiting = gate.reached();
    crew.signal("HUP");
    crew.line("[WARNING] Not handing over: another process is about to take over");
    gate.open();
    crew.line("] Took over 1 connections from process ");
    client.echo("x");
}

#[test]
fn one_to_leave_ends_it_and_the_workers_leave_as_ever() {
    let (_program, crew, gate) = begun();
    let mut client = crew.client();
    let waiting = gate.reached();
    crew.signal("TERM");
    crew.line("[WARNING] Hand-over failed, this process goes on: it has been told to leave");
    crew.line("Waiting for 1");
    client.echo("x");
    client.leave();
    drop(waiting);
    assert_eq!(crew.end().0, Some(0));
}

#[test]
fn one_for_more_or_fewer_workers_is_obeyed_once_by_whoever_serves_then() {
    for (name, is_handed_over) in [("TTIN", true), ("TTIN", false), ("TTOU", true), ("TTOU", false)] {
        let (_program, crew, gate) = begun_with(3);
        let mut client = crew.client();
        let waiting = gate.reached();
        crew.signal(name);
        if is_handed_over {
            gate.open();
            crew.handed_over();
        } else {
            signal(successor(&crew), "KILL");
            crew.line("[WARNING] Hand-over failed, this process goes on: the successor has ended");
        }
        drop(waiting);
        let servers = 1 + usize::from(is_handed_over);
        let started = if name == "TTIN" {
            crew.process(4, 1);
            [servers, servers, servers, 1, 1, 0]
        } else {
            let third = crew.process(3, servers);
            crew.line(&format!("worker 3 ({third}): Graceful shutdown initiated"));
            [servers, servers, servers + 1, 0, 0, 0]
        };
        // If it is obeyed twice, this one starts another worker than it should.
        crew.tell("TTIN");
        crew.count("Started worker ", started.iter().sum());
        client.echo("x");
        client.leave();
        crew.tell("TERM");
        let lines = crew.end().1;
        assert_eq!([1, 2, 3, 4, 5, 6].map(|number| starts(&lines, number)), started, "{name}: {lines:#?}");
    }
}

/// How often a worker of this number was started.
fn starts(lines: &[String], number: usize) -> usize {
    let start = format!("Started worker {number} as process ");
    lines.iter().filter(|line| line.contains(&start)).count()
}

#[test]
fn only_one_successor_takes_over_at_a_time_also_while_that_has_not_served_yet() {
    let meeting = Meeting::new();
    let old = meeting.start("--workers 2");
    let mut client = old.client();
    let program = Program::new();
    let gate = program.gate(2);
    let mut command = meeting.command(program.command(""), "--workers 2");
    let one = Crew::spawn_only(command.env("SLACKWATER_PORT", old.address().port().to_string()));
    let _waiting = gate.reached();
    // Both listen where successors come in, and neither knows when it is the other's turn.
    for _ in 0..4 {
        let (code, lines) = meeting.succeed(&old, "--workers 2").end();
        assert_eq!(code, Some(3));
        let why = "[ERROR] cannot take over: the other process says: another process is about to take over";
        assert!(lines.iter().any(|line| line == why), "{lines:#?}");
    }
    gate.open();
    one.line("] Took over 1 connections from process ");
    client.echo("x");
}

#[test]
fn a_worker_that_has_ended_just_before_has_nothing_to_hand_over_and_all_others_have() {
    let program = Program::new();
    let crew = Crew::spawn(&mut program.command("--workers 2"));
    let mut clients = crew.clients(2);
    let killed = crew.process(1, 1);
    stop(crew.pid());
    signal(killed, "KILL");
    until_state(killed, "Z");
    crew.signal("HUP");
    crew.signal("CONT");
    crew.line("] Took over 2 connections from process ");
    clients.remove(&killed);
    clients.values_mut().flatten().for_each(|client| client.echo("x"));
}

#[test]
fn a_worker_of_the_successors_that_is_told_to_leave_does_so_once_it_serves() {
    let meeting = Meeting::new();
    let old = meeting.start("--workers 2");
    let mut clients: Vec<_> = (0..8).map(|_| old.client()).collect();
    let program = Program::new();
    let gate = program.gate(2);
    let mut command = meeting.command(program.command(""), "--workers 2");
    let new = Crew::spawn_only(command.env("SLACKWATER_PORT", old.address().port().to_string()));
    let _waiting = gate.reached();
    let told = new.process(1, 1);
    // Ahead of that it has not taken its signals yet.
    new.line(&format!("worker 1 ({told}): At most "));
    signal(told, "TERM");
    gate.open();
    new.line("] Took over 8 connections from process ");
    new.line(&format!("worker 1 ({told}): Shutdown signal received"));
    clients.iter_mut().for_each(|client| client.echo("x"));
}

/// What has come of it in one of the two servers, as the one that goes on leaves: whether that is the old one.
fn leaves(old: &Crew, new: &Crew) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let is_waiting = |crew: &Crew| crew.lines().iter().any(|line| line.contains("Waiting for 1 "));
        match (is_waiting(old), is_waiting(new)) {
            (true, _) => return true,
            (_, true) => return false,
            _ => thread::yield_now(),
        }
    }
    panic!("nobody leaves: {:#?} {:#?}", old.lines(), new.lines());
}

#[test]
fn a_supervisor_that_is_told_to_leave_at_any_message_leaves_or_has_the_successor_do_so() {
    if !strace::is_possible() {
        return;
    }
    for nth in 1.. {
        let meeting = Meeting::new();
        let old = meeting.start("--workers 2 --drain-check-interval 3600");
        let mut client = old.client();
        let trace = Trace::of(old.pid(), Fault::new("sendmsg", "signal=TERM", nth));
        let new = meeting.succeed(&old, "--workers 2 --drain-check-interval 3600");
        let is_old = leaves(&old, &new);
        assert!(trace.has_happened(), "{nth}");
        client.echo("x");
        client.leave();
        let (code, lines) = old.end();
        let told = "[WARNING] Hand-over failed, this process goes on: it has been told to leave";
        assert_eq!((code, lines.iter().any(|line| line == told)), (Some(0), is_old), "{nth}: {lines:#?}");
        assert_eq!(new.end().0, Some(if is_old { 3 } else { 0 }), "{nth}");
        if !is_old {
            assert!(nth > 4, "all of it was said before");
            break;
        }
    }
}

#[test]
fn a_successor_that_is_told_to_leave_at_any_message_but_its_first_does_so_once_it_serves() {
    if !strace::is_possible() {
        return;
    }
    for nth in 2..=4 {
        let meeting = Meeting::new();
        let old = meeting.start("--workers 2");
        let mut client = old.client();
        let trace = Trace::new();
        let traced = trace.command(BINARY, Fault::new("sendmsg", "signal=TERM", nth));
        let mut command = meeting.command(traced, "--workers 2 --drain-check-interval 3600");
        let new = Crew::spawn_only(command.env("SLACKWATER_PORT", old.address().port().to_string()));
        assert!(!leaves(&old, &new), "{nth}");
        assert!(trace.has_happened(), "{nth}");
        client.echo("x");
        client.leave();
        assert_eq!((old.end().0, new.end().0), (Some(0), Some(0)), "{nth}");
    }
}

#[test]
fn a_supervisor_that_is_told_at_any_message_to_have_another_worker_has_the_successor_have_it() {
    if !strace::is_possible() {
        return;
    }
    let mut are_all_told = false;
    for nth in 1..=20 {
        let meeting = Meeting::new();
        let old = meeting.start("--workers 2");
        let mut client = old.client();
        let trace = Trace::of(old.pid(), Fault::new("sendmsg", "signal=TTIN", nth));
        let new = meeting.succeed(&old, "--workers 2");
        new.line("] Took over 1 connections from process ");
        let (code, lines) = old.end();
        assert_eq!(code, Some(0));
        are_all_told = !trace.had_taken("TTIN");
        if are_all_told {
            assert!(nth > 4, "all of it was said before");
            break;
        }
        new.line("Started worker 3 as process ");
        client.echo("x");
        client.leave();
        new.signal("TERM");
        let lines = [lines, new.end().1].concat();
        assert_eq!([1, 2, 3, 4].map(|number| starts(&lines, number)), [2, 2, 1, 0], "{nth}: {lines:#?}");
    }
    assert!(are_all_told);
}
