//! Decides when something that may happen thousands of times a second is reported: once a minute at most, with its number. Reads
//! no clock and logs nothing: it is told the time.

use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_secs(60);

/// How often something has happened since it was reported.
#[derive(Debug, Default)]
pub struct Tally {
    count: u64,
    next_report: Option<Instant>,
}

impl Tally {
    /// It has happened once more. Gives back how often since the last report, if it is time for one.
    pub fn add(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        if self.next_report.is_some_and(|at| now < at) {
            return None;
        }
        self.next_report = Some(now + PERIOD);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_time_is_reported_and_then_a_minutes_worth_at_once() {
        let (mut tally, start) = (Tally::default(), Instant::now());
        let mut at = |seconds| tally.add(start + Duration::from_secs(seconds));
        assert_eq!([0, 0, 1, 59, 60, 61].map(&mut at), [Some(1), None, None, None, Some(4), None]);
    }
}
