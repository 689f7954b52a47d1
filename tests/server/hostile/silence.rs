//! Requests that come slowly, by halves or never, and what is not HTTP at all.

use super::*;

#[test]
fn half_a_request_and_silence_is_told_408() {
    let (server, began) = (Running::with("--handshake-timeout 0.3"), Instant::now());
    for half in ["GET", "GET / HTTP/1.1\r\nHost: x\r\n", &HANDSHAKE[..HANDSHAKE.len() - 1]] {
        let mut peer = Peer::connect(server.address);
        peer.send(half);
        assert_eq!(peer.response().status, 408);
        assert_eq!(peer.rest(), b"");
    }
    assert_waited(began, 900);
}

/// Sends an octet of a field every 20 ms until there is an answer.
fn drip(peer: &mut Peer) {
    peer.send("GET / HTTP/1.1\r\nHost: x\r\nX: ");
    peer.socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let began = Instant::now();
    while peer.socket.peek(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock) {
        assert!(began.elapsed() < PATIENCE, "it may drip for ever");
        peer.send("x");
    }
    peer.socket.set_read_timeout(Some(PATIENCE)).unwrap();
}

#[test]
fn a_request_that_drips_is_told_408_in_time() {
    let server = Running::with("--handshake-timeout 0.3 --timeout-keep-alive 60");
    let began = Instant::now();
    let mut peer = Peer::connect(server.address);
    drip(&mut peer);
    assert_eq!(peer.response().status, 408);
    assert_waited(began, 300);
}

#[test]
fn a_later_request_that_drips_is_told_408_in_time() {
    let server = Running::with("--handshake-timeout 0.3 --timeout-keep-alive 60 --notify-interval 0.5");
    let (mut peer, mut client) = (Peer::connect(server.address), server.client());
    peer.send(HEALTHZ);
    assert_eq!(peer.response().status, 200);
    // By the second notification, no limit of the connection's beginning stands any more.
    let (_, _) = (client.hear(), client.hear());
    let began = Instant::now();
    drip(&mut peer);
    assert_eq!(peer.response().status, 408);
    assert_waited(began, 300);
}

#[test]
fn an_idle_connection_is_let_go_without_a_word() {
    let server = Running::with("--timeout-keep-alive 0.2");
    let mut peer = Peer::connect(server.address);
    let began = Instant::now();
    peer.send(HEALTHZ);
    assert_eq!(peer.response().status, 200);
    assert_eq!(peer.rest(), b"");
    assert_waited(began, 200);
}

#[test]
fn a_head_over_the_limit_is_told_431_even_if_it_never_ends() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address);
    peer.send("GET / HTTP/1.1\r\nHost: x\r\nX: ");
    for _ in 0..170 {
        peer.send("x".repeat(100));
    }
    assert_eq!(peer.response().status, 431);
    assert_eq!(peer.rest(), b"");
}

#[test]
fn five_hundred_silent_sockets_are_all_cut() {
    // Over TLS as many handshakes have to end within that.
    let server = Running::with("--handshake-timeout 2");
    let mut silent: Vec<Peer> = (0..500).map(|_| Peer::connect(server.address)).collect();
    for peer in &mut silent {
        assert_eq!(peer.rest(), b"", "who asks nothing is answered nothing");
    }
    assert_serves(&server);
}

#[test]
fn what_is_not_http_is_told_400() {
    let server = Running::with("");
    let tls_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let binary = [0, 255, 128, 7, 10, 13];
    for garbage in
        [&tls_hello[..], &binary, &frame(TEXT, "too early"), b"hello\r\n\r\n", b"GET / HTTP/1.1\rHost"]
    {
        let mut peer = Peer::connect(server.address);
        peer.send(garbage);
        assert_eq!(peer.response().status, 400, "{garbage:?}");
        assert_eq!(peer.rest(), b"", "{garbage:?}");
    }
}

#[test]
fn http_2_is_told_which_version_is_spoken() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address);
    peer.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(peer.response().status, 505);
}

#[test]
fn who_half_closes_still_gets_the_answer() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address);
    peer.send(HEALTHZ);
    peer.finish();
    assert_eq!(peer.response().status, 200);
    assert_eq!(peer.rest(), b"");
}
