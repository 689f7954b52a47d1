//! The limits that hold for each connection alike. What happens at each is `connection`'s to say.

use std::time::Duration;

use crate::wire::websocket::Rules;

/// The limits that hold for each connection alike.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a request's head to be complete.
    pub handshake: Duration,
    /// Between two requests.
    pub keep_alive: Duration,
    /// Between pings.
    pub ping_interval: Option<Duration>,
    /// From ping to pong.
    pub ping_timeout: Option<Duration>,
    /// Without progress in writing.
    pub write: Duration,
    /// Bytes in the outbox.
    pub outbox_bytes: usize,
    /// What a session accepts.
    pub rules: Rules,
}
