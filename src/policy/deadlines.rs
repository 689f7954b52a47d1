//! The named deadlines of the loop and the earliest of them. Reads no clock: it is told the time.
//! A connection's own limits are not here: the sweep finds the earliest of those, and it is one deadline.

use std::time::{Duration, Instant};

/// What can become due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The periodic notification.
    Notify,
    /// Some connection's limit: handshake, keep-alive, ping, pong, write progress, linger.
    Sweep,
    /// The end of a pause in accepting.
    Accept,
    /// Some client's time to move is over.
    Close,
    /// Lines of the log wait to be handed on.
    Log,
    /// Memory that was needed a while ago may be given back.
    Shrink,
    /// The link to the supervisor is to be tried again.
    Link,
}

const NAMES: [Due; 7] = [Due::Notify, Due::Sweep, Due::Accept, Due::Close, Due::Log, Due::Shrink, Due::Link];

/// The next time in a period, after one that was due: from when it was due, so that lateness does not add up; what was
/// slept through is skipped.
pub fn next_in_period(due: Instant, period: Duration, now: Instant) -> Instant {
    let missed = (now - due).div_duration_f64(period).floor();
    due + period.mul_f64(missed + 1.0)
}

/// When each name is due next; a name without a time is not waited for.
// A scan: seven deadlines. Revisit at forty.
#[derive(Debug, Default)]
pub struct Deadlines {
    at: [Option<Instant>; NAMES.len()],
}

impl Deadlines {
    /// Sets or replaces a deadline; `None` takes it away.
    pub fn set(&mut self, due: Due, at: Option<Instant>) {
        self.at[due as usize] = at;
    }

    /// Sets a deadline unless an earlier one of that name stands.
    pub fn bring_forward(&mut self, due: Due, at: Instant) {
        let slot = &mut self.at[due as usize];
        *slot = Some(slot.map_or(at, |standing| standing.min(at)));
    }

    /// The earliest deadline, for the loop to sleep until.
    pub fn earliest(&self) -> Option<Instant> {
        self.at.iter().flatten().min().copied()
    }

    /// Takes one deadline that is due and says when it was due. Call until `None`; set it again to have it again.
    pub fn take_due(&mut self, now: Instant) -> Option<(Due, Instant)> {
        NAMES.into_iter().find_map(|due| {
            let at = self.at[due as usize].take_if(|at| *at <= now)?;
            Some((due, at))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_earliest_deadline_is_what_the_loop_sleeps_until() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.earliest(), None);
        deadlines.set(Due::Notify, Some(now + 10 * second));
        deadlines.bring_forward(Due::Sweep, now + 3 * second);
        deadlines.bring_forward(Due::Sweep, now + 5 * second);
        assert_eq!(deadlines.earliest(), Some(now + 3 * second));
        deadlines.set(Due::Sweep, None);
        assert_eq!(deadlines.earliest(), Some(now + 10 * second));
    }

    #[test]
    fn a_deadline_is_taken_once_and_never_early() {
        let now = Instant::now();
        let mut deadlines = Deadlines::default();
        deadlines.set(Due::Accept, Some(now));
        assert_eq!(deadlines.take_due(now - Duration::from_nanos(1)), None);
        assert_eq!(deadlines.take_due(now), Some((Due::Accept, now)));
        assert_eq!(deadlines.take_due(now), None);
    }
}
