//! When something is next due that is done again and again. Reads no clock: it is told the time.

use std::time::{Duration, Instant};

/// The next time in a period after one that was due: counted from when that was due, so that lateness does not add up.
/// Times that are past already are skipped.
pub fn next_in_period(due: Instant, period: Duration, now: Instant) -> Instant {
    let missed = (now - due).div_duration_f64(period).floor();
    due + period.mul_f64(missed + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_does_not_add_up_and_what_was_slept_through_is_skipped() {
        let (due, second) = (Instant::now(), Duration::from_secs(1));
        let next = |late: u32| next_in_period(due, 10 * second, due + late * second) - due;
        assert_eq!([0, 1, 9, 10, 29, 30].map(next), [10, 10, 10, 20, 30, 40].map(|n| n * second));
    }
}
