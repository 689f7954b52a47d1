//! What well-behaved clients live to see, from the handshake to the farewell: a server of this process on a free
//! port, and bytes on the wire. Who misbehaves is in `hostile`.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slackwater::policy::drain::Outcome;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Error, Message};

use crate::running::Running;
use support::client::Client;
use support::frames::{CLOSE, PING, TEXT, frame, text};
use support::peer::{Frame, HANDSHAKE, Peer, Response};

mod http;
mod leaving;

const HEALTHZ: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

/// Signals, and waits until the drain has begun: an idle HTTP connection is let go then.
fn leave(server: &Running) {
    let mut idle = Peer::connect(server.address);
    idle.send(HEALTHZ);
    assert_eq!(idle.response().status, 200);
    server.signal();
    assert_eq!(idle.rest(), b"");
}

/// The answer to one request of a connection of its own, with further header fields.
fn ask(server: &Running, request: &str) -> Response {
    let mut peer = Peer::connect(server.address);
    peer.send(request.replace('\n', "\r\n"));
    peer.response()
}

fn get(server: &Running, path: &str) -> Response {
    ask(server, &format!("GET {path} HTTP/1.1\nHost: x\n\n"))
}

/// Takes the timestamp out of a message, which is RFC 3339, UTC, in milliseconds.
fn timeless(mut message: Value) -> Value {
    let timestamp = message.as_object_mut().unwrap().remove("timestamp").expect("messages have a timestamp");
    let timestamp = timestamp.as_str().unwrap();
    assert_eq!(timestamp.len(), "2026-11-22T12:00:00.000Z".len(), "{timestamp}");
    assert!(timestamp.ends_with('Z') && timestamp.parse::<jiff::Timestamp>().is_ok(), "{timestamp}");
    message
}

fn echo_of(text: &str) -> Value {
    json!({"type": "echo", "message": format!("Server received: {text}")})
}

fn close_of(client: &mut Client) -> CloseFrame {
    match client.socket.read() {
        Ok(Message::Close(Some(close))) => close,
        other => panic!("expected a close frame, not {other:?}"),
    }
}

// Messages

#[test]
fn the_welcome_comes_first_with_all_that_the_contract_names() {
    let server = Running::with("");
    let mut welcome = timeless(server.client().welcome);
    let fields = welcome.as_object_mut().unwrap();
    for opaque in ["connection_id", "last_event_id"] {
        let value = fields.remove(opaque).unwrap();
        assert!(value.as_str().is_some_and(|value| !value.is_empty()), "{opaque} is {value}");
    }
    assert_eq!(
        welcome,
        json!({
            "type": "welcome", "message": "Connected to WebSocket server",
            "topics": ["notifications"], "resumed": false, "ping_interval_ms": null
        })
    );
    for (flags, interval) in [("--ws-ping-interval 0", json!(null)), ("--ws-ping-interval 2.5", json!(2_500))]
    {
        let welcome = Running::with(flags).client().welcome;
        assert_eq!(welcome.get("ping_interval_ms"), Some(&interval), "{flags}");
    }
}

#[test]
fn connections_have_names_of_their_own() {
    let server = Running::with("");
    let (one, other) = (server.client(), server.client());
    assert_ne!(one.welcome["connection_id"], other.welcome["connection_id"]);
}

#[test]
fn everyone_hears_the_same_notifications_in_the_same_order() {
    let server = Running::with("--notify-interval 0.2");
    let mut clients: [Client; 3] = std::array::from_fn(|_| server.client());
    let heard = clients.each_mut().map(|client| {
        let all_here = |message: &Value| message["active_connections"] == 3;
        let messages = std::iter::repeat_with(|| client.hear()).skip_while(|message| !all_here(message));
        messages.take(3).collect::<Vec<_>>()
    });
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[1], heard[2]);
    let numbers = heard[0].iter().map(|message| message["message"].as_str().unwrap());
    let numbers = numbers.map(|message| message.strip_prefix("Periodic notification #").unwrap());
    let numbers: Vec<u64> = numbers.map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers, [numbers[0], numbers[0] + 1, numbers[0] + 2]);
}

