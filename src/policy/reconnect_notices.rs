//! Decides when each client of a leaving server is to reconnect, and when one that has not is closed: evenly, so that
//! whoever takes them over has no stampede. Reads no clock and sends nothing.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// How clients are asked to reconnect while the server leaves.
#[derive(Debug, Clone, Copy)]
pub struct ReconnectTerms {
    /// Their moments are spread over this time.
    pub spread: Duration,
    /// How long after its moment a client that is still there is closed; `None` for never.
    pub close_after: Option<Duration>,
}

/// The moments of all clients, and the notices that are still to be sent.
#[derive(Debug)]
pub struct ReconnectNotices {
    terms: ReconnectTerms,
    begun: Instant,
    /// Until when everyone has to be gone anyway.
    deadline: Instant,
    unsent: VecDeque<(usize, Instant)>,
    closings: BTreeSet<(Instant, usize)>,
    random: u64,
}

/// What one client is told.
#[derive(Debug, PartialEq, Eq)]
pub struct ReconnectNotice {
    /// The caller's name for it.
    pub client: usize,
    /// How long from now its moment comes.
    pub after: Duration,
    /// How long from now it is closed at the latest.
    pub deadline: Duration,
}

impl ReconnectNotices {
    /// Gives each of these clients a moment in an equal share of the time, at random within the share. The seed makes the
    /// shares of several servers differ.
    pub fn new(terms: ReconnectTerms, clients: &[usize], now: Instant, deadline: Instant, seed: u64) -> Self {
        // No moment comes when nobody is left to reconnect.
        let spread = terms.spread.min(deadline.saturating_duration_since(now));
        let terms = ReconnectTerms { spread, ..terms };
        let mut notices = Self {
            terms,
            begun: now,
            deadline,
            unsent: VecDeque::with_capacity(clients.len()),
            closings: BTreeSet::new(),
            // xorshift stands still at zero.
            random: seed | 1,
        };
        let count = clients.len() as f64;
        for (rank, client) in clients.iter().enumerate() {
            let share = (rank as f64 + notices.next_random()) / count;
            notices.add(*client, now + terms.spread.mul_f64(share));
        }
        notices
    }

    /// Adds a client that has come late: it gets any moment.
    pub fn join(&mut self, client: usize, now: Instant) {
        let moment = self.begun + self.terms.spread.mul_f64(self.next_random());
        self.add(client, moment.max(now));
    }

    /// The next notice to send. Call until `None`.
    pub fn next_notice(&mut self, now: Instant) -> Option<ReconnectNotice> {
        let (client, moment) = self.unsent.pop_front()?;
        let deadline = self.deadline.saturating_duration_since(now);
        Some(ReconnectNotice { client, after: moment.saturating_duration_since(now), deadline })
    }

    /// Whether any notice is still to be sent.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// The next client to be closed because it has not reconnected in time. It may be gone.
    pub fn next_closing(&mut self, now: Instant) -> Option<usize> {
        let first = self.closings.first().copied().filter(|(at, _)| *at <= now)?;
        self.closings.remove(&first);
        Some(first.1)
    }

    /// When the next client is closed.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.closings.first().map(|(at, _)| *at)
    }

    fn add(&mut self, client: usize, moment: Instant) {
        self.unsent.push_back((client, moment));
        self.closings.extend(self.terms.close_after.map(|after| (moment + after, client)));
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

    fn notices_for(clients: usize, close_after: Option<Duration>) -> (ReconnectNotices, Instant) {
        let (now, clients) = (Instant::now(), (0..clients).collect::<Vec<_>>());
        let terms = ReconnectTerms { spread: MINUTE, close_after };
        (ReconnectNotices::new(terms, &clients, now, now + 30 * MINUTE, 7), now)
    }

    fn send_all(notices: &mut ReconnectNotices, now: Instant) -> Vec<ReconnectNotice> {
        std::iter::from_fn(|| notices.next_notice(now)).collect()
    }

    #[test]
    fn moments_are_spread_evenly_with_jitter() {
        let (mut notices, now) = notices_for(600, None);
        let sent = send_all(&mut notices, now);
        let mut jitter = 0;
        for (rank, notice) in sent.iter().enumerate() {
            let share = Duration::from_millis(100);
            let start = share * u32::try_from(rank).unwrap();
            assert!(notice.client == rank && (start..=start + share).contains(&notice.after), "{notice:?}");
            jitter += u32::from(notice.after - start > share / 2);
        }
        assert!((200..400).contains(&jitter), "{jitter} of 600 in the later half of their share");
    }

    #[test]
    fn nobody_is_asked_to_reconnect_after_the_deadline() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let terms = ReconnectTerms { spread: MINUTE, close_after: None };
        let mut notices = ReconnectNotices::new(terms, &[0, 1, 2], now, now + second, 7);
        notices.join(3, now);
        assert!(send_all(&mut notices, now).iter().all(|notice| notice.after <= second));
    }

    #[test]
    fn whoever_is_told_late_reconnects_at_the_same_moment() {
        let (mut notices, now) = notices_for(2, None);
        let later = now + Duration::from_secs(40);
        let sent = send_all(&mut notices, later);
        assert_eq!(sent[0].after, Duration::ZERO);
        assert!(sent[1].after <= MINUTE - Duration::from_secs(40));
        assert_eq!(sent[0].deadline, 30 * MINUTE - Duration::from_secs(40));
    }

    #[test]
    fn without_a_spread_all_reconnect_at_once() {
        let now = Instant::now();
        let terms = ReconnectTerms { spread: Duration::ZERO, close_after: None };
        let mut notices = ReconnectNotices::new(terms, &[3, 4], now, now + MINUTE, 7);
        assert!(send_all(&mut notices, now).iter().all(|notice| notice.after == Duration::ZERO));
    }

    #[test]
    fn whoever_stays_is_closed_as_long_after_its_moment_as_is_said_one_by_one() {
        let (mut notices, now) = notices_for(60, Some(MINUTE));
        send_all(&mut notices, now);
        let (mut closed, mut at) = (vec![], now);
        while let Some(next) = notices.next_deadline() {
            assert!(next >= at && notices.next_closing(at).is_none_or(|_| false));
            at = next;
            closed.extend(notices.next_closing(at));
            assert!(notices.next_closing(at).is_none(), "never two at a time");
        }
        assert_eq!(closed, (0..60).collect::<Vec<_>>());
        assert!(at <= now + 2 * MINUTE);
    }

    #[test]
    fn whoever_comes_late_gets_a_moment_that_is_still_to_come() {
        let (mut notices, now) = notices_for(1, None);
        let later = now + 10 * MINUTE;
        notices.join(9, later);
        assert!(notices.has_unsent());
        assert_eq!(
            send_all(&mut notices, later)[1],
            ReconnectNotice { client: 9, after: Duration::ZERO, deadline: 20 * MINUTE }
        );
    }

    #[test]
    fn whoever_comes_late_is_closed_as_long_after_its_moment_as_all_others() {
        let (mut notices, now) = notices_for(0, Some(MINUTE));
        let later = now + 10 * MINUTE;
        notices.join(9, later);
        assert_eq!(notices.next_deadline(), Some(later + MINUTE));
    }
}
