//! What the load is told to do and what it answers: lines of JSON between two processes of this bench.

use serde::{Deserialize, Serialize};

use super::extent::Past;
use super::faults::Faults;

/// What the load is to do next.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// So many clients connect; answered when all are welcomed. The first of them hear what is remembered.
    Connect { clients: usize, past_listeners: usize },
    /// So much is published to those, and fills the history; answered when they have heard it.
    Remember(Past),
    /// The traffic begins; answered when it has.
    Begin,
    /// The traffic ends; answered with `Heard` when everything has been heard.
    End,
}

/// What has become of the traffic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Heard {
    pub published: u64,
    pub deliveries: u64,
    /// Messages of clients that were answered.
    pub messages: u64,
    /// The longest time from a publication's request to its answer.
    pub worst_answer_ms: f64,
    pub faults: Faults,
}

impl Heard {
    /// This and what another process has heard.
    pub fn and(self, other: &Self) -> Self {
        Self {
            published: self.published + other.published,
            deliveries: self.deliveries + other.deliveries,
            messages: self.messages + other.messages,
            worst_answer_ms: self.worst_answer_ms.max(other.worst_answer_ms),
            faults: self.faults.and(other.faults),
        }
    }
}