#[test]
fn a_notification_has_all_that_the_contract_names() {
    let server = Running::with("--notify-interval 0.1");
    let mut client = server.client();
    let (mut first, second) = (timeless(client.hear()), client.hear());
    let id = first.as_object_mut().unwrap().remove("id").unwrap();
    assert!(id.is_string() && id != second["id"], "{id}");
    let number = first["message"].clone();
    assert_eq!(
        first,
        json!({"type": "notification", "topic": "notifications", "message": number, "active_connections": 1})
    );
}

#[test]
fn who_joins_later_hears_what_follows_the_newest_id_of_its_welcome() {
    let server = Running::with("--notify-interval 0.1");
    let mut early = server.client();
    let mut ids = vec![early.hear()["id"].clone()];
    let mut late = server.client();
    let first_of_late = late.hear()["id"].clone();
    while ids.last() != Some(&first_of_late) {
        ids.push(early.hear()["id"].clone());
    }
    assert_eq!(ids[ids.len() - 2], late.welcome["last_event_id"]);
}

#[test]
fn text_is_echoed() {
    let server = Running::with("");
    let mut client = server.client();
    for text in ["hello", "", "ö €", "{\"a\":1}", "[\"type\"]", &"x".repeat(65_536)] {
        client.say(text);
        assert_eq!(timeless(client.hear()), echo_of(text));
    }
}

#[test]
fn an_unknown_command_is_answered_with_an_error() {
    let server = Running::with("");
    let mut client = server.client();
    client.say(r#"{"type":"dance"}"#);
    assert_eq!(
        timeless(client.hear()),
        json!({"type": "error", "code": "bad_message", "message": "unknown type \"dance\""})
    );
    client.say("still here");
    assert_eq!(timeless(client.hear()), echo_of("still here"));
}

#[test]
fn a_burst_of_short_messages_is_answered_whole_when_the_client_reads() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address).upgraded();
    let mut writer = peer.socket.try_clone().unwrap();
    let talking = std::thread::spawn(move || writer.write_all(&text("x").repeat(40_000)));
    let answers = std::iter::repeat_with(|| peer.frame().first).take(40_000);
    assert_eq!(answers.take_while(|first| *first == TEXT).count(), 40_000);
    talking.join().unwrap().unwrap();
}

#[test]
fn who_answers_pings_stays_and_is_pinged_again_after_the_interval() {
    let server = Running::with("--ws-ping-interval 0.1 --ws-ping-timeout 60");
    let mut client = server.client();
    for _ in 0..5 {
        assert!(matches!(client.socket.read(), Ok(Message::Ping(_))), "a ping comes long before the timeout");
    }
    client.say("still here");
    assert_eq!(timeless(client.hear()), echo_of("still here"));
}

// The WebSocket on the wire

#[test]
fn the_handshake_of_the_rfc_is_answered_as_in_the_rfc() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address);
    peer.send(HANDSHAKE);
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_eq!(peer.head().head, head);
}

#[test]
fn a_frame_in_the_same_segment_as_the_handshake_is_not_lost() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address);
    peer.send([HANDSHAKE.as_bytes(), &text("early")].concat());
    assert_eq!(peer.head().status, 101);
    assert_eq!(peer.message()["type"], "welcome");
    assert_eq!(timeless(peer.message()), echo_of("early"));
}

#[test]
fn half_a_frame_in_the_same_segment_as_the_handshake_is_not_lost() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address);
    let early = text("early");
    peer.send([HANDSHAKE.as_bytes(), &early[..7]].concat());
    assert_eq!(peer.head().status, 101);
    assert_eq!(peer.message()["type"], "welcome");
    peer.send(&early[7..]);
    assert_eq!(timeless(peer.message()), echo_of("early"));
}

#[test]
fn a_handshake_and_a_frame_may_come_byte_by_byte() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address);
    for octet in [HANDSHAKE.as_bytes(), &text("slow")].concat() {
        peer.send([octet]);
    }
    assert_eq!(peer.head().status, 101);
    assert_eq!(peer.message()["type"], "welcome");
    assert_eq!(timeless(peer.message()), echo_of("slow"));
}

