//! What one address may take, seen from several: all of 127.0.0.0/8 is this machine.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use support::frames::{CLOSE, frame};
use support::peer::{Peer, Response};
use support::{HANDSHAKE, HEALTHZ, PATIENCE};

use crate::running::Running;

mod announced;
mod departed;
mod messages;

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
    // A probe is told that the server is there, and is not refused.
    assert_eq!(counted(&server, REFUSED), 2);
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
    // They are accepted in their order, so the next one is beyond what is kept.
    let dropped = Peer::try_connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 7)), server.address);
    let ended = dropped.and_then(|mut peer| {
        peer.try_send(HANDSHAKE)?;
        peer.try_response()
    });
    let kind = ended.unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind}");
    for peer in silent {
        assert_eq!(ask(peer, HANDSHAKE).1.status, 429);
    }
    assert_eq!(counted(&server, REFUSED), 17);
}

/// What a proxy at 127.0.0.1 says of a request.
fn forwarded(request: &str, fields: &str) -> String {
    request.replacen("\r\n", &format!("\r\n{fields}\r\n"), 1)
}

fn for_client(request: &str, client: &str) -> String {
    forwarded(request, &format!("X-Forwarded-For: {client}"))
}

const PAGE: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn behind_a_proxy_that_is_listed_each_client_has_its_own_number() {
    let server = Running::with("--limit-per-ip 1 --proxy-headers");
    let (_one, welcomed) = ask(from(1, &server), &for_client(HANDSHAKE, "6.6.6.6, 203.0.113.1"));
    let mut refused = from(1, &server);
    refused.send(for_client(HANDSHAKE, "7.7.7.7, 203.0.113.1"));
    let (_other, another) = ask(from(1, &server), &for_client(HANDSHAKE, "203.0.113.2"));
    assert_eq!([welcomed.status, refused.response().status, another.status], [101, 429, 101]);
    // Several fields are one list.
    let mut refused = from(1, &server);
    refused.send(forwarded(
        HANDSHAKE,
        "X-Forwarded-For: 203.0.113.2, 203.0.113.9\r\nX-Forwarded-For: 203.0.113.2",
    ));
    assert_eq!((refused.response().status, refused.rest()), (429, vec![]));
}

#[test]
fn whoever_is_not_listed_speaks_for_nobody() {
    let server = Running::with("--limit-per-ip 1 --proxy-headers --forwarded-allow-ips 127.0.0.1,10.0.0.0/8");
    let _one = from(2, &server).upgraded();
    for client in ["203.0.113.1", "10.0.0.1", "127.0.0.1"] {
        assert_eq!(status_from(2, &server, &for_client(PAGE, client)), 429);
    }
    let off = Running::with("--limit-per-ip 1");
    let _one = from(1, &off).upgraded();
    assert_eq!(status_from(1, &off, &for_client(PAGE, "203.0.113.1")), 429);
}

#[test]
fn what_a_proxy_asks_by_itself_is_not_counted() {
    let server = Running::with("--limit-per-ip 1 --limit-connect-rate 0.1 --proxy-headers");
    let _two = [from(1, &server).upgraded(), from(1, &server).upgraded()];
    for _ in 0..20 {
        assert_eq!(status_from(1, &server, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"), 200);
        assert_eq!(status_from(1, &server, &for_client(HEALTHZ, "203.0.113.1")), 200);
    }
}

#[test]
fn a_connection_that_a_proxy_keeps_counts_for_whoever_asks_on_it() {
    let server = Running::with("--limit-per-ip 1 --limit-connect-rate 0.1 --proxy-headers");
    let mut kept = [from(1, &server), from(1, &server)];
    // Each is new to a client once, and idle ones are nobody's.
    for _ in 0..30 {
        for (peer, client) in kept.iter_mut().zip(["203.0.113.1", "203.0.113.2"]) {
            peer.send(for_client(PAGE, client));
            assert_eq!(peer.response().status, 200);
        }
    }
    let [mut one, mut two] = kept;
    one.send(for_client(HANDSHAKE, "203.0.113.2"));
    assert_eq!(one.head().status, 101);
    // The other connection was this client's before, and is now one too many.
    two.send(for_client(PAGE, "203.0.113.1"));
    assert_eq!(two.response().status, 200);
    two.send(for_client(PAGE, "203.0.113.2"));
    assert_eq!((two.response().status, two.rest()), (429, vec![]));
    assert_eq!(status_from(1, &server, &for_client(PAGE, "203.0.113.1")), 200);
    assert_eq!(counted(&server, REFUSED), 1);
}

#[test]
fn a_client_that_changes_with_every_request_is_a_new_connection_each_time() {
    let server = Running::with("--limit-connect-rate 0.1 --proxy-headers");
    let mut kept = from(1, &server);
    for nth in 0..10 {
        for client in ["203.0.113.1", "203.0.113.2"] {
            kept.send(for_client(PAGE, client));
            assert_eq!(kept.response().status, 200, "{nth}");
        }
    }
    kept.send(for_client(PAGE, "203.0.113.1"));
    assert_eq!(kept.response().status, 429);
}

#[test]
fn requests_of_several_clients_that_come_at_once_leave_no_count_behind() {
    let server = Running::with("--limit-per-ip 1 --proxy-headers --publish-token sesame");
    let publish =
        "POST /publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sesame\r\nContent-Length: 1\r\n\r\nx";
    let mut kept = from(1, &server);
    let clients = ["203.0.113.1", "203.0.113.1", "203.0.113.2"];
    kept.send(clients.map(|client| for_client(publish, client)).concat());
    assert_eq!(clients.map(|_| kept.response().status), [200; 3]);
    for client in &clients[1..] {
        let (_peer, response) = ask(from(1, &server), &for_client(HANDSHAKE, client));
        assert_eq!(response.status, 101);
    }
}
