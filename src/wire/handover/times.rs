//! Two processes of one machine have the same steady clock, but each its own way to write what it says.

use std::time::{Duration, Instant};

use super::record::Monotonic;

/// One moment, as this process writes it and as all do.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// In this process.
    pub instant: Instant,
    /// In all of them.
    pub monotonic: Monotonic,
}

impl Moment {
    /// How all write a time of this process.
    pub fn monotonic(self, at: Instant) -> Monotonic {
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        match at.checked_duration_since(self.instant) {
            Some(ahead) => self.monotonic.saturating_add(nanos(ahead)),
            None => self.monotonic.saturating_sub(nanos(self.instant.duration_since(at))),
        }
    }

    /// A time that all write so, in this process; this moment, if it cannot be written here.
    pub fn instant(self, at: Monotonic) -> Instant {
        let distance = Duration::from_nanos(at.abs_diff(self.monotonic));
        let instant = match at >= self.monotonic {
            true => self.instant.checked_add(distance),
            false => self.instant.checked_sub(distance),
        };
        instant.unwrap_or(self.instant)
    }
}
