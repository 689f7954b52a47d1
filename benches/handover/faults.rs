//! What must not happen, counted.

use serde::{Deserialize, Serialize};

/// Of all clients together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// Clients whose connection has ended.
    pub disconnected: u64,
    /// Publications that a client should have heard.
    pub lost: u64,
    /// Publications that a client has heard before, or later than one that was made after it.
    pub doubled: u64,
    /// Messages of clients without an answer, or with that to another one.
    pub unanswered: u64,
}

impl Faults {
    pub fn and(self, other: Self) -> Self {
        Self {
            disconnected: self.disconnected + other.disconnected,
            lost: self.lost + other.lost,
            doubled: self.doubled + other.doubled,
            unanswered: self.unanswered + other.unanswered,
        }
    }

    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}
