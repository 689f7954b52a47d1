//! What the notice says, and when there is none: a few clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::link::member;
use crate::driver::{Client, PATIENCE, Process};

const REST_OF_HANDSHAKE: &[u8] = b"Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const QUIET: &str = "--port 0 --notify-interval 0 --ws-ping-interval 0";

/// The notice that comes next: its two numbers.
fn notice(client: &mut Client) -> (u64, u64) {
    let message: Value = serde_json::from_str(&client.hear()).unwrap();
    assert_eq!((&message["type"], &message["reason"]), (&"reconnect".into(), &"server_restart".into()));
    assert_eq!(message.as_object().unwrap().len(), 5, "{message}");
    (message["after_ms"].as_u64().unwrap(), message["deadline_ms"].as_u64().unwrap())
}

fn clients(server: &Process, count: usize) -> Vec<Client> {
    (0..count).map(|_| server.client()).collect()
}

/// Somebody who is about to ask for a WebSocket, and has been let in: the answer to an earlier request shows it.
fn half_a_handshake(server: &Process) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /ws HTTP/1.1\r\n").unwrap();
    read_until(&mut stream, "status");
    stream
}

fn assert_hears_nothing_unasked(client: &mut Client) {
    assert!(client.echo("x").contains("Server received: x"));
}

fn all_leave(server: Process, clients: Vec<Client>) {
    clients.into_iter().for_each(Client::leave);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn each_client_has_a_moment_of_its_own_and_the_same_deadline() {
    for workers in [1, 2] {
        let server = Process::start(&format!(
            "{QUIET} --workers {workers} --drain-spread 600 --timeout-graceful-shutdown 1000"
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
    let server = Process::start(&format!("{QUIET} --drain-spread 0"));
    let mut clients = clients(&server, 20);
    server.signal("TERM");
    for client in &mut clients {
        assert_eq!(notice(client).0, 0);
    }
    // Nobody is closed unless that is asked for.
    server.line("Waiting for 20");
    clients.iter_mut().for_each(assert_hears_nothing_unasked);
    all_leave(server, clients);
}

#[test]
fn without_the_notice_nobody_hears_any_or_is_closed() {
    for workers in [1, 2] {
        let server = Process::start(&format!(
            "{QUIET} --workers {workers} --no-drain-notice --drain-spread 0 --drain-check-interval 0.05"
        ));
        let mut clients = clients(&server, 3);
        server.signal("TERM");
        for _ in 0..4 {
            server.line("Waiting for");
        }
        clients.iter_mut().for_each(assert_hears_nothing_unasked);
        all_leave(server, clients);
    }
}

#[test]
fn who_does_not_move_stays_unless_it_is_to_be_closed() {
    let server = Process::start(&format!("{QUIET} --drain-spread 0.1 --drain-check-interval 0.2"));
    let mut clients = clients(&server, 5);
    server.signal("TERM");
    clients.iter_mut().for_each(|client| assert!(notice(client).0 <= 100));
    for _ in 0..4 {
        server.line("Waiting for 5");
    }
    clients.iter_mut().for_each(assert_hears_nothing_unasked);
    all_leave(server, clients);
}

#[test]
fn who_is_to_be_closed_is_not_closed_before() {
    let server = Process::start(&format!("{QUIET} --drain-spread 0.5 --drain-close-after 0.5"));
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
        while client.0.read().is_ok() {}
    }
    assert_eq!(server.end().0, Some(0), "nobody was forced");
}

/// What comes up to the end of a message of this type, as text.
fn read_until(stream: &mut TcpStream, kind: &str) -> String {
    let (mut octets, mut scratch) = (vec![], [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&octets);
        if text.split_once(kind).is_some_and(|(_, rest)| rest.contains('}')) {
            return text.into_owned();
        }
        let count = stream.read(&mut scratch).unwrap();
        assert_ne!(count, 0, "it ends without {kind}: {text}");
        octets.extend(&scratch[..count]);
    }
}

#[test]
fn who_becomes_a_client_late_has_a_moment_of_its_own_and_less_time() {
    let server = Process::start(&format!(
        "{QUIET} --workers 2 --drain-check-interval 0.05 --timeout-graceful-shutdown 600 --drain-spread 600"
    ));
    // So many that both workers are held by some of them.
    let mut clients = clients(&server, 24);
    let mut late = half_a_handshake(&server);
    server.signal("HUP");
    server.line("Reload complete");
    let first_ms = clients.iter_mut().map(|client| notice(client).1).max().unwrap();
    for _ in 0..6 {
        server.line("Waiting for");
    }
    late.write_all(REST_OF_HANDSHAKE).unwrap();
    let heard = read_until(&mut late, "reconnect");
    let (welcome, notice) = heard.split_once("reconnect").unwrap();
    assert!(welcome.contains(r#""type":"welcome""#), "{heard}");
    let number = |name| member(notice, name).unwrap().parse::<u64>().unwrap();
    assert!((1..600_000).contains(&number("after_ms")), "{notice}");
    assert!(number("deadline_ms") < first_ms, "{notice} after {first_ms}");
    clients.into_iter().for_each(Client::leave);
}

#[test]
fn who_becomes_a_client_after_all_moments_is_to_move_at_once_and_closed_as_the_others() {
    let server = Process::start(&format!("{QUIET} --workers 2 --drain-spread 0 --drain-close-after 1.5"));
    let mut clients = clients(&server, 24);
    let mut late = half_a_handshake(&server);
    server.signal("HUP");
    server.line("Reload complete");
    for client in &mut clients {
        assert_eq!(notice(client).0, 0);
    }
    late.write_all(REST_OF_HANDSHAKE).unwrap();
    let heard = read_until(&mut late, "reconnect");
    assert!(heard.contains(r#""after_ms":0,"#), "{heard}");
    for client in &mut clients {
        assert_eq!(client.close_code(), Some(1012));
        while client.0.read().is_ok() {}
    }
    let mut rest = vec![];
    late.read_to_end(&mut rest).unwrap();
    assert_eq!(rest[..4], [0x88, rest[1], 0x03, 0xf4], "close code 1012");
    server.line("Server shutdown complete");
    server.line("Server shutdown complete");
}
