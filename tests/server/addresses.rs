//! What one address may take, seen from several: all of 127.0.0.0/8 is this machine.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use support::frames::{CLOSE, frame};
use support::peer::{Peer, Response};
use support::{HANDSHAKE, HEALTHZ, PATIENCE};

use crate::running::Running;

/// Someone at 127.0.0.`host`.
fn from(host: u8, server: &Running) -> Peer {
    Peer::connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)), server.address)
}

fn ask(mut peer: Peer, request: &str) -> (Peer, Response) {
    peer.send(request);
    let response = if request == HANDSHAKE { peer.head() } else { peer.response() };
    (peer, response)
}

fn status_from(host: u8, server: &Running, request: &str) -> u16 {
    ask(from(host, server), request).1.status
}

/// What is counted under this name, asked for from where nothing is limited.
fn counted(server: &Running, name: &str) -> u64 {
    let (_, response) = ask(from(200, server), "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let line = response.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |number| number.parse().expect("a whole number"))
}

const REFUSED: &str = r#"slackwater_handshakes_rejected_total{reason="too_many_requests"}"#;

#[test]
fn beyond_its_number_an_address_is_told_429_and_others_are_served() {
    let server = Running::with("--limit-per-ip 2");
    let _two = [from(1, &server).upgraded(), from(1, &server).upgraded()];
    for request in [HANDSHAKE, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut third = from(1, &server);
        third.send(request);
        let response = third.response();
        let fields = ["Retry-After", "Connection"].map(|name| response.field(name));
        assert_eq!((response.status, fields), (429, [Some("5"), Some("close")]));
        assert_eq!(response.json()["error"], "too many connections from this address");
        assert_eq!(third.rest(), b"");
    }
    let (mut third, response) = ask(from(1, &server), HEALTHZ);
    assert_eq!((response.status, third.rest()), (200, vec![]));
    from(2, &server).upgraded();
    assert_eq!(counted(&server, REFUSED), 3);
}

#[test]
fn a_place_of_an_address_that_is_given_up_can_be_taken() {
    let server = Running::with("--limit-per-ip 1");
    let began = Instant::now();
    let mut places_taken = 0;
    while places_taken < 20 {
        let (mut peer, response) = ask(from(3, &server), HANDSHAKE);
        // The one before counts until the server has seen the end of its stream.
        if response.status == 101 {
            peer.send(frame(CLOSE, ""));
            assert_eq!(peer.close_code(), None);
            places_taken += 1;
        }
        assert!(began.elapsed() < PATIENCE, "the place stays taken");
    }
}

#[test]
fn an_address_that_connects_too_often_is_told_when_it_may_again() {
    let server = Running::with("--limit-connect-rate 0.1");
    for _ in 0..10 {
        assert_eq!(status_from(4, &server, HANDSHAKE), 101);
    }
    let (mut eleventh, response) = ask(from(4, &server), "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let wait: u64 = response.field("Retry-After").unwrap().parse().unwrap();
    assert_eq!((response.status, eleventh.rest()), (429, vec![]));
    assert!((1..=10).contains(&wait), "{wait}");
    assert_eq!(status_from(5, &server, HANDSHAKE), 101);
}

#[test]
fn one_connection_that_is_kept_may_ask_as_often_as_it_likes() {
    let server = Running::with("--limit-connect-rate 0.1 --limit-per-ip 1");
    let mut peer = from(6, &server);
    for _ in 0..50 {
        peer.send(HEALTHZ);
        assert_eq!(peer.response().status, 200);
        peer.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(peer.response().status, 200);
    }
}

#[test]
fn of_those_too_many_that_say_nothing_only_a_few_are_kept() {
    let server = Running::with("--limit-per-ip 1");
    let _only = from(7, &server).upgraded();
    let silent: Vec<Peer> = (0..16).map(|_| from(7, &server)).collect();
    // These are accepted in their order: once the last one is answered, the others are known.
    let mut dropped = from(7, &server);
    let ended = dropped.try_send(HANDSHAKE).and_then(|()| dropped.try_response().map(drop)).unwrap_err();
    assert!(
        matches!(ended.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe),
        "{ended}"
    );
    for peer in silent {
        assert_eq!(ask(peer, HANDSHAKE).1.status, 429);
    }
    assert_eq!(counted(&server, REFUSED), 17);
}
