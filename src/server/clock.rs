//! The one place where the time is read, once per turn.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// One reading of both clocks: the steady one for deadlines, the wall clock for what people read.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For deadlines.
    pub instant: Instant,
    /// For messages and `Date`.
    pub wall: Timestamp,
}

impl Now {
    /// Reads the clocks.
    pub(super) fn read() -> Self {
        Self { instant: Instant::now(), wall: Timestamp::now() }
    }
}

impl std::ops::Add<Duration> for Now {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        self.instant + duration
    }
}
