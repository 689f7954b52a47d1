//! Behind a proxy that says by the PROXY protocol who has connected to it.

use support::frames::{CLOSE, frame};

use super::*;

/// What version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

const LINE: &str = "PROXY TCP4 203.0.113.5 127.0.0.1 4660 8000\r\n";

/// Version 2: of this client, or of the proxy itself.
fn binary(client: Option<[u8; 4]>) -> Vec<u8> {
    match client {
        Some([a, b, c, d]) => {
            [SIGNATURE, &[0x21, 0x11, 0, 12, a, b, c, d, 127, 0, 0, 1, 0x12, 0x34, 0x1f, 0x40]].concat()
        }
        None => [SIGNATURE, &[0x20, 0, 0, 0]].concat(),
    }
}

fn behind(preamble: impl AsRef<[u8]>, request: &str) -> Vec<u8> {
    [preamble.as_ref(), request.as_bytes()].concat()
}

fn ask_behind(preamble: &str, server: &Running) -> u16 {
    let mut peer = from(1, server);
    peer.send(behind(preamble, HANDSHAKE));
    peer.head().status
}

#[test]
fn the_client_is_whoever_the_proxy_names_in_either_version_and_in_any_pieces() {
    let server = Running::with("--proxy-protocol --limit-per-ip 1");
    let mut one = from(1, &server);
    for octet in behind(LINE, HANDSHAKE) {
        one.send([octet]);
    }
    assert_eq!(one.head().status, 101);
    let mut two = from(1, &server);
    two.send(behind(binary(Some([203, 0, 113, 6])), HANDSHAKE));
    assert_eq!(two.head().status, 101);
    for preamble in [LINE.as_bytes().to_vec(), binary(Some([203, 0, 113, 6]))] {
        let mut refused = from(1, &server);
        refused.send(behind(&preamble, PAGE));
        assert_eq!((refused.response().status, refused.rest()), (429, vec![]));
    }
    one.message();
    one.send(frame(CLOSE, ""));
    assert_eq!(one.close_code(), None);
    // It counts until the server has seen the end of its stream.
    drop(one);
    let began = Instant::now();
    while ask_behind(LINE, &server) != 101 {
        assert!(began.elapsed() < PATIENCE, "the place stays taken");
    }
}

#[test]
fn what_comes_without_an_address_is_answered_and_not_counted() {
    let server = Running::with("--proxy-protocol --limit-per-ip 1 --limit-connect-rate 0.1");
    let mut kept = vec![];
    for _ in 0..10 {
        for preamble in [binary(None), b"PROXY UNKNOWN\r\n".to_vec()] {
            let mut peer = from(1, &server);
            peer.send(behind(preamble, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            assert_eq!(peer.response().status, 200);
            kept.push(peer);
        }
    }
}

#[test]
fn without_it_a_connection_is_closed_without_a_word() {
    let server = Running::with("--proxy-protocol");
    for wrong in [HANDSHAKE, PAGE, "PROXY TCP4 1.2.3\r\n", "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut peer = from(1, &server);
        peer.send(wrong);
        assert_eq!(peer.rest(), b"", "{wrong}");
    }
    let mut watcher = from(1, &server);
    watcher.send(behind(binary(None), "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let metrics = watcher.response();
    let line = r#"slackwater_handshakes_rejected_total{reason="proxy_protocol"} 4"#;
    assert!(metrics.text().contains(line), "{}", metrics.text());
}

#[test]
fn half_of_it_is_waited_for_as_long_as_for_a_request_and_then_closed_without_a_word() {
    let server = Running::with("--proxy-protocol --handshake-timeout 0.2");
    for half in ["", &LINE[..20], "\r\n\r\n\0\r\nQUIT\n\x21"] {
        let mut peer = from(1, &server);
        peer.send(half);
        assert_eq!(peer.rest(), b"", "{half}");
    }
    // A request behind it is one that is not complete in time.
    let mut late = from(1, &server);
    late.send(behind(LINE, "GET / HTTP"));
    assert_eq!(late.response().status, 408);
}

#[test]
fn whoever_is_not_listed_is_reset_whatever_it_says() {
    let server = Running::with("--proxy-protocol --forwarded-allow-ips 127.0.0.1,10.0.0.0/8");
    let dropped = Peer::try_connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), server.address);
    let ended = dropped.and_then(|mut peer| {
        peer.try_send(behind(LINE, PAGE))?;
        peer.try_response()
    });
    let kind = ended.unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind}");
    let mut listed = from(1, &server);
    listed.send(behind(LINE, PAGE));
    assert_eq!(listed.response().status, 200);
}

#[test]
fn a_client_of_a_proxy_is_no_program_on_this_machine() {
    let server = Running::with("--proxy-protocol");
    let publish = "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx";
    // One without an address, too: it may have reached the proxy through a Unix socket.
    let unknown = [[0x21, 0, 0, 0].as_slice(), &[0x21, 1, 0, 2, 0, 0]].map(|rest| [SIGNATURE, rest].concat());
    let clients = [LINE.into(), b"PROXY UNKNOWN\r\n".to_vec()].into_iter().chain(unknown);
    for (preamble, status) in clients.map(|it| (it, 403)).chain([(binary(None), 200)]) {
        for request in [publish, "GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
            let mut peer = from(1, &server);
            peer.send(behind(&preamble, request));
            assert_eq!(peer.response().status, status, "{}", preamble.escape_ascii());
        }
    }
}

#[test]
fn what_a_proxy_asks_by_itself_is_answered_whatever_else_it_says() {
    let server = Running::with("--proxy-protocol");
    for beside in [[0x11, 0, 0].as_slice(), &[0x31, 0, 0], &[0x99, 0, 4, 1, 2, 3, 4]] {
        let mut peer = from(1, &server);
        peer.send(behind([SIGNATURE, &[0x20], beside].concat(), PAGE));
        assert_eq!(peer.response().status, 200, "{beside:?}");
    }
}

#[test]
fn behind_two_proxies_the_field_names_the_client_if_the_one_in_front_is_listed() {
    let server = Running::with(
        "--proxy-protocol --proxy-headers --forwarded-allow-ips 127.0.0.1,10.0.0.0/8 --limit-per-ip 1",
    );
    let outer = binary(Some([10, 0, 0, 7]));
    let mut kept = vec![];
    for (preamble, named, status) in [
        (outer.as_slice(), "203.0.113.5", 101),
        (&outer, "203.0.113.6", 101),
        (&outer, "203.0.113.5", 429),
        (LINE.as_bytes(), "203.0.113.7", 429),
    ] {
        let mut peer = from(1, &server);
        peer.send(behind(preamble, &for_client(HANDSHAKE, named)));
        assert_eq!(peer.head().status, status, "{named}");
        kept.push(peer);
    }
}
