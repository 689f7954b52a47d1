//! Decides which clients are held back for a while since they send more messages than they may. Reads no clock and closes nobody:
//! it is told the time.
//! Invariant: whoever sends no more than it may for a while is forgotten.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::policy::rate::Rate;

/// How long somebody is held back at least: what it may send meanwhile is heard at once, and nobody is woken more often.
const SHORTEST: Duration = Duration::from_millis(10);

/// Clients that are remembered before any is forgotten.
const FEW: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Sender {
    full_at: Instant,
    held_until: Option<Instant>,
}

/// The clients that have sent something lately, by their keys.
#[derive(Debug)]
pub struct MessageLimit {
    rate: Rate,
    senders: HashMap<usize, Sender>,
    held: BTreeSet<(Instant, usize)>,
    /// With so many of them, those are forgotten who may send as much as ever.
    most: usize,
}

impl MessageLimit {
    /// Nobody has sent anything yet.
    pub fn new(rate: Rate) -> Self {
        Self { rate, senders: HashMap::new(), held: BTreeSet::new(), most: FEW }
    }

    /// A message of a client has been heard, as it might be; whether the client is held back from here on.
    pub fn on_message(&mut self, client: usize, now: Instant) -> bool {
        if self.senders.len() >= self.most {
            self.senders.retain(|_, sender| sender.full_at > now || sender.held_until.is_some());
            self.most = FEW.max(2 * self.senders.len());
        }
        let sender = self.senders.entry(client).or_insert(Sender { full_at: now, held_until: None });
        // Who is not held back has a token.
        let _ = self.rate.take(&mut sender.full_at, now);
        let wait = self.rate.wait(sender.full_at, now);
        if wait.is_zero() {
            return false;
        }
        let until = now + wait.max(SHORTEST);
        sender.held_until = Some(until);
        self.held.insert((until, client));
        true
    }

    /// When a client may send as much as ever, and until when it is held back.
    pub fn times_of(&self, client: usize) -> Option<(Instant, Option<Instant>)> {
        self.senders.get(&client).map(|sender| (sender.full_at, sender.held_until))
    }

    /// Goes on with what a client has sent elsewhere, be it that it may send more or less here.
    pub fn remember(&mut self, client: usize, full_at: Instant, held_until: Option<Instant>, now: Instant) {
        let full_at = self.rate.at_most(full_at, now);
        let has_token_at = now + self.rate.wait(full_at, now);
        let held_until = held_until.map(|until| has_token_at.max(until.min(now + SHORTEST)));
        self.senders.insert(client, Sender { full_at, held_until });
        held_until.into_iter().for_each(|until| {
            self.held.insert((until, client));
        });
    }

    /// Whether a client is held back.
    pub fn holds(&self, client: usize) -> bool {
        self.senders.get(&client).is_some_and(|sender| sender.held_until.is_some())
    }

    /// When the next one is let go.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.held.first().map(|(at, _)| *at)
    }

    /// The next client that is let go by this time.
    pub fn next_free(&mut self, now: Instant) -> Option<usize> {
        let (_, client) = *self.held.first().filter(|(at, _)| *at <= now)?;
        self.free(client);
        Some(client)
    }

    /// A client has left. Its key may become another's.
    pub fn forget(&mut self, client: usize) {
        self.free(client);
        self.senders.remove(&client);
    }

    /// Gives back the memory that a crowd has needed.
    pub fn shrink(&mut self) {
        self.senders.shrink_to_fit();
    }

    fn free(&mut self, client: usize) {
        if let Some(until) = self.senders.get_mut(&client).and_then(|sender| sender.held_until.take()) {
            self.held.remove(&(until, client));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limit(per_second: f64, burst: f64) -> MessageLimit {
        MessageLimit::new(Rate::new(per_second, burst))
    }

    /// How many messages are heard until the client is held back.
    fn say_all(limit: &mut MessageLimit, client: usize, now: Instant) -> usize {
        1 + (0..10_000).take_while(|_| !limit.on_message(client, now)).count()
    }

    #[test]
    fn a_burst_is_heard_at_once_and_then_no_more_than_the_rate() {
        let (mut limit, start) = (limit(4.0, 10.0), Instant::now());
        assert_eq!(say_all(&mut limit, 7, start), 10);
        let mut now = start;
        for _ in 0..20 {
            assert!(limit.holds(7) && !limit.holds(8));
            assert_eq!(limit.next_deadline(), Some(now + SECOND / 4));
            assert_eq!(limit.next_free(now + SECOND / 4 - Duration::from_nanos(1)), None);
            now += SECOND / 4;
            assert_eq!((limit.next_free(now), limit.next_free(now)), (Some(7), None));
            assert_eq!(say_all(&mut limit, 7, now), 1);
        }
    }

    #[test]
    fn at_a_high_rate_nobody_is_woken_for_every_message() {
        let (mut limit, start) = (limit(5000.0, 5000.0), Instant::now());
        assert_eq!(say_all(&mut limit, 0, start), 5000);
        let (mut heard, mut wakes) = (0, 0);
        while let Some(at) = limit.next_deadline().filter(|at| *at <= start + SECOND) {
            assert_eq!(limit.next_free(at), Some(0));
            (heard, wakes) = (heard + say_all(&mut limit, 0, at), wakes + 1);
        }
        assert_eq!((heard, wakes), (5000, 100));
    }

    #[test]
    fn each_is_let_go_at_its_own_time_and_whoever_has_left_never() {
        let (mut limit, start) = (limit(1.0, 1.0), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        for (client, millis) in [(1, 300), (2, 100), (3, 200)] {
            assert!(limit.on_message(client, at(millis)));
        }
        limit.forget(3);
        assert_eq!(limit.next_deadline(), Some(at(1100)));
        assert_eq!([1100, 1250, 1300].map(|millis| limit.next_free(at(millis))), [Some(2), None, Some(1)]);
        // Another who is given its key begins anew.
        assert!(limit.on_message(3, at(1300)) && limit.next_deadline() == Some(at(2300)));
    }

    #[test]
    fn whoever_has_sent_little_is_forgotten_and_whoever_is_held_back_is_not() {
        let (mut limit, start) = (limit(100.0, 100.0), Instant::now());
        say_all(&mut limit, 0, start);
        for client in 1..100_000_u32 {
            let now = start + client * Duration::from_millis(1);
            assert!(!limit.on_message(client as usize, now));
            assert!(limit.senders.len() <= FEW, "{}", limit.senders.len());
        }
        assert!(limit.holds(0));
    }
}
