//! Stretches of time, by a clock that all processes of a machine have.

use serde::{Deserialize, Serialize};

/// A stretch of time, in nanoseconds since 1970: all processes of a machine have that clock.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Span {
    pub from: u64,
    pub to: u64,
}

impl Span {
    pub fn overlaps(self, other: Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }

    pub fn milliseconds(self) -> f64 {
        self.to.saturating_sub(self.from) as f64 / 1e6
    }
}

/// The time of that clock.
pub fn now() -> u64 {
    let since_1970 = std::time::UNIX_EPOCH.elapsed().expect("it is later than 1970");
    u64::try_from(since_1970.as_nanos()).expect("it is earlier than 2554")
}
