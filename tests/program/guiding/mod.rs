//! A drain that guides, with the real program and 2,000 clients, half of whom ignore it: who takes them over has no
//! stampede, nobody misses or repeats anything, and the drain ends soon after the last moment to move.

use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use support::{LIFETIME, PATIENCE};

use crate::process::{Process, children, signal};
use fleet::Fleet;
use publisher::{Published, publish_steadily};
use rate::{Moments, now_unix_ms};

mod fleet;
mod link;
mod notices;
mod publisher;
mod rate;

const CLIENTS: usize = 2000;
const SPREAD_MS: i64 = 4000;
const CLOSE_AFTER_MS: i64 = 5000;
/// Lags that are shorter spoil no figure.
const KEPT_UP: Duration = Duration::from_millis(500);
const FLAGS: &str = "--drain-spread 4 --drain-close-after 5";

/// Half of the clients of a server move when they are asked to while `leave` is under way, and publishing goes on: what
/// that returns, once all of them are where they belong and have heard everything.
fn drain<T: Send>(address: SocketAddr, leave: impl FnOnce() -> T + Send) -> (Fleet, Published, T) {
    let mut fleet = Fleet::connect(address, CLIENTS, |client| client.is_multiple_of(2));
    let (stop, stopped) = channel();
    thread::scope(|scope| {
        let publisher = scope.spawn(|| publish_steadily(address, &{ stopped }));
        let operator = scope.spawn(leave);
        fleet.live_until("the drain is over", |_| operator.is_finished());
        let left = operator.join().unwrap();
        fleet.live_until("all are settled", |fleet| fleet.settled() == CLIENTS);
        drop(stop);
        fleet.live_until("publishing is over", |_| publisher.is_finished());
        let published = publisher.join().unwrap();
        fleet.live_until("all have heard all", |fleet| {
            fleet.clients.iter().all(|client| client.newest == published.count)
        });
        (fleet, published, left)
    })
}

/// Waits until so many processes have left. By their flags alone that takes half as long as anything may take elsewhere.
fn until_over(server: &Process, processes: usize) {
    server.within(LIFETIME, "the end of the drain", |lines| {
        let left = lines.iter().filter(|line| line.contains("Server shutdown complete"));
        (left.count() == processes).then_some(())
    });
}

/// Who was promised what, and what came of it.
fn judge(fleet: &Fleet, published: &Published, ended: i64) {
    let (mut slots, mut asked) = (Moments::default(), Moments::default());
    let mut last_due = 0;
    for client in &fleet.clients {
        assert_eq!(client.heard, published.count);
        assert!(client.closed == 1 || client.closed == 0 && client.cooperates, "{client:?}");
        assert!(!client.hints.is_empty());
        for hint in &client.hints {
            slots.note(hint.slot);
            asked.note(hint.slot - hint.after_ms);
            let patience_ms = if client.cooperates { 0 } else { CLOSE_AFTER_MS };
            last_due = last_due.max(hint.slot + patience_ms);
        }
    }
    println!(
        "{published:?}; {} notices within {} ms; moved at most {} ms late, lagged {:?}; from the last moment to the end {} ms",
        slots.count(),
        asked.last() - asked.first(),
        fleet.latest_ms,
        fleet.longest_lag,
        ended - last_due
    );
    slots.assert_even("moments to move", 1000, CLIENTS, SPREAD_MS);
    let mut connects = fleet.moved.clone();
    connects.extend(&fleet.returned);
    println!(
        "in tenths of the spread: at most {} connects, {} are even",
        connects.most_within(SPREAD_MS / 10),
        CLIENTS / 10
    );
    // Clients for whom there was no time for so long come all at once, whatever they were told.
    if fleet.longest_lag < KEPT_UP {
        fleet.moved.assert_even("who moved", 1000, CLIENTS / 2, SPREAD_MS);
        fleet.closed.assert_even("who was closed", 2000, CLIENTS / 2, SPREAD_MS);
        connects.assert_even("connects", 1000, CLIENTS, SPREAD_MS);
        // Whoever moves at its moment has time enough, unless the servers have none.
        assert!(fleet.overtaken <= CLIENTS / 20, "{} were closed who were about to move", fleet.overtaken);
    }
    assert_eq!(fleet.returned.count(), CLIENTS / 2);
}

#[test]
fn a_successor_is_handed_two_thousand_clients_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let flags = format!("{FLAGS} --state-file {}", folder.path().join("state").display());
    let old = Process::start(&flags);
    let address = old.address();
    let (fleet, published, (old, new, ended)) = drain(address, move || {
        old.signal("TERM");
        old.next_line("Waiting for 2000 connections to close.");
        let new = Process::start(&format!("--port {} {flags}", address.port()));
        until_over(&old, 1);
        old.line("All WebSocket connections closed. Proceeding with shutdown.");
        let ended = now_unix_ms();
        (old, new, ended)
    });
    assert_eq!(old.end().0, Some(0), "nobody was forced");
    judge(&fleet, &published, ended);
    assert!(fleet.clients.iter().all(|client| client.hints.len() == 1));
    assert_eq!(fleet.moved.count(), CLIENTS / 2);
    let metrics = new.door().metrics();
    for counted in ["connections_active", "connections_total", "resumes_total{result=\"resumed\"}"] {
        assert_eq!(metrics.of(&format!("slackwater_{counted}")), CLIENTS as f64, "{counted}");
    }
}

#[test]
fn workers_that_leave_alone_hand_two_thousand_clients_over_one_by_one() {
    let server = Process::start(&format!("--workers 2 {FLAGS}"));
    let (fleet, published, (server, ended)) = drain(server.address(), move || {
        children(server.pid()).into_iter().for_each(|worker| signal(worker, "TERM"));
        until_over(&server, 2);
        (server, now_unix_ms())
    });
    judge(&fleet, &published, ended);
    // Who lands on a worker that is told so next is asked once more.
    assert!(fleet.clients.iter().all(|client| client.hints.len() <= 2));
    assert_eq!(published.refused, 0, "there is always somebody who serves");
    let (counted, connected) =
        (server.door().metrics(), CLIENTS + fleet.moved.count() + fleet.returned.count());
    assert_eq!(counted.sum("slackwater_connections_active"), CLIENTS as f64);
    // Each worker's totals come with its next sign of life.
    let total = || server.door().metrics().of("slackwater_connections_total");
    let deadline = Instant::now() + PATIENCE;
    while total() != connected as f64 {
        assert!(Instant::now() < deadline, "{} are counted, not {connected}", total());
        thread::yield_now();
    }
    println!("{} have moved twice", fleet.moved.count() - CLIENTS / 2);
}
