//! SIGHUP replaces the workers one by one by the program that is there now; SIGTTIN and SIGTTOU add and remove one.

use std::collections::BTreeSet;
use std::process::Stdio;

use slackwater::wire::link::VERSION;

use support::client::Client;
use support::publisher::Publisher;

use super::crew::{Crew, assert_served, stop};
use super::program::{Program, mark_of};
use crate::process::{BINARY, signal};

#[test]
fn all_workers_are_replaced_by_the_program_that_is_there_now() {
    let program = Program::new();
    let crew = Crew::spawn(&mut program.command("--workers 2"));
    let mut old = crew.clients(2);
    program.mark("new");
    crew.signal("HUP");
    crew.line("[INFO] Reloading: replacing the workers one by one by /");
    crew.line("[INFO] Reload complete");
    let fresh = [crew.process(1, 2), crew.process(2, 2)];
    crew.count("Graceful shutdown initiated", 2);
    assert_eq!(crew.met(), fresh.into());
    assert!(fresh.iter().all(|pid| mark_of(*pid).as_deref() == Some("new")));
    assert!(old.keys().all(|pid| mark_of(*pid).is_none()));

    let mut newcomer = crew.client();
    assert_served(&mut old);
    for pid in fresh {
        let text = format!("by {pid}");
        crew.publisher_of(pid).publish(&text);
        for client in old.values_mut().flatten().chain([&mut newcomer]) {
            assert_eq!(client.hear_data(), text);
        }
    }
    for (pid, clients) in old {
        clients.into_iter().for_each(Client::leave);
        crew.line(&format!("({pid}): Server shutdown complete"));
        crew.line(&format!("Worker process {pid} has ended: exit status: 0"));
    }
    assert_eq!(crew.children(), fresh);
    newcomer.echo("x");
}

#[test]
fn a_new_program_that_does_not_start_leaves_everything_as_it_was() {
    let program = Program::new();
    let crew = Crew::spawn(&mut program.command("--workers 2"));
    let mut clients = crew.clients(1);
    let children = crew.children();
    program.replace("exit 7");
    crew.signal("HUP");
    crew.line(
        "[WARNING] Reload stopped, the old workers stay: a new worker 1 ended with exit code 7 before it served",
    );
    assert_eq!(crew.children(), children);
    assert_eq!(crew.met(), children.into_iter().collect());
    assert_served(&mut clients);

    program.mark("mended");
    crew.signal("HUP");
    crew.line("[INFO] Reload complete");
    let fresh = [crew.process(1, 3), crew.process(2, 2)];
    crew.count("Graceful shutdown initiated", 2);
    assert_eq!(crew.met(), fresh.into());
    assert_served(&mut clients);
}

#[test]
fn a_program_that_hangs_at_its_start_does_not_keep_the_next_one_waiting() {
    let program = Program::new();
    let crew = Crew::spawn(&mut program.command("--workers 2"));
    let mut clients = crew.clients(1);
    let gate = program.gate(1);
    crew.signal("HUP");
    let _waiting = gate.reached();
    program.mark("mended");
    crew.signal("HUP");
    crew.line("[INFO] Reload complete");
    let fresh = [crew.process(1, 3), crew.process(2, 2)];
    crew.count(": Graceful shutdown initiated", 2);
    assert_eq!(crew.met(), fresh.into());
    assert!(fresh.iter().all(|pid| mark_of(*pid).as_deref() == Some("mended")));
    assert_served(&mut clients);
    assert!(!crew.lines().iter().any(|line| line.contains("Reload stopped")), "{:#?}", crew.lines());
}

