//! Workers that die, hang or do not start, and a supervisor that dies: the service stays, or ends and says why.

use std::io::ErrorKind;
use std::net::TcpStream;

use support::client::Client;

use super::crew::{Crew, assert_served, stop, until_state};
use super::heard::hear;
use super::program::{Program, mark_of};
use crate::process::signal;

#[test]
fn a_killed_worker_is_replaced_and_its_clients_miss_nothing() {
    let crew = Crew::start("--workers 2");
    let mut clients = crew.clients(2);
    let (killed, other) = (crew.process(1, 1), crew.process(2, 1));
    let mut publisher = crew.publisher_of(other);
    publisher.publish("one");
    let heard: Vec<_> = clients.values_mut().flatten().map(hear).collect();
    assert!(heard.iter().all(|one| one.text == "one"));
    signal(killed, "KILL");
    for client in clients.get_mut(&killed).unwrap() {
        assert!(client.try_hear().is_err());
    }
    publisher.publish("two");
    crew.line("[WARNING] Worker 1 was killed by signal 9: starting another now");
    let fresh = crew.process(1, 2);
    loop {
        let mut client = Client::resume(crew.address(), &heard[0].id);
        assert_eq!(client.welcome["resumed"], true);
        assert_eq!(client.hear_data(), "two");
        client.echo("anything else?");
        if crew.server_of(client.stream()) == fresh {
            break;
        }
    }
    for client in clients.get_mut(&other).unwrap() {
        assert_eq!(client.hear_data(), "two");
        client.echo("anything else?");
    }
}

#[test]
fn who_waits_for_a_killed_worker_is_served_by_its_successor() {
    for number in [1, 2] {
        let crew = Crew::start("--workers 2 --timeout-worker-healthcheck 60");
        let killed = crew.process(number, 1);
        stop(killed);
        let mut waiting = crew.ask("/ws", 40);
        signal(killed, "KILL");
        assert!(waiting.iter_mut().all(|newcomer| newcomer.head().status == 101));
        let successor = crew.process(number, 2);
        assert!(crew.servers_of(waiting.iter().map(|newcomer| &newcomer.socket)).contains(&successor));
    }
}

#[test]
fn who_waits_for_a_worker_that_is_told_to_leave_is_served() {
    let crew = Crew::start("--workers 2 --timeout-worker-healthcheck 60");
    let workers = crew.children();
    workers.iter().for_each(|pid| stop(*pid));
    let mut waiting = crew.ask("/ws", 40);
    for pid in workers {
        signal(pid, "TERM");
        signal(pid, "CONT");
        crew.line(&format!("({pid}): Graceful shutdown initiated"));
    }
    assert!(waiting.iter_mut().all(|newcomer| newcomer.head().status == 101));
}

#[test]
fn a_worker_that_hangs_is_noticed_killed_and_replaced() {
    let crew = Crew::start("--workers 2 --timeout-worker-healthcheck 0.5");
    let hanging = crew.process(2, 1);
    let mut clients = crew.clients(1);
    let id = crew.publisher_of(hanging).publish("one");
    stop(hanging);
    crew.line("[WARNING] Worker 2 does not answer and is stopped: killing it");
    crew.line("[WARNING] Worker 2 did not answer and was killed: starting another now");
    let lost = &mut clients.get_mut(&hanging).unwrap()[0];
    while lost.try_hear().is_ok() {}
    let fresh = crew.process(2, 2);
    drop(crew.client_of(fresh));
    crew.publisher_of(fresh).publish("two");
    let mut client = Client::resume(crew.address(), &id);
    assert_eq!(client.welcome["resumed"], true);
    assert_eq!(client.hear_data(), "two");
    let kept = &mut clients.get_mut(&crew.process(1, 1)).unwrap()[0];
    assert_eq!([kept.hear_data(), kept.hear_data()], ["one", "two"]);
    assert_eq!(crew.processes_of(1).len(), 1, "the other one is not to blame");
}

#[test]
fn a_stop_of_the_whole_group_is_not_taken_for_silence() {
    let crew = Crew::start("--workers 2 --timeout-worker-healthcheck 0.5");
    // Tells the time: one notification every tenth of a second.
    let clock = Crew::start("--workers 1 --notify-interval 0.1");
    let twice_the_healthcheck = || {
        let mut client = clock.client();
        (0..11).for_each(|_| _ = client.hear());
    };
    let mut clients = crew.clients(1);
    let children = crew.children();
    for signal in ["TSTP", "STOP"] {
        crew.signal_group(signal);
        children.iter().chain([&crew.pid()]).for_each(|pid| until_state(*pid, "T"));
        twice_the_healthcheck();
        crew.signal_group("CONT");
        assert_served(&mut clients);
        twice_the_healthcheck();
        assert_eq!(crew.children(), children, "{:#?}", crew.lines());
    }
    crew.publisher_of(children[0]).publish("still in order");
    for client in clients.values_mut().flatten() {
        assert_eq!(client.hear_data(), "still in order");
    }
    assert!(!crew.lines().iter().any(|line| line.starts_with("[WARNING]")), "{:#?}", crew.lines());
}

#[test]
fn a_worker_that_does_not_start_any_more_is_tried_again_while_others_serve() {
    let program = Program::new();
    let crew = Crew::spawn(&mut program.command("--workers 2"));
    let mut client = crew.client_of(crew.process(2, 1));
    program.replace("exit 7");
    signal(crew.process(1, 1), "KILL");
    crew.line("Worker 1 was killed by signal 9: starting another now");
    crew.line("Worker 1 ended with exit code 7: starting another in 0.25 s");
    crew.line("Worker 1 ended with exit code 7: starting another in 0.5 s");
    client.echo("x");
    program.mark("mended");
    let other = crew.process(2, 1);
    // Some of these wait for it in its listener.
    loop {
        let newcomer = crew.client();
        let server = crew.server_of(newcomer.stream());
        if server != other {
            assert_eq!(mark_of(server).as_deref(), Some("mended"));
            break;
        }
    }
}

#[test]
fn workers_that_never_start_end_the_server_with_3_and_the_reason() {
    let broken = Program::new();
    broken.replace("exit 7");
    let (code, lines) = Crew::spawn_only(&mut broken.command("--workers 2 --log-level info")).end();
    assert_eq!(code, Some(3));
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("[WARNING] cannot start workers: worker "), "{lines:#?}");
    assert!(lines[0].ends_with(" ended with exit code 7 before it served"), "{lines:#?}");
}

#[test]
fn workers_notice_the_death_of_the_supervisor_drain_and_end() {
    let crew = Crew::start("--workers 2");
    let mut clients = crew.clients(2);
    let address = crew.address();
    crew.signal("KILL");
    for pid in clients.keys() {
        crew.line(&format!("({pid}): The supervisor is gone: leaving, too"));
    }
    crew.count("Waiting for 2 connections to close. Time remaining: 1800s", 2);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_served(&mut clients);
    for client in clients.into_values().flatten() {
        client.leave();
    }
    crew.until_silent();
    let complete = crew.lines().iter().filter(|line| line.ends_with("Server shutdown complete")).count();
    assert_eq!(complete, 2);
}

#[test]
fn no_orphan_outlives_a_killed_supervisor_for_longer_than_the_limit() {
    let crew = Crew::start("--workers 2 --timeout-graceful-shutdown 0.2");
    let mut clients = crew.clients(1);
    crew.signal("KILL");
    for client in clients.values_mut().flatten() {
        assert_eq!(client.close_code(), Some(1012));
    }
    drop(clients);
    crew.until_silent();
}
