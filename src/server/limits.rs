//! The limits that are the same for all connections. What happens at each of them is for `connection` to say.

use std::time::Duration;

use crate::wire::websocket::Rules;

/// The limits of one connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The time for a request's head to be complete.
    pub handshake: Duration,
    /// The time that may pass between two requests.
    pub keep_alive: Duration,
    /// The time between pings.
    pub ping_interval: Option<Duration>,
    /// The time from a ping to its pong.
    pub ping_timeout: Option<Duration>,
    /// The time without any progress in writing.
    pub write: Duration,
    /// How many bytes may wait in the outbox.
    pub outbox_bytes: usize,
    /// What a session accepts.
    pub rules: Rules,
}
