//! Decides how often things have happened lately, each second, from how often they have happened so far. Reads no clock: it is
//! told the time, and looks at the numbers at most once a second, at the beginning of a turn.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Of how much time the mean is told.
pub const WINDOW: Duration = Duration::from_secs(10);

/// How long at least from one look to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// How often each of `N` things had happened at the last looks: one more than the window has seconds, at most.
#[derive(Debug)]
pub struct Lately<const N: usize> {
    looks: VecDeque<(Instant, [u64; N])>,
    began: Instant,
}

impl<const N: usize> Lately<N> {
    /// Nothing has happened before this time.
    pub fn new(began: Instant) -> Self {
        Self { looks: VecDeque::from([(began, [0; N])]), began }
    }

    /// A turn begins, before which things had happened so often. Every turn that comes a second after the last look is to be
    /// told of: nothing happens between turns.
    pub fn on_turn(&mut self, now: Instant, so_far: impl FnOnce() -> [u64; N]) {
        if self.looks.back().is_some_and(|(last, _)| now < *last + PAUSE) {
            return;
        }
        self.looks.push_back((now, so_far()));
        while self.looks.get(1).is_some_and(|(at, _)| *at + WINDOW <= now) {
            self.looks.pop_front();
        }
    }

    /// How often each happens in a second, as the mean of the window, or of the time since the beginning if that is shorter; by now
    /// things have happened so often.
    pub fn per_second(&self, now: Instant, so_far: [u64; N]) -> [f64; N] {
        let from = now.checked_sub(WINDOW).map_or(self.began, |from| from.max(self.began));
        let seconds = now.saturating_duration_since(from).max(PAUSE).as_secs_f64();
        let before = self.at(from, so_far);
        std::array::from_fn(|nth| (so_far[nth] as f64 - before[nth]).max(0.0) / seconds)
    }

    /// How often things had happened by a time that no look may be of: as if they came evenly between the looks, all of them within
    /// the pause behind the first.
    fn at(&self, time: Instant, so_far: [u64; N]) -> [f64; N] {
        let next = self.looks.partition_point(|(at, _)| *at < time);
        let Some((next_at, counts)) = self.looks.get(next) else { return so_far.map(|count| count as f64) };
        let Some((last_at, before)) = next.checked_sub(1).and_then(|last| self.looks.get(last)) else {
            return counts.map(|count| count as f64);
        };
        let pause = next_at.saturating_duration_since(*last_at).min(PAUSE).as_secs_f64();
        let share = (time.saturating_duration_since(*last_at).as_secs_f64() / pause).min(1.0);
        std::array::from_fn(|nth| before[nth] as f64 + counts[nth].saturating_sub(before[nth]) as f64 * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told at the end of turns at these milliseconds, in each of which so much more happens.
    fn told(turns: &[(u64, u64)]) -> f64 {
        let start = Instant::now();
        let (mut lately, mut count, mut told) = (Lately::new(start), 0, 0.0);
        for (ms, more) in turns {
            let now = start + Duration::from_millis(*ms);
            lately.on_turn(now, || [count]);
            count += more;
            [told] = lately.per_second(now, [count]);
            assert!(lately.looks.len() <= 12, "{lately:?}");
        }
        told
    }

    #[test]
    fn what_happens_evenly_is_told_as_it_is() {
        let turns: Vec<(u64, u64)> = (1..=3000).map(|nth| (nth * 33, 1)).collect();
        for upto in [40, 310, 500, 1000, 2999] {
            let told = told(&turns[..upto]);
            assert!((told - 1000.0 / 33.0).abs() < 1.0, "{told} a second after {upto} turns");
        }
    }

    #[test]
    fn what_is_longer_ago_than_ten_seconds_does_not_count_however_few_turns_there_were_since() {
        assert!((told(&[(500, 100)]) - 100.0).abs() < 1e-9);
        assert!((told(&[(500, 100), (5500, 0)]) - 100.0 / 5.5).abs() < 1e-9);
        assert!(told(&[(500, 100), (60_000, 0)]).abs() < 1e-9);
        assert!((told(&[(500, 100), (60_000, 5), (69_999, 0)]) - 0.5).abs() < 1e-9);
        assert!(told(&[(500, 100), (60_000, 5), (71_001, 0)]).abs() < 1e-9);
    }
}
