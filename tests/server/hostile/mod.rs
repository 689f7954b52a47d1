//! What becomes of peers that misbehave: half requests, silence, floods, garbage, never-readers. Each ends as the
//! contract says, seen as bytes on the wire, and nobody else notices.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::SockRef;

use crate::running::Running;
use process::ServerProcess;
use support::client::Client;
use support::frames::{CLOSE, MASK, PING, TEXT, frame, header, text};
use support::peer::{HANDSHAKE, Peer};

mod crowds;
mod kernel;
mod pauses;
mod process;
mod publications;
mod requests;

const HEALTHZ: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

/// More than a socket with little room and the server's send buffer hold, once it is echoed; in one segment.
const MUCH_TO_ECHO: usize = 4000;

fn assert_serves(server: &Running) {
    let mut client = server.client();
    client.say("hello");
    assert_eq!(client.hear()["message"], "Server received: hello");
}

/// Listens to notifications until they say that so many are connected.
fn hear_until_active(client: &mut Client, count: u64) {
    while client.hear()["active_connections"] != count {}
}

/// The number of a periodic notification.
fn number_of(notification: &Value) -> u64 {
    let message = notification["message"].as_str().expect("notifications have a message");
    message.strip_prefix("Periodic notification #").expect("it is a periodic one").parse().unwrap()
}

/// Closes with a reset instead of an end.
fn reset(peer: Peer) {
    SockRef::from(&peer.socket).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
}

// Violations

/// Each kind of violation: what it is, the bytes, and the code it is closed with.
fn violations() -> Vec<(String, Vec<u8>, u16)> {
    let mut kinds = vec![
        ("not masked", b"\x81\x01x".to_vec(), 1002),
        ("reserved bit 1", frame(0xc1, "x"), 1002),
        ("reserved bit 2", frame(0xa1, "x"), 1002),
        ("reserved bit 3", frame(0x91, "x"), 1002),
        ("fragmented ping", frame(0x09, ""), 1002),
        ("fragmented close", frame(0x08, ""), 1002),
        ("ping over 125 bytes", frame(PING, [b'x'; 126]), 1002),
        ("continuation of nothing", frame(0x80, "x"), 1002),
        ("message inside a fragmented one", [frame(0x01, "a"), frame(TEXT, "b")].concat(), 1002),
        ("16-bit length of 5", [&[TEXT, 0xfe, 0, 5][..], &frame(TEXT, "hello")[2..]].concat(), 1002),
        (
            "64-bit length of 5",
            [&[TEXT, 0xff, 0, 0, 0, 0, 0, 0, 0, 5][..], &frame(TEXT, "hello")[2..]].concat(),
            1002,
        ),
        ("length over 63 bits", header(TEXT, u64::MAX), 1002),
        ("close with half a code", frame(CLOSE, b"\x03"), 1002),
        ("close whose reason is not UTF-8", frame(CLOSE, b"\x03\xe8\xff"), 1007),
        ("text that is not UTF-8", frame(TEXT, b"\xc0\xaf"), 1007),
        ("text that ends within a character", frame(TEXT, b"\xe2\x82"), 1007),
        ("not UTF-8 over fragments", [frame(0x01, b"\xe2\x82"), frame(0x80, "x")].concat(), 1007),
        (
            "not UTF-8 in the middle of a frame",
            frame(TEXT, [b"ok\xff", &[b'x'; 90][..]].concat())[..9].to_vec(),
            1007,
        ),
        ("a header of more than the limit", header(TEXT, 1001), 1009),
        ("a header of 1 GiB", header(TEXT, 1 << 30), 1009),
        ("fragments of more than the limit", [frame(0x01, [b'x'; 600]), header(0x80, 401)].concat(), 1009),
        ("binary", frame(0x82, "x"), 1003),
        ("fragmented binary", frame(0x02, ""), 1003),
    ]
    .into_iter()
    .map(|(what, bytes, code)| (what.to_owned(), bytes, code))
    .collect::<Vec<_>>();
    kinds.extend(
        [0x83, 0x84, 0x85, 0x86, 0x87, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f]
            .map(|first: u8| (format!("reserved opcode {:x}", first & 0xf), frame(first, ""), 1002)),
    );
    kinds.extend(
        [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535]
            .map(|code| (format!("close with {code}"), frame(CLOSE, code.to_be_bytes()), 1002)),
    );
    kinds
}

