//! What the notice says, and when there is none: a few clients.

use std::time::{Duration, Instant};

use serde_json::Value;
use support::client::Client;
use support::peer::Peer;
use support::{HANDSHAKE, HEALTHZ};

use crate::process::{Process, children, signal};

/// The length of the first line.
const HALF: usize = 18;

/// The two numbers of a notice.
fn numbers(message: &Value) -> (u64, u64) {
    assert_eq!((&message["type"], &message["reason"]), (&"reconnect".into(), &"server_restart".into()));
    assert_eq!(message.as_object().unwrap().len(), 6, "{message}");
    assert!(message["last_event_id"].is_string(), "{message}");
    (message["after_ms"].as_u64().unwrap(), message["deadline_ms"].as_u64().unwrap())
}

/// The notice that comes next: its two numbers.
fn notice(client: &mut Client) -> (u64, u64) {
    numbers(&client.hear())
}

fn clients(server: &Process, count: usize) -> Vec<Client> {
    (0..count).map(|_| server.client()).collect()
}

/// Somebody who is about to ask for a WebSocket, and has been let in: the answer to an earlier request shows it.
fn half_a_handshake(server: &Process) -> Peer {
    let mut peer = Peer::connect(server.address());
    peer.send([HEALTHZ, &HANDSHAKE[..HALF]].concat());
    assert_eq!(peer.response().status, 200);
    peer
}

/// Asks for the rest of it: the numbers of the notice that comes behind the welcome.
fn notice_of_late(peer: &mut Peer) -> (u64, u64) {
    peer.send(&HANDSHAKE[HALF..]);
    assert_eq!(peer.head().status, 101);
    assert_eq!(peer.message()["type"], "welcome");
    numbers(&peer.message())
}

fn all_leave(server: Process, clients: Vec<Client>) {
    clients.into_iter().for_each(Client::leave);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn each_client_has_a_moment_of_its_own_and_the_same_deadline() {
    for workers in [1, 2] {
        let server = Process::start(&format!(
            "--workers {workers} --drain-spread 600 --timeout-graceful-shutdown 1000"
        ));
        let mut clients = clients(&server, 40);
        let began = Instant::now();
        server.signal("TERM");
        let mut moments: Vec<u64> = vec![];
        for client in &mut clients {
            let (after_ms, deadline_ms) = notice(client);
            let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap() + 1;
            assert!(after_ms <= 600_000 && deadline_ms <= 1_000_000, "{after_ms} {deadline_ms}");
            assert!(deadline_ms + elapsed_ms >= 1_000_000, "{deadline_ms} after {elapsed_ms} ms");
            moments.push(after_ms);
        }
        moments.sort_unstable();
        moments.dedup();
        assert_eq!(moments.len(), 40);
        if workers == 1 {
            // Each was one in its share of 15 s, less the time until it was told.
            for (rank, moment) in (1_u64..).zip(&moments) {
                assert!((rank * 15_000).abs_diff(moment + 7_500) <= 7_500 + 1_000, "{moments:?}");
            }
        }
        all_leave(server, clients);
    }
}

#[test]
fn without_a_spread_all_are_asked_at_once() {
    let server = Process::start("--drain-spread 0");
    let mut clients = clients(&server, 20);
    server.signal("TERM");
    for client in &mut clients {
        assert_eq!(notice(client).0, 0);
    }
    // Nobody is closed unless that is asked for.
    server.next_line("Waiting for 20");
    clients.iter_mut().for_each(|client| client.echo("x"));
    all_leave(server, clients);
}

#[test]
fn without_the_notice_nobody_hears_any_or_is_closed() {
    for workers in [1, 2] {
        let server = Process::start(&format!(
            "--workers {workers} --no-drain-notice --drain-spread 0 --drain-check-interval 0.05"
        ));
        let mut clients = clients(&server, 3);
        server.signal("TERM");
        for _ in 0..4 {
            server.next_line("Waiting for");
        }
        clients.iter_mut().for_each(|client| client.echo("x"));
        all_leave(server, clients);
    }
}

#[test]
fn who_does_not_move_stays_unless_it_is_to_be_closed() {
    let server = Process::start("--drain-spread 0.1 --drain-check-interval 0.2");
    let mut clients = clients(&server, 5);
    server.signal("TERM");
    clients.iter_mut().for_each(|client| assert!(notice(client).0 <= 100));
    for _ in 0..4 {
        server.next_line("Waiting for 5");
    }
    clients.iter_mut().for_each(|client| client.echo("x"));
    all_leave(server, clients);
}

#[test]
fn who_is_to_be_closed_is_not_closed_before() {
    let server = Process::start("--drain-spread 0.5 --drain-close-after 0.5");
    let mut clients = clients(&server, 10);
    server.signal("TERM");
    let due = clients.iter_mut().map(|client| {
        let (after_ms, _) = notice(client);
        Instant::now() + Duration::from_millis(after_ms + 500)
    });
    let mut due: Vec<(Instant, usize)> = due.zip(0..).collect();
    due.sort_unstable();
    for (at, client) in due {
        let client = &mut clients[client];
        assert_eq!(client.close_code(), Some(1012));
        // The notice may have been heard a little late, and says whole milliseconds.
        assert!(Instant::now() + Duration::from_millis(250) >= at);
    }
    assert_eq!(server.end().0, Some(0), "nobody was forced");
}

#[test]
fn who_becomes_a_client_late_has_a_moment_of_its_own_and_less_time() {
    let server = Process::start(
        "--workers 2 --drain-check-interval 0.05 --timeout-graceful-shutdown 600 --drain-spread 600",
    );
    // So many that both workers are held by some of them.
    let mut clients = clients(&server, 24);
    let mut late = half_a_handshake(&server);
    children(server.pid()).into_iter().for_each(|worker| signal(worker, "TERM"));
    let first_ms = clients.iter_mut().map(|client| notice(client).1).max().unwrap();
    for _ in 0..6 {
        server.next_line("Waiting for");
    }
    let (after_ms, deadline_ms) = notice_of_late(&mut late);
    assert!((1..600_000).contains(&after_ms), "{after_ms}");
    assert!(deadline_ms < first_ms, "{deadline_ms} after {first_ms}");
    clients.into_iter().for_each(Client::leave);
}

#[test]
fn who_becomes_a_client_after_all_moments_is_to_move_at_once_and_closed_as_the_others() {
    let server = Process::start("--workers 2 --drain-spread 0 --drain-close-after 1.5");
    let mut clients = clients(&server, 24);
    let mut late = half_a_handshake(&server);
    children(server.pid()).into_iter().for_each(|worker| signal(worker, "TERM"));
    for client in &mut clients {
        assert_eq!(notice(client).0, 0);
    }
    assert_eq!(notice_of_late(&mut late).0, 0);
    for client in &mut clients {
        assert_eq!(client.close_code(), Some(1012));
    }
    assert_eq!(late.close_code(), Some(1012));
    server.next_line("Server shutdown complete");
    server.next_line("Server shutdown complete");
}
