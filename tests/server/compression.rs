//! permessage-deflate (RFC 7692) on the wire: what is agreed on, and what is heard of whom. What is compressed here is so by
//! `flate2` itself.

use flate2::{Decompress, FlushDecompress};
use serde_json::{Value, json};
use support::frames::{COMPRESSED, PING, deflated, frame, header, text};
use support::handshake_with;
use support::peer::{Frame, Peer};
use support::publisher::Publisher;

use crate::running::Running;

mod hostile;
mod outgoing;

/// What is always answered.
const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// A handshake that offers these extensions.
fn offering(offers: &str) -> String {
    handshake_with(&format!("Sec-WebSocket-Extensions: {offers}"))
}

/// What is agreed on, if anything, when these fields are sent.
fn agreed(server: &Running, fields: &str) -> Option<String> {
    let mut peer = Peer::connect(server.address);
    peer.send(handshake_with(fields));
    let answer = peer.head();
    assert_eq!(answer.status, 101, "{fields}");
    answer.field("Sec-WebSocket-Extensions").map(str::to_owned)
}

/// A client that has agreed on compression with these offers, and has been welcomed.
fn joined(server: &Running, offers: &str) -> Peer {
    joined_at(server, "/ws", offers)
}

/// The same, asking for this.
fn joined_at(server: &Running, target: &str, offers: &str) -> Peer {
    let mut peer = Peer::connect(server.address);
    peer.send(offering(offers).replacen("/ws", target, 1));
    assert!(peer.head().field("Sec-WebSocket-Extensions").is_some_and(|answer| answer.starts_with(AGREED)));
    assert_eq!(peer.message()["type"], "welcome");
    peer
}

/// A message that was compressed, inflated with a window of so many bits.
fn inflated(payload: &[u8], window_bits: u8) -> Vec<u8> {
    let mut stream = Decompress::new_with_window_bits(false, window_bits);
    let mut message = Vec::with_capacity(1024 * 1024);
    let input = [payload, &[0, 0, 0xff, 0xff]].concat();
    stream.decompress_vec(&input, &mut message, FlushDecompress::Sync).unwrap();
    assert_eq!(stream.total_in(), input.len() as u64);
    message
}

/// The value of a metric.
fn metric(server: &Running, name: &str) -> u64 {
    let mut peer = Peer::connect(server.address);
    peer.send("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    let response = peer.response();
    let mut lines = response.text().lines().filter_map(|line| line.split_once(' '));
    let value = lines.find(|(sample, _)| *sample == name).map(|(_, value)| value.parse().unwrap());
    value.unwrap_or_else(|| panic!("no {name} in {}", response.text()))
}

/// The reply to a message of ours.
fn echo(peer: &mut Peer) -> Value {
    let reply = peer.message();
    assert_eq!(reply["type"], "echo");
    reply["message"].clone()
}

#[test]
fn compression_is_agreed_on_only_where_it_is_switched_on() {
    for flags in ["", "--ws-per-message-deflate false"] {
        let server = Running::with(flags);
        for offers in
            ["permessage-deflate", "permessage-deflate; client_max_window_bits", "permessage-deflate;"]
        {
            assert_eq!(
                agreed(&server, &format!("Sec-WebSocket-Extensions: {offers}")),
                None,
                "{flags} {offers}"
            );
        }
        let mut peer = Peer::connect(server.address).upgraded();
        peer.send(frame(COMPRESSED, deflated(b"hello")));
        assert_eq!(peer.close_code(), Some(1002));
    }
}

#[test]
fn of_all_that_is_offered_the_first_that_can_be_accepted_is_agreed_on() {
    let server = Running::with("--ws-per-message-deflate");
    let with_window = |bits| Some(format!("{AGREED}; server_max_window_bits={bits}"));
    for (fields, answer) in [
        ("Sec-WebSocket-Extensions: permessage-deflate", Some(AGREED.to_owned())),
        ("sec-websocket-extensions: permessage-deflate; client_max_window_bits", Some(AGREED.to_owned())),
        ("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=9", Some(AGREED.to_owned())),
        ("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8", with_window(8)),
        (
            "Sec-WebSocket-Extensions: x, permessage-deflate; x\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=\"10\", permessage-deflate",
            with_window(10),
        ),
        ("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits", None),
        ("Sec-WebSocket-Extensions: permessage-bzip2", None),
        ("Sec-WebSocket-Extensions:", None),
        ("X-Other: permessage-deflate", None),
    ] {
        assert_eq!(agreed(&server, fields), answer, "{fields}");
    }
}

#[test]
fn messages_of_a_client_are_heard_compressed_or_plain_whole_or_in_fragments() {
    let server = Running::with("--ws-per-message-deflate");
    let mut peer = joined(&server, "permessage-deflate; client_max_window_bits");
    let long = "Hear, hear! ".repeat(1000);
    let payload = deflated(long.as_bytes());
    assert!(payload.len() < 200);
    peer.send(
        [
            frame(COMPRESSED, deflated(b"one")),
            text("two"),
            frame(0x41, &payload[..9]),
            frame(PING, "p"),
            frame(0x80, &payload[9..]),
            frame(COMPRESSED, b"\0"),
        ]
        .concat(),
    );
    assert_eq!([echo(&mut peer), echo(&mut peer)], ["Server received: one", "Server received: two"]);
    assert_eq!(peer.frame(), Frame { first: 0x8a, payload: b"p".to_vec() });
    assert_eq!(
        [echo(&mut peer), echo(&mut peer)],
        [format!("Server received: {long}"), "Server received: ".into()]
    );
    // A command is one, compressed or not.
    peer.send(frame(COMPRESSED, deflated(br#"{"type":"subscribe","topic":"orders"}"#)));
    assert_eq!(peer.message()["type"], "subscribed");
}

#[test]
fn a_compressed_message_in_the_same_segment_as_the_handshake_is_heard() {
    let server = Running::with("--ws-per-message-deflate");
    let mut peer = Peer::connect(server.address);
    let early = frame(COMPRESSED, deflated(b"early"));
    peer.send([offering("permessage-deflate").as_bytes(), &early[..]].concat());
    assert_eq!((peer.head().status, peer.message()["type"].clone()), (101, "welcome".into()));
    assert_eq!(echo(&mut peer), "Server received: early");
}
