//! SIGTTIN and SIGTTOU add and remove a worker.

use support::client::Client;

use super::crew::{Crew, stop};
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