#[test]
fn a_reload_begins_once_all_workers_have_served() {
    let program = Program::new();
    let gate = program.gate(2);
    let crew = Crew::spawn_only(program.command("--workers 2").stdin(Stdio::null()));
    let first = [crew.process(1, 1), crew.process(2, 1)];
    let _waiting = gate.reached();
    program.replace("exit 7");
    crew.signal("HUP");
    gate.open();
    crew.line("Reload stopped, the old workers stay: a new worker 1 ended with exit code 7 before it served");
    assert_eq!(crew.met(), first.into());
    let lines = crew.lines();
    let nth = |part: &str| lines.iter().position(|line| line.contains(part));
    assert!(
        nth("[INFO] Serving ").is_some() && nth("[INFO] Serving ") < nth("[INFO] Reloading"),
        "{lines:#?}"
    );
}

#[test]
fn a_new_program_that_cannot_be_executed_leaves_everything_as_it_was() {
    let program = Program::new();
    let crew = Crew::spawn(&mut program.command("--workers 2"));
    let mut clients = crew.clients(1);
    program.remove();
    crew.signal("HUP");
    crew.line("[ERROR] cannot start /");
    crew.line(
        "[WARNING] Reload stopped, the old workers stay: a new worker 1 could not be started before it served",
    );
    assert_eq!(crew.met(), clients.keys().copied().collect());
    assert_served(&mut clients);
}

#[test]
fn a_reload_that_fails_at_a_later_worker_keeps_that_one() {
    let program = Program::new();
    let crew = Crew::spawn(&mut program.command("--workers 2"));
    let mut clients = crew.clients(1);
    program.replace(&format!(
        r#"case "$_SLACKWATER_WORKER" in "{VERSION} 2 "*) exit 7;; esac; exec {BINARY} "$@""#
    ));
    crew.signal("HUP");
    crew.line("Reload stopped, the old workers stay: a new worker 2 ended with exit code 7 before it served");
    let (fresh, kept) = (crew.process(1, 2), crew.process(2, 1));
    crew.line(&format!("({}): Graceful shutdown initiated", crew.process(1, 1)));
    assert_eq!(crew.met(), [fresh, kept].into());
    assert_served(&mut clients);
}

