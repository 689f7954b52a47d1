//! Remembers the answers to publications that carried a key, so that a retry gets the first answer again and publishes
//! nothing. Keys and payloads are kept as fingerprints: an entry costs the same however long they are. Reads no clock.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::policy::fingerprint::Fingerprint;
use crate::policy::positions::Positions;
use crate::policy::sequencer::Position;

/// How long an answer is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(300);

/// How much memory remembered answers may take; beyond that, the oldest is forgotten early.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// What an answer takes besides its runs. Both tables double when they are full, and an allocation has a header.
const ENTRY_BYTES: usize =
    2 * (size_of::<(Fingerprint, Remembered)>() + 1 + size_of::<(Instant, Fingerprint)>()) + 16;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// What makes a retry harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// What the publisher called it, and the scope in which that counts.
    pub name: Fingerprint,
    /// What was to be published.
    pub payload: Fingerprint,
}

/// Among whose keys a key counts: what one publisher calls something says nothing to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope(Option<Fingerprint>);

impl Scope {
    /// That of the operators, and of whoever may publish without a token.
    pub const OPERATORS: Self = Self(None);

    /// That of all whose token is of this subject, or of none.
    pub fn of_subject(subject: Option<&str>) -> Self {
        Self(Some(Fingerprint::of(subject.map(str::as_bytes))))
    }

    /// The name of a key that consists of these parts. The operators' are named as before there were scopes, so that a
    /// predecessor's are still known.
    pub fn name(&self, parts: [&[u8]; 2]) -> Fingerprint {
        let own = self.0.as_ref().map(|scope| &scope.0[..]);
        Fingerprint::of(parts.into_iter().chain(own))
    }
}

/// What was answered to a publisher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// One for each topic of each draft, in their order.
    pub positions: Positions,
    /// Whether a list is answered, however many positions there are.
    pub is_batch: bool,
}

impl Answer {
    /// The answer to a publisher of one thing.
    pub fn one(position: Position) -> Self {
        Self { positions: [position].into_iter().collect(), is_batch: false }
    }
}

/// The key was used for something else.
#[derive(Debug, PartialEq, Eq)]
pub struct OtherPayload;

/// Answers by key.
#[derive(Debug, Default)]
pub struct Idempotency {
    answers: HashMap<Fingerprint, Remembered>,
    oldest_first: VecDeque<(Instant, Fingerprint)>,
    bytes: usize,
}

#[derive(Debug)]
struct Remembered {
    payload: Fingerprint,
    answer: Answer,
}

impl Remembered {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + size_of_val(self.answer.positions.runs())
    }
}

impl Idempotency {
    /// The answer that this key got before, if it is still remembered.
    ///
    /// # Errors
    /// When the key was used for something else.
    pub fn recall(&mut self, key: &Key, now: Instant) -> Result<Option<&Answer>, OtherPayload> {
        self.forget_before(now);
        match self.answers.get(&key.name) {
            Some(remembered) if remembered.payload != key.payload => Err(OtherPayload),
            remembered => Ok(remembered.map(|remembered| &remembered.answer)),
        }
    }

    /// Notes the first answer to a key.
    pub fn remember(&mut self, key: &Key, mut answer: Answer, now: Instant) {
        self.forget_before(now);
        answer.positions.shrink();
        let remembered = Remembered { payload: key.payload, answer };
        self.bytes += remembered.bytes();
        match self.answers.insert(key.name, remembered) {
            Some(replaced) => self.bytes -= replaced.bytes(),
            None => self.oldest_first.push_back((now, key.name)),
        }
        while self.bytes > MAX_BYTES {
            self.forget_oldest();
        }
    }

    /// Everything that is remembered, and since when, oldest first.
    pub fn remembered(&self, now: Instant) -> impl Iterator<Item = (Instant, Key, &Answer)> {
        let lately = self.oldest_first.iter().filter(move |(noted, _)| *noted + REMEMBERED > now);
        lately.filter_map(|(noted, name)| {
            let Remembered { payload, answer } = self.answers.get(name)?;
            Some((*noted, Key { name: *name, payload: *payload }, answer))
        })
    }

