//! The periodic notification of one process that serves by itself, as nobody has heard it yet.

use std::time::{Duration, Instant};

use slackwater::policy::period::next_in_period;
use slackwater::server::clock::Now;

#[derive(Debug, Default)]
pub struct Periodic {
    /// How often, and when next.
    pub due: Option<(Duration, Instant)>,
    /// How many clients there were each time.
    pub audiences: Vec<usize>,
}

impl Periodic {
    pub fn begin(&mut self, interval: Option<Duration>, now: Now) {
        self.due = interval.map(|interval| (interval, now + interval));
    }

    pub fn stop(&mut self) {
        self.due = None;
    }

    /// There are so many clients in this turn.
    pub fn on_turn(&mut self, audience: usize, now: Instant) {
        let Some((interval, due_at)) = self.due.as_mut().filter(|(_, due_at)| *due_at <= now) else { return };
        self.audiences.push(audience);
        *due_at = next_in_period(*due_at, *interval, now);
    }
}
