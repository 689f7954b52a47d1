//! What becomes of peers that misuse compression: each is told by its close code, and nobody else notices.

use flate2::{Compress, Compression, FlushCompress};

use super::*;

/// Serves with compression, and hears messages of up to a thousand bytes.
fn server() -> Running {
    Running::with("--ws-per-message-deflate --ws-max-size 1000")
}

fn code_for(server: &Running, octets: &[u8]) -> Option<u16> {
    let mut peer = joined(server, "permessage-deflate");
    peer.send([&text("before")[..], octets].concat());
    assert_eq!(echo(&mut peer), "Server received: before");
    peer.close_code()
}

#[test]
fn what_is_no_list_of_extensions_fails_the_handshake() {
    let server = server();
    for offers in [
        "permessage-deflate;",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; x=\"",
        "permessage-deflate, y z",
        "x\r\nSec-WebSocket-Extensions: =",
    ] {
        let mut peer = Peer::connect(server.address);
        peer.send(offering(offers));
        let answer = peer.last_response();
        assert_eq!(
            (answer.status, answer.text().contains("Sec-WebSocket-Extensions")),
            (400, true),
            "{offers}"
        );
    }
    assert_eq!(metric(&server, r#"slackwater_handshakes_rejected_total{reason="malformed"}"#), 5);
}

#[test]
fn as_many_offers_as_a_head_has_room_for_are_read() {
    let server = server();
    let declined = "permessage-deflate; x, ".repeat(600);
    for many in [declined, "x,".repeat(7000)] {
        assert_eq!(
            agreed(&server, &format!("Sec-WebSocket-Extensions: {many}permessage-deflate")),
            Some(AGREED.to_owned())
        );
    }
}

#[test]
fn a_bomb_is_refused_before_it_is_inflated_and_nobody_else_notices() {
    let server = server();
    let bomb = deflated(vec![0; 1024 * 1024]);
    assert!(bomb.len() < 1100, "{}", bomb.len());
    let stored = [&[0, 0xe9, 0x03, 0x16, 0xfc][..], &[b'x'; 1001], &[0]].concat();
    let empty_blocks = [0x02, 0x08, 0x20, 0x80, 0x00].repeat(1000);
    let mut other = joined(&server, "permessage-deflate");
    for payload in [bomb, stored, empty_blocks] {
        assert_eq!(code_for(&server, &frame(COMPRESSED, &payload)), Some(1009), "{}", payload.len());
        let fragments = [frame(0x41, &payload[..500]), frame(0x80, &payload[500..])].concat();
        assert_eq!(code_for(&server, &fragments), Some(1009), "{}", payload.len());
    }
    assert_eq!(code_for(&server, &header(COMPRESSED, 1 << 30)), Some(1009));
    other.send(frame(COMPRESSED, deflated(b"still here")));
    assert_eq!(echo(&mut other), "Server received: still here");
}

#[test]
fn reserved_bits_that_mean_nothing_are_a_violation() {
    let server = server();
    let payload = deflated(b"hello");
    for first in [0xe1, 0xd1, 0xf1, 0xa1, 0x91, 0xc0, 0xc8, 0xc9, 0xca, 0xc3, 0x49] {
        assert_eq!(code_for(&server, &frame(first, &payload)), Some(1002), "{first:x}");
    }
    let continued = [frame(0x41, &payload[..3]), frame(0xc0, &payload[3..])].concat();
    assert_eq!(code_for(&server, &continued), Some(1002));
}

#[test]
fn what_cannot_be_inflated_or_is_no_text_is_told_so() {
    let server = server();
    let payload = deflated(b"Hear, hear! Hear, hear!");
    assert_eq!(code_for(&server, &frame(COMPRESSED, &payload[..payload.len() - 3])), Some(1007));
    assert_eq!(code_for(&server, &frame(COMPRESSED, [&payload[..], b"more"].concat())), Some(1007));
    assert_eq!(code_for(&server, &frame(COMPRESSED, b"\xff\xff\xff")), Some(1007));
    assert_eq!(code_for(&server, &frame(COMPRESSED, deflated(b"\xff"))), Some(1007));
    assert_eq!(code_for(&server, &frame(0xc2, &payload)), Some(1003));
}

#[test]
fn a_window_from_one_message_to_the_next_is_not_kept() {
    let server = server();
    let mut stream = Compress::new(Compression::default(), false);
    let frames = [(); 2].map(|()| {
        let mut payload = Vec::with_capacity(100);
        stream.compress_vec(b"Hear, hear! Hear, hear!", &mut payload, FlushCompress::Sync).unwrap();
        payload.truncate(payload.len() - 4);
        frame(COMPRESSED, payload)
    });
    assert_eq!(code_for(&server, &frames[1]), Some(1007));
    let mut peer = joined(&server, "permessage-deflate");
    peer.send(frames.concat());
    assert_eq!(echo(&mut peer), "Server received: Hear, hear! Hear, hear!");
    assert_eq!(peer.close_code(), Some(1007));
}

#[test]
fn messages_that_inflate_to_much_more_than_they_are_wait_for_their_answers_to_be_taken() {
    // A tenth of this is more than what waits for an answer may be.
    const MANY: usize = 200;
    let server = Running::with("--ws-per-message-deflate --outbox-limit 262144");
    let long = "x".repeat(50_000);
    let message = frame(COMPRESSED, deflated(long.as_bytes()));
    assert!(message.len() * MANY < 20_000);
    let mut peer = joined(&server, "permessage-deflate");
    peer.send([message.repeat(MANY), frame(COMPRESSED, deflated(b"last"))].concat());
    let mut other = server.client();
    other.echo("served meanwhile");
    for _ in 0..MANY {
        assert_eq!(echo(&mut peer), format!("Server received: {long}"));
    }
    assert_eq!(echo(&mut peer), "Server received: last");
}

#[test]
fn a_client_that_leaves_while_much_of_it_is_unheard_is_forgotten() {
    let server = Running::with("--ws-per-message-deflate --outbox-limit 262144");
    let message = frame(COMPRESSED, deflated("x".repeat(50_000).as_bytes()));
    let mut peer = joined(&server, "permessage-deflate");
    peer.send([message.repeat(300), frame(0x88, b"")].concat());
    peer.finish();
    let frames: Vec<u8> = std::iter::repeat_with(|| peer.frame().first).take(301).collect();
    assert_eq!(frames, [&[0x81; 300][..], &[0x88]].concat(), "what was sent is answered");
    assert_eq!(peer.rest(), b"");
    server.client().echo("hello");
}

#[test]
fn whoever_sends_too_many_messages_is_held_back_whether_they_are_compressed_or_not() {
    let server = Running::with("--ws-per-message-deflate --limit-messages 100");
    let mut peer = joined(&server, "permessage-deflate");
    let messages: Vec<u8> = (0..130)
        .flat_map(|n| {
            let message = format!("{n} {}", "x".repeat(20_000));
            frame(COMPRESSED, deflated(message.as_bytes()))
        })
        .collect();
    peer.send(messages);
    for n in 0..130 {
        let heard = echo(&mut peer);
        assert!(heard.as_str().unwrap().starts_with(&format!("Server received: {n} x")), "{n}");
    }
}
