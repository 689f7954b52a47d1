//! What the load is told to do and what it answers: lines of JSON between two processes of this bench.

use serde::{Deserialize, Serialize};

use super::common::span::Span;

/// What the load is to do next.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// So many more clients connect; answered with `Took`.
    Connect { clients: usize },
    /// Publications to all clients, each heard by everyone before the next is made; answered with `Heard`.
    FanOut(FanOut),
    /// So many connections are made and, once they are welcomed, closed; answered with `Took`.
    Churn { visits: usize },
    /// Pings are answered for so long; answered with `Took`.
    Listen { milliseconds: u64 },
    /// All clients leave; answered with `Took`.
    Leave,
}

/// What is published to all clients.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FanOut {
    /// JSON values, which take turns.
    pub data: Vec<String>,
    /// Publications that are made at once.
    pub at_once: u64,
    pub times: u64,
}

impl FanOut {
    /// The value whose turn it is behind this position.
    pub fn next_behind(&self, position: u64) -> &str {
        let turn = position % self.data.len() as u64;
        &self.data[usize::try_from(turn).expect("it is less than their number")]
    }

    /// How many publications that makes.
    pub fn publications(&self) -> u64 {
        self.at_once * self.times
    }
}

/// How long it took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Took {
    pub seconds: f64,
}

/// What the clients have heard, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Heard {
    /// From each publication to the last client that heard it, summed up.
    pub seconds: f64,
    /// From the publication to the moment in which a client has read it: of all clients and publications.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub worst_ms: f64,
    /// From the first to the last client: the median of the publications.
    pub spread_ms: f64,
    /// The octets that brought it to all of them, where the clients look at each.
    pub wire_bytes: u64,
    /// From when to when each fan-out lasted.
    pub spans: Vec<Span>,
}