#[test]
fn a_new_program_of_another_version_says_so_and_leaves_everything_as_it_was() {
    let program = Program::new();
    let crew = Crew::spawn(&mut program.command("--workers 2"));
    let mut clients = crew.clients(1);
    // What a supervisor that speaks otherwise would have told it.
    program.replace(&format!(r#"_SLACKWATER_WORKER="0 ${{_SLACKWATER_WORKER#* }}" exec {BINARY} "$@""#));
    crew.signal("HUP");
    assert!(
        crew.line("[ERROR] cannot work for a supervisor of another").ends_with("restart the whole server")
    );
    crew.line("Reload stopped, the old workers stay: a new worker 1 ended with exit code 3 before it served");
    assert_served(&mut clients);
}

#[test]
fn who_waits_for_a_worker_that_is_replaced_is_served_by_the_new_one() {
    let crew = Crew::start("--workers 2 --timeout-worker-healthcheck 60");
    let workers = crew.children();
    workers.iter().for_each(|pid| stop(*pid));
    let mut waiting = crew.ask("/ws", 40);
    crew.signal("HUP");
    assert!(waiting.iter_mut().all(|newcomer| newcomer.head().status == 101));
    let servers: BTreeSet<u32> =
        crew.servers_of(waiting.iter().map(|newcomer| &newcomer.socket)).into_iter().collect();
    assert_eq!(servers, [crew.process(1, 2), crew.process(2, 2)].into());
    // They find nobody left to accept.
    workers.iter().for_each(|pid| signal(*pid, "CONT"));
    workers.iter().for_each(|pid| _ = crew.line(&format!("({pid}): Server shutdown complete")));
}

#[test]
fn who_waits_for_a_worker_that_is_removed_is_served() {
    let crew = Crew::start("--workers 2 --timeout-worker-healthcheck 60");
    let removed = crew.process(2, 1);
    stop(removed);
    let mut waiting = crew.ask("/ws", 40);
    crew.signal("TTOU");
    signal(removed, "CONT");
    assert!(waiting.iter_mut().all(|newcomer| newcomer.head().status == 101));
    assert!(crew.servers_of(waiting.iter().map(|newcomer| &newcomer.socket)).contains(&removed));
    crew.line(&format!("worker 2 ({removed}): Graceful shutdown initiated"));
}

#[test]
fn reloads_may_come_faster_than_they_are_done() {
    let crew = Crew::start("--workers 3");
    let mut old = crew.clients(1);
    // What is answered after a signal was sent is answered after it was obeyed.
    let reload = |times: usize| {
        (0..times).for_each(|_| crew.signal("HUP"));
        Publisher::connect(crew.address()).publish("obeyed");
        crew.until("the last reload is complete", |lines| {
            lines.iter().rfind(|line| line.contains("] Reload"))?.contains("complete").then_some(())
        });
    };
    reload(5);
    reload(1);
    assert!(old.values_mut().flatten().all(|client| client.hear_data() == "obeyed"));
    assert!(old.values_mut().flatten().all(|client| client.hear_data() == "obeyed"));
    assert_served(&mut old);
    Publisher::connect(crew.address()).publish("for all");
    assert!(old.values_mut().flatten().all(|client| client.hear_data() == "for all"));
    // Whoever was replaced last may still let somebody in until it obeys.
    let serving = (0..100).map(|_| crew.met()).find(|serving| serving.len() == 3).expect("three serve");
    assert!(old.keys().all(|pid| !serving.contains(pid)));
    drop(old);
    crew.signal("HUP");
    crew.signal("TERM");
    let (code, lines) = crew.end();
    assert_eq!(code, Some(0), "{lines:#?}");
}

#[test]
fn workers_are_added_and_removed_by_signals() {
    let crew = Crew::start("--workers 2");
    crew.signal("TTIN");
    let third = crew.process(3, 1);
    let mut clients: Vec<Client> =
        [crew.process(1, 1), crew.process(2, 1), third].into_iter().map(|pid| crew.client_of(pid)).collect();
    crew.signal("TTOU");
    crew.line(&format!("worker 3 ({third}): Waiting for 1 connections to close."));
    assert_eq!(crew.met(), [crew.process(1, 1), crew.process(2, 1)].into());
    let mut publisher = crew.publisher_of(crew.process(1, 1));
    publisher.publish("for all");
    assert!(clients.iter_mut().all(|client| client.hear_data() == "for all"));
    clients.pop().unwrap().leave();
    crew.line(&format!("Worker process {third} has ended: exit status: 0"));

    crew.signal("TTOU");
    let second = crew.process(2, 1);
    crew.line(&format!("worker 2 ({second}): Waiting for 1 connections to close."));
    assert_eq!(crew.met(), [crew.process(1, 1)].into());
    // The last one stays. What is answered after a signal was sent is answered after it was obeyed.
    crew.signal("TTOU");
    publisher.publish("again");
    crew.signal("TTIN");
    let successor = crew.process(2, 2);
    crew.client_of(successor).leave();
    assert_eq!(crew.met(), [crew.process(1, 1), successor].into());
    assert!(clients.iter_mut().all(|client| client.hear_data() == "again"));
    drop(clients);
    crew.signal("TERM");
    assert_eq!(crew.end().0, Some(0));
}

#[test]
fn a_worker_that_is_killed_during_a_reload_is_replaced_at_once() {
    let program = Program::new();
    let crew = Crew::spawn(&mut program.command("--workers 2"));
    let gate = program.gate(1);
    crew.signal("HUP");
    let waiting = crew.process(1, 2);
    signal(crew.process(2, 1), "KILL");
    crew.client_of(crew.process(2, 2)).leave();
    gate.open();
    crew.line("[INFO] Reload complete");
    crew.line(&format!("({}): Server shutdown complete", crew.process(1, 1)));
    assert_eq!(crew.met(), [waiting, crew.process(2, 2)].into(), "it is of the new program already");
    crew.signal("TERM");
    assert_eq!(crew.end().0, Some(0));
}
