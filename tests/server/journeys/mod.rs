//! What well-behaved clients live to see, from the handshake to the farewell: a server of this process on a free
//! port, and bytes on the wire. Who misbehaves is in `hostile`.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slackwater::policy::drain::Outcome;
use support::client::Client;
use support::frames::{CLOSE, PING, TEXT, frame, text};
use support::peer::{Frame, Peer, Response};
use support::{HANDSHAKE, HEALTHZ, assert_waited};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Error, Message};

use crate::running::Running;

mod ageing;
mod http;
mod leaving;
mod messages;
mod websocket;

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

/// An echo without its time, and without the id up to which all was heard: there is one while nothing is still to come.
fn placeless(message: Value) -> Value {
    let mut message = timeless(message);
    let last_event_id = message.as_object_mut().unwrap().remove("last_event_id");
    assert!(last_event_id.is_some_and(|id| id.is_string()), "{message}");
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