#[test]
fn each_violation_is_told_by_its_close_code_before_a_clean_end() {
    let server = Running::with("--ws-max-size 1000");
    for (what, bytes, code) in violations() {
        let mut peer = Peer::connect(server.address).upgraded();
        peer.send(bytes);
        assert_eq!(peer.close_code(), Some(code), "{what}");
    }
}

#[test]
fn each_violation_is_told_behind_the_answers_to_what_came_before_it_in_the_same_segment() {
    let server = Running::with("--ws-max-size 1000");
    for (what, bytes, code) in violations() {
        let mut peer = Peer::connect(server.address);
        peer.send([HANDSHAKE.as_bytes(), &text("fine"), &bytes].concat());
        assert_eq!(peer.head().status, 101, "{what}");
        assert_eq!(peer.message()["type"], "welcome", "{what}");
        assert_eq!(peer.message()["message"], "Server received: fine", "{what}");
        assert_eq!(peer.close_code(), Some(code), "{what}");
    }
}

#[test]
fn a_flood_behind_a_violation_does_not_destroy_the_close_frame() {
    let server = Running::with("");
    let flood = text(&"x".repeat(60_000)).repeat(17);
    for (violation, code) in
        [(frame(0x83, ""), 1002), (frame(0x82, "x"), 1003), (header(TEXT, 1 << 30), 1009)]
    {
        let mut peer = Peer::connect(server.address).upgraded();
        peer.send([violation, flood.clone()].concat());
        assert_eq!(peer.close_code(), Some(code));
    }
}

#[test]
fn a_message_of_just_the_limit_is_no_violation() {
    let server = Running::with("--ws-max-size 1000");
    let mut peer = Peer::connect(server.address).upgraded();
    peer.send([frame(0x01, [b'x'; 600]), frame(0x80, [b'x'; 400]), frame(CLOSE, "")].concat());
    assert_eq!(peer.close_code(), None);
}

// Slow and silent requests

#[test]
fn half_a_request_and_silence_is_told_408() {
    let (server, began) = (Running::with("--handshake-timeout 0.3"), Instant::now());
    for half in ["GET", "GET / HTTP/1.1\r\nHost: x\r\n", &HANDSHAKE[..HANDSHAKE.len() - 1]] {
        let mut peer = Peer::connect(server.address);
        peer.send(half);
        assert_eq!(peer.response().status, 408);
        assert_eq!(peer.rest(), b"");
    }
    assert!(began.elapsed() >= Duration::from_millis(900));
}

/// Sends an octet of a field every 20 ms until there is an answer.
fn drip(peer: &mut Peer) {
    peer.send("GET / HTTP/1.1\r\nHost: x\r\nX: ");
    peer.socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let began = Instant::now();
    while peer.socket.peek(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock) {
        assert!(began.elapsed() < support::DEADLINE, "it may drip for ever");
        peer.send("x");
    }
    peer.socket.set_read_timeout(Some(support::DEADLINE)).unwrap();
}