#[test]
fn a_ping_between_fragments_is_answered_before_the_message_is_whole() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address).upgraded();
    peer.send([frame(0x01, "frag"), frame(PING, "p"), frame(0x00, "")].concat());
    assert_eq!(peer.frame(), Frame { first: 0x8a, payload: b"p".to_vec() });
    peer.send(frame(0x80, "ments"));
    assert_eq!(timeless(peer.message()), echo_of("fragments"));
}

#[test]
fn a_close_is_echoed_with_its_code_and_ends_the_stream() {
    let server = Running::with("");
    for (payload, code) in
        [(&b"\x03\xe8bye"[..], Some(1000)), (b"\x03\xf6", Some(1014)), (b"\x10\xe1", Some(4321)), (b"", None)]
    {
        let mut peer = Peer::connect(server.address).upgraded();
        peer.send(frame(CLOSE, payload));
        assert_eq!(peer.close_code(), code);
    }
}

#[test]
fn what_was_said_before_a_close_is_answered_before_the_echo_of_the_close() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address).upgraded();
    peer.send([text("last words"), frame(CLOSE, b"\x03\xe8")].concat());
    assert_eq!(timeless(peer.message()), echo_of("last words"));
    assert_eq!(peer.close_code(), Some(1000));
}

#[test]
fn a_close_of_the_client_is_agreed_on() {
    let server = Running::with("");
    let mut client = server.client();
    client.socket.close(None).unwrap();
    assert!(matches!(client.socket.read(), Ok(Message::Close(None))));
    assert!(matches!(client.socket.read(), Err(Error::ConnectionClosed)));
}

// Handshakes that are refused, and some that are not

#[test]
fn a_handshake_that_breaks_a_rule_is_refused_with_400() {
    let server = Running::with("");
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let broken = [
        HANDSHAKE.replace(key, ""),
        HANDSHAKE.replace(key, "Sec-WebSocket-Key: c2hvcnQ=\r\n"),
        HANDSHAKE.replace(key, &[key, key].concat()),
        HANDSHAKE.replace("Host: x\r\n", ""),
        HANDSHAKE.replace("Host: x\r\n", "Host: x\r\nHost: x\r\n"),
        HANDSHAKE.replace("Connection: Upgrade", "Connection: keep-alive"),
    ];
    for request in broken {
        let mut peer = Peer::connect(server.address);
        peer.send([&request, HEALTHZ].concat());
        let response = peer.response();
        assert_eq!((response.status, response.field("Connection")), (400, Some("close")), "{request}");
        assert_eq!(peer.rest(), b"", "{request}");
    }
}

#[test]
fn another_version_is_told_which_one_is_spoken() {
    let server = Running::with("");
    for version in ["Sec-WebSocket-Version: 8\n", ""] {
        let handshake = HANDSHAKE.replace("\r\n", "\n").replace("Sec-WebSocket-Version: 13\n", version);
        let response = ask(&server, &handshake);
        assert_eq!((response.status, response.field("Sec-WebSocket-Version")), (426, Some("13")));
    }
    assert_eq!(get(&server, "/ws").status, 426);
}

#[test]
fn letter_case_and_further_tokens_do_not_matter() {
    let server = Running::with("");
    let fine = [
        HANDSHAKE.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        HANDSHAKE.replace("Connection: Upgrade", "CONNECTION: uPGRADE"),
        HANDSHAKE.replace("Upgrade: websocket", "upgrade: h2c,WebSocket"),
        HANDSHAKE.replace("/ws", "/ws?topic=notifications"),
        HANDSHAKE.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        HANDSHAKE.replace("\r\n\r\n", "\r\nOrigin: null\r\nSec-WebSocket-Protocol: a, b\r\n\r\n"),
    ];
    for request in fine {
        let mut peer = Peer::connect(server.address);
        peer.send(&request);
        let response = peer.head();
        assert_eq!(response.status, 101, "{request}");
        let chosen = ["Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"].map(|name| response.field(name));
        assert_eq!(chosen, [None, None], "nothing is chosen that is not spoken");
    }
}
