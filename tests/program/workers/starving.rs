//! A machine that has no time for its processes, and processes that are stopped: only the latter is anybody's end.

use std::process::{Child, Command, Stdio};

use super::crew::{Crew, assert_served, stop};
use crate::process::signal;

/// Processes that take all the time of all processors.
struct Hogs(Vec<Child>);

impl Hogs {
    fn start(count: usize) -> Self {
        let start = || Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn();
        Self((0..count).map(|_| start().unwrap()).collect())
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for hog in &mut self.0 {
            hog.kill().unwrap();
            hog.wait().unwrap();
        }
    }
}

/// Tells the time: one notification every tenth of a second.
struct Clock(Crew);

impl Clock {
    fn start() -> Self {
        Self(Crew::start("--workers 1 --notify-interval 0.1"))
    }

    fn wait(&self, tenths: usize) {
        let mut client = self.0.client();
        (0..tenths).for_each(|_| _ = client.hear());
    }
}

fn assert_nobody_killed(crew: &Crew) {
    let lines = crew.lines();
    assert!(!lines.iter().any(|line| line.contains("killing it")), "{lines:#?}");
}

/// Whoever else wants a processor has it first.
fn starve(pid: u32) {
    let status =
        Command::new("renice").args(["-n", "19", "-p", &pid.to_string()]).stdout(Stdio::null()).status();
    assert!(status.unwrap().success());
}

#[test]
fn workers_that_starve_are_not_killed_while_they_say_farewell() {
    let crew = Crew::start("--workers 4 --timeout-worker-healthcheck 0.1");
    let clock = Clock::start();
    let clients = crew.clients(10);
    clients.keys().for_each(|pid| starve(*pid));
    let hogs = Hogs::start(8);
    clock.wait(10);
    crew.signal("TERM");
    crew.line("Graceful shutdown initiated");
    crew.signal("TERM");
    clock.wait(10);
    assert_nobody_killed(&crew);
    drop(hogs);
    for mut client in clients.into_values().flatten() {
        assert_eq!(client.close_code(), Some(1012));
    }
    let (code, lines) = crew.end();
    assert_eq!(code, Some(1));
    assert!(!lines.iter().any(|line| line.contains("killed")), "{lines:#?}");
}

#[test]
fn a_supervisor_that_was_stopped_kills_nobody() {
    let crew = Crew::start("--workers 2 --timeout-worker-healthcheck 0.5");
    let clock = Clock::start();
    let mut clients = crew.clients(1);
    let children = crew.children();
    for _ in 0..3 {
        stop(crew.pid());
        clock.wait(11);
        crew.signal("CONT");
        assert_served(&mut clients);
        clock.wait(3);
    }
    assert_eq!(crew.children(), children);
    assert_nobody_killed(&crew);
}

#[test]
fn a_frozen_worker_that_leaves_keeps_its_clients_until_the_time_is_over() {
    let crew = Crew::start("--workers 2 --timeout-worker-healthcheck 0.1");
    let clock = Clock::start();
    let frozen = crew.process(1, 1);
    let mut clients = crew.clients(1);
    crew.signal("TERM");
    crew.count("Waiting for 1", 2);
    stop(frozen);
    clock.wait(11);
    assert_nobody_killed(&crew);
    signal(frozen, "CONT");
    clients.get_mut(&frozen).unwrap()[0].echo("x");
    stop(frozen);
    crew.signal("TERM");
    crew.line("[WARNING] Worker 1 has not left in time, does not answer and is stopped: killing it");
    drop(clients);
    assert_eq!(crew.end().0, Some(1));
}
