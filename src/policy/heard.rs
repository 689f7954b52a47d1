//! Decides up to which time everything that had arrived from the peers has been read: no peer may be judged by a later one.
//! Reads no clock: it is told when the loop looked for events, and what it saw.

use std::time::Instant;

/// One look for events.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// When it began, or somewhat earlier.
    pub began: Instant,
    /// How many events it brought.
    pub events: usize,
    /// How many it could bring at most.
    pub most: usize,
}

/// The time up to which everything that had arrived has been read.
#[derive(Debug)]
pub struct Heard {
    until: Instant,
    /// A round that takes more than one look: when it began, and how many descriptors it may still report.
    round: Option<(Instant, usize)>,
}

impl Heard {
    /// Nothing can have arrived before now.
    pub fn new(now: Instant) -> Self {
        Self { until: now, round: None }
    }

    /// The loop has looked, with this many descriptors that may be ready. A look that was interrupted shows nothing.
    ///
    /// One that brought fewer events than it could has shown all there was. While every look is full, the kernel
    /// reports each ready descriptor before it reports any of them again (epoll(7)): once there have been as many
    /// events as descriptors, everyone who was ready when the round began has been heard. So busy peers cannot keep others
    /// from being held to their limits.
    pub fn on_look(&mut self, look: Look, descriptors: usize) {
        let (began, left) = self.round.unwrap_or((look.began, descriptors));
        let left = left.saturating_sub(look.events);
        if look.events < look.most {
            (self.until, self.round) = (look.began, None);
        } else if left == 0 {
            (self.until, self.round) = (began, None);
        } else {
            self.round = Some((began, left));
        }
    }

    /// The time up to which everything that had arrived has been read.
    pub fn until(&self) -> Instant {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Looks every second, each of which brings so many of at most 100 events, with 250 descriptors; up to which second
    /// everyone has been heard after each.
    fn heard_after(events: &[usize]) -> Vec<u64> {
        let start = Instant::now();
        let mut heard = Heard::new(start);
        let seconds = 1..;
        let look = |(second, events): (u64, &usize)| {
            let began = start + Duration::from_secs(second);
            heard.on_look(Look { began, events: *events, most: 100 }, 250);
            (heard.until() - start).as_secs()
        };
        seconds.zip(events).map(look).collect()
    }

    #[test]
    fn a_look_that_is_not_full_has_shown_everyone_who_was_ready() {
        assert_eq!(heard_after(&[0, 5, 99]), [1, 2, 3]);
    }

    #[test]
    fn behind_a_full_look_others_may_be_waiting_to_be_heard() {
        assert_eq!(heard_after(&[3, 100, 100, 40]), [1, 1, 1, 4]);
    }

    #[test]
    fn peers_that_are_always_busy_do_not_keep_others_from_their_limits() {
        assert_eq!(heard_after(&[100; 8]), [0, 0, 1, 1, 1, 4, 4, 4]);
    }
}
