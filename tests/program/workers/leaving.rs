//! Signals to leave: to the supervisor, to one worker, to the whole process group.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use support::client::Client;

use super::crew::{Crew, assert_served, stop};
use super::program::Program;
use crate::process::signal;

/// What one worker has logged from its first order to leave on.
fn farewell_of(lines: &[String], pid: u32) -> Vec<String> {
    let own = lines.iter().filter_map(|line| {
        let (level, rest) = line.split_once(' ')?;
        let (prefix, text) = rest.split_once(": ")?;
        let is_own = prefix.starts_with("worker ") && prefix.ends_with(&format!(" ({pid})"));
        (is_own && level != "[DEBUG]").then(|| format!("{level} {text}"))
    });
    own.skip_while(|line| line != "[INFO] Shutdown signal received").collect()
}

/// What the supervisor has logged from its order to leave on.
fn farewell_of_supervisor(lines: &[String]) -> Vec<&String> {
    let is_own = |line: &&String| !line.contains("] worker ") && !line.starts_with("[DEBUG]");
    lines.iter().filter(is_own).skip_while(|line| !line.contains("Shutdown signal received")).collect()
}

fn ask_to_leave(crew: &Crew) {
    assert_eq!(crew.door().ask("POST /drain", "").status, 202);
}

#[test]
fn each_worker_drains_by_itself_and_tells_it_to_the_letter() {
    for signal in ["TERM", "INT"] {
        let crew = Crew::start("--workers 2 --drain-check-interval 3600");
        let mut clients = crew.clients(2);
        let pids: Vec<u32> = clients.keys().copied().collect();
        let address = crew.address();
        crew.signal(signal);
        crew.count("Waiting for 2 connections to close. Time remaining: 1800s", 2);
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_served(&mut clients);
        for client in clients.into_values().flatten() {
            client.leave();
        }
        let (code, lines) = crew.end();
        assert_eq!(code, Some(0));
        for pid in pids {
            assert_eq!(
                farewell_of(&lines, pid),
                [
                    "[INFO] Shutdown signal received",
                    "[INFO] Graceful shutdown initiated",
                    "[INFO] Waiting for 2 connections to close. Time remaining: 1800s",
                    "[INFO] Client disconnected. Total connections: 1",
                    "[INFO] Client disconnected. Total connections: 0",
                    "[INFO] All WebSocket connections closed. Proceeding with shutdown.",
                    "[INFO] Server shutdown complete",
                ]
            );
        }
        let own = farewell_of_supervisor(&lines);
        assert_eq!(
            own,
            [
                "[INFO] Shutdown signal received",
                "[INFO] Graceful shutdown initiated",
                "[INFO] Server shutdown complete",
            ]
        );
        let last = lines.iter().rfind(|line| !line.starts_with("[DEBUG]"));
        assert_eq!(last, own.last().copied(), "it stays until the last has ended");
    }
}

#[test]
fn the_port_is_free_once_the_supervisor_says_that_it_leaves() {
    for _ in 0..5 {
        let crew = Crew::start("--workers 5");
        let address = crew.address();
        crew.signal("TERM");
        crew.line("[INFO] Graceful shutdown initiated");
        drop(TcpListener::bind(address).unwrap());
        assert_eq!(crew.end().0, Some(0));
    }
}

#[test]
fn a_frozen_worker_does_not_hold_up_the_leaving_and_that_its_listener_is_open_is_said() {
    let crew = Crew::start("--workers 2 --timeout-worker-healthcheck 60");
    let frozen = crew.process(2, 1);
    stop(frozen);
    crew.signal("TERM");
    crew.line("[INFO] Graceful shutdown initiated");
    signal(frozen, "CONT");
    let (code, lines) = crew.end();
    assert_eq!(code, Some(0));
    let own = farewell_of_supervisor(&lines);
    assert!(own[1].starts_with("[WARNING] Not closed within 1 s: the listeners of 1 workers"), "{own:?}");
    assert_eq!(own[2], "[INFO] Graceful shutdown initiated");
}

#[test]
fn a_worker_that_hangs_at_its_start_does_not_hold_up_the_leaving() {
    let program = Program::new();
    let crew = Crew::spawn(&mut program.command("--workers 2"));
    let _gate = program.gate(3);
    crew.signal("TTIN");
    crew.process(3, 1);
    crew.signal("TERM");
    let (code, lines) = crew.end();
    assert_eq!(code, Some(0));
    assert_eq!(
        farewell_of_supervisor(&lines)[1..],
        [
            "[INFO] Worker 3 has not served yet: ending it",
            "[INFO] Graceful shutdown initiated",
            "[INFO] Server shutdown complete",
        ]
    );
}

