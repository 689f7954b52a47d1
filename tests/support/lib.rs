//! What the test suites share: frames and requests as a client writes them, a peer that speaks in bytes, and a client
//! that nobody here wrote. No sleeps and no fixed ports: every wait is for a fact, with a deadline that fails the test.

use std::time::{Duration, Instant};

pub mod bridge;
pub mod client;
pub mod events;
pub mod frames;
pub mod peer;
pub mod publisher;
pub mod tls;

/// No fact takes this long, however busy the machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// It was not done at once, but about so many milliseconds after that. The server counts from where the turn began in which it
/// noticed, and on a busy machine that may be a while earlier: half the time tells it from at once.
#[track_caller]
pub fn assert_waited(since: Instant, millis: u64) {
    let waited = since.elapsed();
    assert!(waited >= Duration::from_millis(millis / 2), "{waited:?} instead of {millis} ms");
}

/// No peer is listened to for longer: it may hear much, and never what is waited for.
pub const LIFETIME: Duration = Duration::from_secs(90);

/// The opening handshake of RFC 6455 §1.3.
pub const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The opening handshake with these header fields more.
pub fn handshake_with(fields: &str) -> String {
    HANDSHAKE.replacen("\r\n\r\n", &format!("\r\n{fields}\r\n\r\n"), 1)
}

/// A request that is always answered.
pub const HEALTHZ: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

/// The opening handshake with a path and a query of its own.
pub fn handshake(target: &str) -> String {
    HANDSHAKE.replacen("/ws", target, 1)
}
