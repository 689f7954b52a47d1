//! The one place where the time is read, once per turn.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::wire::handover::times::Moment;

/// One reading of both clocks: the steady one for deadlines, the wall clock for what people read.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For deadlines.
    pub instant: Instant,
    /// For messages and `Date`.
    pub wall: Timestamp,
}

impl Now {
    /// How long ago that was, by another look at the steady clock: what the turn has taken.
    pub(super) fn end_of_turn(&self) -> Instant {
        self.instant + self.instant.elapsed()
    }

    /// Reads the clocks.
    pub(crate) fn read() -> Self {
        Self { instant: Instant::now(), wall: Timestamp::now() }
    }

    /// This moment as other processes write it, too.
    pub(crate) fn moment() -> Moment {
        let monotonic = clock_gettime(ClockId::Monotonic);
        let nanos = monotonic.tv_sec.saturating_mul(1_000_000_000).saturating_add(monotonic.tv_nsec);
        Moment { instant: Instant::now(), monotonic: nanos }
    }

    /// An instant on the wall clock, in milliseconds since 1970.
    pub(super) fn unix_ms_of(&self, at: Instant) -> i64 {
        let age = self.instant.saturating_duration_since(at).as_millis();
        self.wall.as_millisecond() - i64::try_from(age).unwrap_or(i64::MAX)
    }

    /// A time that is still to come on the wall clock, in milliseconds since 1970.
    pub(super) fn unix_ms_until(&self, at: Instant) -> i64 {
        let ahead = at.saturating_duration_since(self.instant).as_millis();
        self.wall.as_millisecond().saturating_add(i64::try_from(ahead).unwrap_or(i64::MAX))
    }

    /// The instant of a time that is still to come on the wall clock; `None` if that is too far away to be told.
    pub(super) fn instant_at(&self, at: Timestamp) -> Option<Instant> {
        self.instant.checked_add(Duration::try_from(at.duration_since(self.wall)).unwrap_or_default())
    }

    /// The instant of a time on the wall clock; one before this machine's start is as old as can be said.
    pub(super) fn instant_of(&self, unix_ms: i64) -> Instant {
        let age = u64::try_from(self.wall.as_millisecond().saturating_sub(unix_ms)).unwrap_or(0);
        self.instant.checked_sub(Duration::from_millis(age)).unwrap_or(self.instant)
    }
}

impl std::ops::Add<Duration> for Now {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        self.instant + duration
    }
}
