//! Decides whether something may happen again, so many times a second and a number of times at once. Reads no clock: it is
//! told the time.

use std::time::{Duration, Instant};

/// A rate with a burst: a token bucket, kept as the one time at which it will be full (GCRA, ITU-T I.371).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// In which the bucket gains a token.
    period: Duration,
    /// In which an empty bucket becomes full.
    filling: Duration,
}

impl Rate {
    /// So many times a second, and so many at once; at least once.
    pub fn new(per_second: f64, burst: f64) -> Self {
        let period = Duration::from_secs_f64(1.0 / per_second);
        Self { period, filling: period.mul_f64(burst.max(1.0)) }
    }

    /// Takes a token out of the bucket that is full at this time.
    ///
    /// # Errors
    /// For how long there is none.
    pub fn take(&self, full_at: &mut Instant, now: Instant) -> Result<(), Duration> {
        let wait = self.wait(*full_at, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        *full_at = (*full_at).max(now) + self.period;
        Ok(())
    }

    /// When the bucket will be full at the latest, if it was to be full at this time by another rate.
    pub fn at_most(&self, full_at: Instant, now: Instant) -> Instant {
        full_at.min(now + self.filling)
    }

    /// How long until there is a token in the bucket that is full at this time.
    pub fn wait(&self, full_at: Instant, now: Instant) -> Duration {
        (full_at.max(now) + self.period).saturating_duration_since(now + self.filling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How many tokens are there at this time.
    fn take_all(rate: Rate, full_at: &mut Instant, now: Instant) -> usize {
        std::iter::from_fn(|| rate.take(full_at, now).ok()).count()
    }

    #[test]
    fn a_burst_is_allowed_at_once_and_then_the_rate() {
        let (rate, start) = (Rate::new(2.0, 5.0), Instant::now());
        let mut full_at = start;
        assert_eq!(take_all(rate, &mut full_at, start), 5);
        assert_eq!(rate.take(&mut full_at, start), Err(SECOND / 2));
        assert_eq!(take_all(rate, &mut full_at, start + SECOND / 2 - Duration::from_nanos(1)), 0);
        assert_eq!(take_all(rate, &mut full_at, start + SECOND / 2), 1);
        assert_eq!(take_all(rate, &mut full_at, start + 3 * SECOND / 2), 2);
        assert_eq!(take_all(rate, &mut full_at, start + 100 * SECOND), 5);
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let (rate, start) = (Rate::new(1.0, 1.0), Instant::now());
        let mut full_at = start;
        assert_eq!(take_all(rate, &mut full_at, start), 1);
        (0..100).for_each(|_| assert_eq!(rate.take(&mut full_at, start), Err(SECOND)));
        assert_eq!((full_at, take_all(rate, &mut full_at, start + SECOND)), (start + SECOND, 1));
    }
}
