//! Programs that break, again and again: a server that has served goes on trying, and whoever leaves is left alone.

use support::client::Client;

use super::crew::{Clients, Crew, assert_served};
use super::program::{Program, mark_of};
use crate::process::signal;

/// Nobody was killed but by this test, and whoever has to leave does so with its clients.
fn end_gently(crew: Crew, clients: Clients) {
    for client in clients.into_values().flatten() {
        client.leave();
    }
    crew.signal("TERM");
    let (code, lines) = crew.end();
    assert_eq!(code, Some(0), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("killing it")), "{lines:#?}");
}

#[test]
fn workers_that_do_not_start_any_more_are_tried_until_they_do() {
    let program = Program::new();
    let crew = Crew::spawn(&mut program.command("--workers 2"));
    program.remove();
    for pid in crew.children() {
        signal(pid, "KILL");
    }
    for number in [1, 2] {
        for pause in ["in 0.25 s", "in 0.5 s"] {
            crew.line(&format!("[WARNING] Worker {number} could not be started: starting another {pause}"));
        }
    }
    program.mark("mended");
    let client = crew.client();
    assert_eq!(mark_of(crew.server_of(client.stream())).as_deref(), Some("mended"));
    client.leave();
    end_gently(crew, Clients::new());
}

#[test]
fn workers_that_break_once_they_are_ready_are_started_less_and_less_often_and_cost_no_old_client() {
    let crew = Crew::start("--workers 2");
    let mut old = crew.clients(2);
    // Whoever is told to leave stays with its clients, beside those that break.
    old.keys().for_each(|pid| signal(*pid, "TERM"));
    for (started, pause) in (2..6).zip(["now", "in 0.25 s", "in 0.5 s", "in 1 s"]) {
        let fresh = [crew.process(1, started), crew.process(2, started)];
        for pid in fresh {
            crew.client_of(pid).leave();
        }
        for pid in fresh {
            signal(pid, "KILL");
        }
        for number in [1, 2] {
            crew.line(&format!("[WARNING] Worker {number} was killed by signal 9: starting another {pause}"));
        }
        assert_served(&mut old);
    }
    // It heals: whoever comes is served by those who are started next, and the old go on as ever.
    let last = [crew.process(1, 6), crew.process(2, 6)];
    last.into_iter().map(|pid| crew.client_of(pid)).for_each(Client::leave);
    assert_served(&mut old);
    end_gently(crew, old);
}