#[test]
fn the_limit_closes_everyone_with_1012_and_the_exit_code_says_so() {
    let crew = Crew::start("--workers 2 --timeout-graceful-shutdown 0.2");
    let mut clients = crew.clients(2);
    let pids: Vec<u32> = clients.keys().copied().collect();
    crew.signal("TERM");
    crew.count("Waiting for 2", 2);
    for client in clients.values_mut().flatten() {
        assert_eq!(client.close_code(), Some(1012));
    }
    let (code, lines) = crew.end();
    assert_eq!(code, Some(1));
    for pid in pids {
        let last = farewell_of(&lines, pid).split_off(3);
        let expected =
            "[WARNING] Shutdown timeout (0.2 seconds) reached. Forcing shutdown with 2 active connections.";
        assert_eq!(last, [expected, "[INFO] Server shutdown complete"]);
    }
}

#[test]
fn a_second_signal_closes_who_is_left_with_1012() {
    let crew = Crew::start("--workers 2");
    let mut clients = crew.clients(1);
    let (gone, left) = (crew.process(1, 1), crew.process(2, 1));
    crew.signal("TERM");
    crew.count("Waiting for 1", 2);
    clients.remove(&gone).unwrap().pop().unwrap().leave();
    crew.line(&format!("Worker process {gone} has ended: exit status: 0"));
    crew.signal("INT");
    let client = &mut clients.get_mut(&left).unwrap()[0];
    assert_eq!(client.close_code(), Some(1012));
    let (code, lines) = crew.end();
    assert_eq!(code, Some(1), "one was forced");
    assert_eq!(
        farewell_of(&lines, left).split_off(3),
        [
            "[WARNING] Second shutdown signal received. Forcing shutdown with 1 active connections.",
            "[INFO] Server shutdown complete"
        ]
    );
    assert_eq!(
        farewell_of_supervisor(&lines)[2..],
        ["[INFO] Second shutdown signal received. Forcing shutdown.", "[INFO] Server shutdown complete"]
    );
}

#[test]
fn a_signal_to_the_whole_group_counts_once() {
    for signal in ["INT", "TERM"] {
        let crew = Crew::start("--workers 3");
        let mut clients = crew.clients(1);
        let pids: Vec<u32> = clients.keys().copied().collect();
        crew.signal_group(signal);
        crew.count("Waiting for 1", 3);
        // By the second answer each has long had its own signal.
        assert_served(&mut clients);
        assert_served(&mut clients);
        for client in clients.into_values().flatten() {
            client.leave();
        }
        let (code, lines) = crew.end();
        assert_eq!(code, Some(0));
        assert!(pids.iter().all(|pid| farewell_of(&lines, *pid).len() == 6), "{lines:#?}");
        assert_eq!(farewell_of_supervisor(&lines).len(), 3, "{lines:#?}");
        assert_eq!(lines.iter().filter(|line| line.contains("Started worker")).count(), 3, "{lines:#?}");
    }
}

#[test]
fn a_second_signal_to_the_whole_group_ends_the_patience() {
    let crew = Crew::start("--workers 2");
    let mut clients = crew.clients(1);
    crew.signal_group("INT");
    crew.count("Waiting for 1", 2);
    assert_served(&mut clients);
    assert_served(&mut clients);
    crew.signal_group("INT");
    for client in clients.values_mut().flatten() {
        assert_eq!(client.close_code(), Some(1012));
    }
    let (code, lines) = crew.end();
    assert_eq!(code, Some(1));
    let count = |text| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!(count("Second shutdown signal received. Forcing shutdown with 1 active connections."), 2);
    assert_eq!(count("[INFO] Second shutdown signal received. Forcing shutdown."), 1);
}

#[test]
fn an_operators_request_is_no_signal_and_the_first_signal_behind_it_hastens_nothing() {
    for (delay, is_group) in [("0", false), ("0", true), ("0.5", true)] {
        let crew = Crew::start(&format!("--workers 2 --drain-delay {delay}"));
        let mut clients = crew.clients(1);
        let signal = || if is_group { crew.signal_group("TERM") } else { crew.signal("TERM") };
        ask_to_leave(&crew);
        crew.line("[INFO] Shutdown signal received");
        signal();
        crew.line("[INFO] Shutdown signal received while leaving: another one ends it at once");
        crew.count("Waiting for 1", 2);
        // By the second answer each has long had its own signal.
        assert_served(&mut clients);
        assert_served(&mut clients);
        signal();
        for client in clients.values_mut().flatten() {
            assert_eq!(client.close_code(), Some(1012));
        }
        let (code, lines) = crew.end();
        assert_eq!(code, Some(1));
        assert_eq!(lines.iter().filter(|line| line.contains("Started worker")).count(), 2, "{lines:#?}");
    }
}

