//! What becomes of peers that misbehave: half requests, silence, floods, garbage, never-readers. Each ends as the
//! contract says, seen as bytes on the wire, and nobody else notices.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::SockRef;
use support::client::Client;
use support::frames::{CLOSE, PING, TEXT, frame, header, text};
use support::peer::Peer;
use support::{HANDSHAKE, HEALTHZ, PATIENCE, assert_waited};

use crate::running::Running;

mod crowds;
mod deafness;
mod kernel;
mod publications;
mod requests;
mod silence;
mod violations;

/// More than a socket with little room and the server's send buffer hold, once it is echoed; in one segment.
const MUCH_TO_ECHO: usize = 4000;

fn assert_serves(server: &Running) {
    server.client().echo("hello");
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