#[test]
fn a_request_that_drips_is_told_408_in_time() {
    let server = Running::with("--handshake-timeout 0.3 --timeout-keep-alive 60");
    let mut peer = Peer::connect(server.address);
    let began = Instant::now();
    drip(&mut peer);
    assert_eq!(peer.response().status, 408);
    assert!((300..10_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
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
    assert!((300..10_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

#[test]
fn an_idle_connection_is_let_go_without_a_word() {
    let server = Running::with("--timeout-keep-alive 0.2");
    let mut peer = Peer::connect(server.address);
    peer.send(HEALTHZ);
    assert_eq!(peer.response().status, 200);
    let began = Instant::now();
    assert_eq!(peer.rest(), b"");
    assert!(began.elapsed() >= Duration::from_millis(150));
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
    let server = Running::with("--handshake-timeout 0.3");
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

// Clients that do not read

#[test]
fn a_client_that_does_not_read_what_it_asks_for_is_cut_by_lag_and_nobody_else_notices() {
    let server = Running::with("--outbox-limit 65536 --notify-interval 0.1");
    let mut bystander = server.client();
    let first = number_of(&bystander.hear());
    let mut deaf = Peer::with_little_room(server.address).upgraded();
    deaf.send(text(&"x".repeat(2000)).repeat(1000));
    assert_eq!(deaf.close_code(), Some(4001));
    let heard = [(); 5].map(|()| number_of(&bystander.hear()));
    assert_eq!(heard, [1, 2, 3, 4, 5].map(|further| first + further));
}

#[test]
fn a_client_that_takes_nothing_is_cut_by_time_and_nobody_else_notices() {
    let server = Running::with("--write-timeout 0.3 --notify-interval 0.05");
    let mut bystander = server.client();
    let mut deaf = Peer::with_little_room(server.address).upgraded();
    deaf.send(text("x").repeat(MUCH_TO_ECHO));
    let (stalled, first) = (Instant::now(), number_of(&bystander.hear()));
    let mut heard = vec![];
    // What its system has taken at first is seen, and gives it the same time again.
    while stalled.elapsed() < Duration::from_millis(900) {
        heard.push(number_of(&bystander.hear()));
    }
    assert_eq!(deaf.close_code(), Some(4001));
    assert_eq!(heard, (first + 1..=first + heard.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_client_that_never_reads_again_is_forgotten() {
    let server = Running::with("--write-timeout 0.1 --notify-interval 0.1");
    let mut deaf = Peer::with_little_room(server.address).upgraded();
    deaf.send(text("x").repeat(MUCH_TO_ECHO));
    let mut bystander = server.client();
    hear_until_active(&mut bystander, 1);
    assert!(deaf.socket.take_error().is_ok(), "it is still there, and deaf");
}

#[test]
fn who_asks_for_pages_and_does_not_read_them_is_cut_by_time() {
    let server = Running::with("--write-timeout 0.1 --limit-concurrency 1");
    let mut deaf = Peer::with_little_room(server.address);
    deaf.send("GET /app.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(400));
    assert_eq!(deaf.response().status, 200);
    let status = || {
        let mut peer = Peer::connect(server.address);
        peer.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        peer.response().status
    };
    let began = Instant::now();
    while status() != 200 {
        assert!(began.elapsed() < support::DEADLINE, "the deaf one still holds its place");
    }
}

#[test]
fn a_client_without_pongs_is_told_4003() {
    let server = Running::with("--ws-ping-interval 0.1 --ws-ping-timeout 0.2");
    let mut peer = Peer::connect(server.address).upgraded();
    assert_eq!(peer.frame().first, PING);
    let pinged = Instant::now();
    peer.send(text("talking shows that somebody is there"));
    assert_eq!(peer.message()["type"], "echo");
    assert_eq!(peer.frame().first, PING, "and who is there is pinged again");
    assert_eq!(peer.close_code(), Some(4003));
    assert!(pinged.elapsed() >= Duration::from_millis(250));
}

#[test]
fn a_loud_client_does_not_keep_others_waiting() {
    let server = Running::with("");
    let (mut loud, mut quiet) =
        (Peer::connect(server.address).upgraded(), Peer::connect(server.address).upgraded());
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let pongs = frame(0x8a, [b'x'; 125]).repeat(1000);
            while !enough.load(Ordering::Relaxed) {
                loud.send(&pongs);
            }
        });
        for _ in 0..100 {
            quiet.send(text("hello"));
            assert_eq!(quiet.message()["message"], "Server received: hello");
        }
        enough.store(true, Ordering::Relaxed);
    });
}