#[test]
fn a_signal_to_the_whole_group_begins_the_delay_for_all_of_them() {
    let crew = Crew::start("--workers 2 --drain-delay 0.5");
    let mut clients = crew.clients(1);
    crew.signal_group("TERM");
    crew.count("Waiting for 1", 2);
    assert_served(&mut clients);
    assert_served(&mut clients);
    for client in clients.into_values().flatten() {
        client.leave();
    }
    let (code, lines) = crew.end();
    assert_eq!(code, Some(0));
    assert_eq!(lines.iter().filter(|line| line.contains("Started worker")).count(), 2, "{lines:#?}");
}

#[test]
fn a_worker_that_is_signalled_drains_alone_and_no_newcomer_is_refused() {
    for name in ["TERM", "INT"] {
        let crew = Crew::start("--workers 2");
        let (address, old) = (crew.address(), crew.process(1, 1));
        let mut clients = crew.clients(2);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let mut newcomer = Client::join(address, "/ws");
                        newcomer.echo("x");
                        newcomer.leave();
                    }
                });
            }
            let _over = Over(&is_over);
            signal(old, name);
            crew.line(&format!("worker 1 ({old}): Graceful shutdown initiated"));
            crew.client_of(crew.process(1, 2)).leave();
        });
        let fresh = crew.process(1, 2);
        crew.publisher_of(fresh).publish("for all");
        for client in clients.values_mut().flatten() {
            assert_eq!(client.hear_data(), "for all");
        }
        assert_served(&mut clients);
        assert!(crew.children().contains(&old));
        for client in clients.remove(&old).unwrap() {
            client.leave();
        }
        crew.line(&format!("worker 1 ({old}): Server shutdown complete"));
        crew.line(&format!("Worker process {old} has ended: exit status: 0"));
        assert_served(&mut clients);
        assert_eq!(crew.processes_of(1), [old, fresh]);
        assert_eq!(crew.processes_of(2).len(), 1);
        drop(clients);
        crew.signal("TERM");
        assert_eq!(crew.end().0, Some(0));
    }
}

#[test]
fn a_worker_that_drains_alone_goes_on_gently_when_the_whole_server_leaves() {
    let crew = Crew::start("--workers 2");
    let mut clients = crew.clients(1);
    let old = crew.process(1, 1);
    signal(old, "TERM");
    crew.line(&format!("worker 1 ({old}): Waiting for 1 connections"));
    crew.client_of(crew.process(1, 2)).leave();
    crew.signal("TERM");
    crew.line(&format!("({}): Waiting for 1 connections", crew.process(2, 1)));
    assert_served(&mut clients);
    assert_served(&mut clients);
    for client in clients.into_values().flatten() {
        client.leave();
    }
    assert_eq!(crew.end().0, Some(0));
}

#[test]
fn workers_that_drain_alone_take_the_groups_first_signal_for_a_first_one() {
    for delay in ["0", "0.5"] {
        let crew = Crew::start(&format!("--workers 2 --drain-delay {delay}"));
        let mut clients = crew.clients(1);
        clients.keys().for_each(|pid| signal(*pid, "TERM"));
        crew.count("Waiting for 1 connections", 2);
        crew.signal_group("TERM");
        crew.line("[INFO] Graceful shutdown initiated");
        assert_served(&mut clients);
        assert_served(&mut clients);
        for client in clients.into_values().flatten() {
            client.leave();
        }
        assert_eq!(crew.end().0, Some(0));
    }
}

#[test]
fn a_second_signal_to_a_worker_that_drains_alone_ends_its_patience() {
    let crew = Crew::start("--workers 2");
    let mut clients = crew.clients(1);
    let old = crew.process(1, 1);
    signal(old, "TERM");
    crew.line(&format!("worker 1 ({old}): Waiting for 1 connections"));
    signal(old, "TERM");
    let mut client = clients.remove(&old).unwrap().remove(0);
    assert_eq!(client.close_code(), Some(1012));
    assert_served(&mut clients);
}

#[test]
fn who_waits_to_be_accepted_when_the_whole_server_leaves_is_answered() {
    let crew = Crew::start("--workers 2 --timeout-worker-healthcheck 60");
    let workers = crew.children();
    workers.iter().for_each(|pid| stop(*pid));
    let mut waiting = crew.ask("/ws", 20);
    crew.signal("TERM");
    crew.line("Graceful shutdown initiated");
    workers.iter().for_each(|pid| signal(*pid, "CONT"));
    assert!(waiting.iter_mut().all(|newcomer| newcomer.head().status == 503));
    assert_eq!(crew.end().0, Some(0));
}

/// Lets the threads end, whatever becomes of the test.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
