//! SIGTTIN and SIGTTOU add and remove a worker.

use std::thread;
use std::time::Instant;

use support::PATIENCE;
use support::client::Client;

use super::crew::{Crew, stop};
use super::handing_over::{Meeting, listening_at};
use super::program::Program;
use crate::handing_over::server::open_files;
use crate::process::signal;

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

/// A server, and what becomes of it.
struct Chain {
    meeting: Meeting,
    crew: Crew,
    port: u16,
    workers: usize,
}

impl Chain {
    fn start(workers: usize) -> Self {
        let meeting = Meeting::new();
        let crew = meeting.start(&format!("--workers {workers}"));
        let port = crew.address().port();
        Self { meeting, crew, port, workers }
    }

    fn grow(&mut self, sockets: usize) {
        self.workers += 1;
        let started = self.crew.processes_of(self.workers).len();
        self.crew.signal("TTIN");
        let new = self.crew.process(self.workers, started + 1);
        self.crew.client_of(new).leave();
        self.assert_listening(sockets);
    }

    fn shrink(&mut self, sockets: usize) {
        self.crew.signal("TTOU");
        self.workers -= 1;
        // Whoever leaves closes its own as well.
        let deadline = Instant::now() + PATIENCE;
        while self.crew.children().len() > self.workers {
            assert!(Instant::now() < deadline, "nobody leaves");
            thread::yield_now();
        }
        self.assert_listening(sockets);
    }

    fn hand_over(&mut self, workers: usize, sockets: usize) {
        let next = self.meeting.succeed(&self.crew, &format!("--workers {workers}"));
        next.line("] Took over ");
        let old = std::mem::replace(&mut self.crew, next);
        assert_eq!(old.end().0, Some(0));
        self.workers = workers;
        self.assert_listening(sockets);
    }

    /// And somebody accepts from each of them.
    fn assert_listening(&self, sockets: usize) {
        assert_eq!(listening_at(self.port), sockets, "{} workers", self.workers);
        assert!(self.crew.met().len() <= self.workers);
    }
}

#[test]
fn there_are_never_more_listening_sockets_than_there_have_been_workers_and_each_is_accepted_from() {
    let mut server = Chain::start(2);
    server.grow(3);
    for _ in 0..3 {
        server.hand_over(2, 3);
        server.grow(3);
    }
    server.shrink(3);
    server.grow(3);
    server.grow(4);
    server.shrink(3);
    server.hand_over(3, 3);
    // One process, which has no workers to add.
    server.hand_over(1, 3);
    server.hand_over(2, 3);
    server.grow(3);
    server.grow(4);
    server.shrink(3);
    server.shrink(3);
    // Its own, and what it had beside it is the other's.
    server.shrink(2);
    server.hand_over(2, 2);
    server.grow(3);
}

#[test]
fn what_all_workers_share_is_passed_on_once_however_many_there_have_been() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new();
    let flags = format!("--workers 2 --uds {}", folder.path().join("socket").display());
    let crew = Crew::spawn(&mut program.command(&flags));
    let mut files = vec![];
    for round in 1..=4 {
        crew.tell("TTIN");
        crew.process(3, round);
        crew.hand_over();
        files.push(open_files(crew.now()));
    }
    assert_eq!(files, [files[0]; 4]);
}
