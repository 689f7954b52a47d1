//! Decides when each client of a leaving server is asked to move, and when one that has not is closed: evenly, so that
//! whoever takes them over has no stampede. Reads no clock and sends nothing.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// How clients are guided while the server leaves.
#[derive(Debug, Clone, Copy)]
pub struct GuideTerms {
    /// Their moves are spread over this time.
    pub spread: Duration,
    /// How long after its slot a client is closed that has not moved; `None` for never.
    pub close_after: Option<Duration>,
}

/// The slots of all clients, and who is still to be told of its own.
#[derive(Debug)]
pub struct Guide {
    terms: GuideTerms,
    begun: Instant,
    /// Until when everyone has to be gone anyway.
    deadline: Instant,
    untold: VecDeque<(usize, Instant)>,
    closings: BTreeSet<(Instant, usize)>,
    random: u64,
}

/// What one client is to be told.
#[derive(Debug, PartialEq, Eq)]
pub struct Hint {
    /// The caller's name for it.
    pub client: usize,
    /// When it is to move, from now on.
    pub after: Duration,
    /// When it will be closed at the latest, from now on.
    pub deadline: Duration,
}

impl Guide {
    /// Gives each of these clients a slot in an equal share of the time, at random within the share. The seed makes the
    /// shares of several servers differ.
    pub fn new(terms: GuideTerms, clients: &[usize], now: Instant, deadline: Instant, seed: u64) -> Self {
        // Nobody is asked to move at a time when there is nobody left to be asked.
        let spread = terms.spread.min(deadline.saturating_duration_since(now));
        let terms = GuideTerms { spread, ..terms };
        let mut guide = Self {
            terms,
            begun: now,
            deadline,
            untold: VecDeque::with_capacity(clients.len()),
            closings: BTreeSet::new(),
            // xorshift stands still at zero.
            random: seed | 1,
        };
        let count = clients.len() as f64;
        for (rank, client) in clients.iter().enumerate() {
            let share = (rank as f64 + guide.next_random()) / count;
            guide.add(*client, now + terms.spread.mul_f64(share));
        }
        guide
    }

    /// Somebody has come in late: it gets any slot.
    pub fn join(&mut self, client: usize, now: Instant) {
        let slot = self.begun + self.terms.spread.mul_f64(self.next_random());
        self.add(client, slot.max(now));
    }

    /// The next client to be told, and what.
    pub fn next_hint(&mut self, now: Instant) -> Option<Hint> {
        let (client, slot) = self.untold.pop_front()?;
        let deadline = self.deadline.saturating_duration_since(now);
        Some(Hint { client, after: slot.saturating_duration_since(now), deadline })
    }

    /// Whether somebody is still to be told.
    pub fn has_hints(&self) -> bool {
        !self.untold.is_empty()
    }

    /// The next client whose time to move is over. It may be gone.
    pub fn next_closing(&mut self, now: Instant) -> Option<usize> {
        let first = self.closings.first().copied().filter(|(at, _)| *at <= now)?;
        self.closings.remove(&first);
        Some(first.1)
    }

    /// When the next one's time is over.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.closings.first().map(|(at, _)| *at)
    }

    fn add(&mut self, client: usize, slot: Instant) {
        self.untold.push_back((client, slot));
        self.closings.extend(self.terms.close_after.map(|after| (slot + after, client)));
    }

    /// In [0, 1): xorshift64, whose upper bits are random enough to keep clients apart.
    fn next_random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn guide(clients: usize, close_after: Option<Duration>) -> (Guide, Instant) {
        let (now, clients) = (Instant::now(), (0..clients).collect::<Vec<_>>());
        let terms = GuideTerms { spread: MINUTE, close_after };
        (Guide::new(terms, &clients, now, now + 30 * MINUTE, 7), now)
    }

    fn hints(guide: &mut Guide, now: Instant) -> Vec<Hint> {
        std::iter::from_fn(|| guide.next_hint(now)).collect()
    }

    #[test]
    fn slots_are_spread_evenly_with_jitter() {
        let (mut guide, now) = guide(600, None);
        let hints = hints(&mut guide, now);
        let mut jitter = 0;
        for (rank, hint) in hints.iter().enumerate() {
            let share = Duration::from_millis(100);
            let start = share * u32::try_from(rank).unwrap();
            assert!(hint.client == rank && (start..=start + share).contains(&hint.after), "{hint:?}");
            jitter += u32::from(hint.after - start > share / 2);
        }
        assert!((200..400).contains(&jitter), "{jitter} of 600 in the later half of their share");
    }

    #[test]
    fn nobody_is_asked_to_move_after_the_deadline() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let terms = GuideTerms { spread: MINUTE, close_after: None };
        let mut guide = Guide::new(terms, &[0, 1, 2], now, now + second, 7);
        guide.join(3, now);
        assert!(hints(&mut guide, now).iter().all(|hint| hint.after <= second));
    }

    #[test]
    fn who_is_told_late_moves_at_the_same_time() {
        let (mut guide, now) = guide(2, None);
        let later = now + Duration::from_secs(40);
        let hints = hints(&mut guide, later);
        assert_eq!(hints[0].after, Duration::ZERO);
        assert!(hints[1].after <= MINUTE - Duration::from_secs(40));
        assert_eq!(hints[0].deadline, 30 * MINUTE - Duration::from_secs(40));
    }

    #[test]
    fn without_a_spread_all_move_at_once() {
        let now = Instant::now();
        let terms = GuideTerms { spread: Duration::ZERO, close_after: None };
        let mut guide = Guide::new(terms, &[3, 4], now, now + MINUTE, 7);
        assert!(hints(&mut guide, now).iter().all(|hint| hint.after == Duration::ZERO));
    }

    #[test]
    fn who_stays_is_closed_as_long_after_its_slot_as_is_said_one_by_one() {
        let (mut guide, now) = guide(60, Some(MINUTE));
        hints(&mut guide, now);
        let (mut closed, mut at) = (vec![], now);
        while let Some(next) = guide.next_deadline() {
            assert!(next >= at && guide.next_closing(at).is_none_or(|_| false));
            at = next;
            closed.extend(guide.next_closing(at));
            assert!(guide.next_closing(at).is_none(), "never two at a time");
        }
        assert_eq!(closed, (0..60).collect::<Vec<_>>());
        assert!(at <= now + 2 * MINUTE);
    }

    #[test]
    fn who_comes_late_gets_a_slot_that_is_still_to_come() {
        let (mut guide, now) = guide(1, None);
        let later = now + 10 * MINUTE;
        guide.join(9, later);
        assert!(guide.has_hints());
        assert_eq!(
            hints(&mut guide, later)[1],
            Hint { client: 9, after: Duration::ZERO, deadline: 20 * MINUTE }
        );
    }
}