    fn forget_before(&mut self, now: Instant) {
        while self.oldest_first.front().is_some_and(|(noted, _)| *noted + REMEMBERED <= now) {
            self.forget_oldest();
        }
        // The memory that a crowd of keys has taken is given back once they are forgotten.
        if self.oldest_first.is_empty() && self.oldest_first.capacity() > 0 {
            *self = Self::default();
        }
    }

    fn forget_oldest(&mut self) {
        let forgotten = self.oldest_first.pop_front().and_then(|(_, name)| self.answers.remove(&name));
        self.bytes -= forgotten.map_or(0, |forgotten| forgotten.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, payload: &str) -> Key {
        Key { name: Fingerprint::of([name.as_bytes()]), payload: Fingerprint::of([payload.as_bytes()]) }
    }

    fn answer(positions: impl IntoIterator<Item = u64>) -> Answer {
        Answer { positions: positions.into_iter().collect(), is_batch: false }
    }

    #[test]
    fn an_answer_is_remembered_for_five_minutes() {
        let (mut answers, now) = (Idempotency::default(), Instant::now());
        answers.remember(&key("k", "x"), answer([7]), now);
        let almost = now + REMEMBERED - Duration::from_nanos(1);
        assert_eq!(answers.recall(&key("k", "x"), almost), Ok(Some(&answer([7]))));
        assert_eq!(answers.recall(&key("other", "x"), almost), Ok(None));
        assert_eq!(answers.remembered(almost).count(), 1);
        assert_eq!(answers.remembered(now + REMEMBERED).count(), 0);
        assert_eq!(answers.recall(&key("k", "x"), now + REMEMBERED), Ok(None));
        assert_eq!((answers.answers.capacity(), answers.oldest_first.capacity(), answers.bytes), (0, 0, 0));
    }

    #[test]
    fn a_key_that_was_used_for_something_else_is_told_from_a_retry() {
        let (mut answers, now) = (Idempotency::default(), Instant::now());
        answers.remember(&key("k", "x"), answer([7]), now);
        assert_eq!(answers.recall(&key("k", "y"), now), Err(OtherPayload));
        assert_eq!(answers.recall(&key("k", "y"), now + REMEMBERED), Ok(None));
    }

    #[test]
    fn too_much_to_remember_pushes_the_oldest_out() {
        let (mut answers, now) = (Idempotency::default(), Instant::now());
        // Every second position: nothing of it is a run.
        let scattered = |n: u64| answer((0..10_000).map(|m| n + 2 * m));
        for n in 0..1_000 {
            answers.remember(&key(&n.to_string(), ""), scattered(n), now);
        }
        assert!(answers.bytes <= MAX_BYTES && answers.bytes > MAX_BYTES * 9 / 10);
        assert_eq!(answers.recall(&key("0", ""), now), Ok(None));
        assert_eq!(answers.recall(&key("999", ""), now), Ok(Some(&scattered(999))));
        assert_eq!(answers.answers.len(), answers.oldest_first.len());
        let counted: usize = answers.answers.values().map(Remembered::bytes).sum();
        assert_eq!(answers.bytes, counted);
    }

    #[test]
    fn a_hundred_thousand_keys_or_thousands_of_large_batches_are_remembered() {
        let now = Instant::now();
        let mut single = Idempotency::default();
        (0..100_000).for_each(|n| single.remember(&key(&n.to_string(), ""), answer([n]), now));
        assert_eq!(single.answers.len(), 100_000);
        let mut batches = Idempotency::default();
        for n in 0..2_000 {
            batches.remember(&key(&n.to_string(), ""), answer(n * 10_000..(n + 1) * 10_000), now);
        }
        assert!(batches.bytes < 1024 * 1024, "{}", batches.bytes);
    }
}
