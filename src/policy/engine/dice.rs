//! What is left to chance, so that many machines do not do the same at once.

use std::time::Duration;

/// Before the first new attempt, on average; doubled with each one that fails.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);

pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Draws numbers, on each machine others.
#[derive(Debug)]
pub(super) struct Dice {
    seed: u64,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// How long to wait before the next attempt: from half of what is meant to one and a half times that.
    pub(super) fn pause(&mut self, failures: u32) -> Duration {
        let share = 0.5 + (self.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        let meant = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
        meant.mul_f64(share)
    }

    /// Any number: SplitMix64 (Steele, Lea, Flood 2014).
    pub(super) fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.seed;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^ (drawn >> 31)
    }
}
