//! Remembers the answers to publications that carried a key, so that a retry gets the first answer again and publishes
//! nothing. Reads no clock.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How long an answer is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(300);

/// Answers remembered at most; beyond, the oldest is forgotten early.
const MAX_ANSWERS: usize = 100_000;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// Answers by key.
#[derive(Debug)]
pub struct Idempotency<A> {
    answers: HashMap<String, A>,
    oldest_first: VecDeque<(Instant, String)>,
}

impl<A> Default for Idempotency<A> {
    fn default() -> Self {
        Self { answers: HashMap::new(), oldest_first: VecDeque::new() }
    }
}

impl<A> Idempotency<A> {
    /// The answer that was given to this key lately.
    pub fn recall(&mut self, key: &str, now: Instant) -> Option<&A> {
        self.forget_before(now);
        self.answers.get(key)
    }

    /// Notes the first answer to a key.
    pub fn remember(&mut self, key: String, answer: A, now: Instant) {
        self.forget_before(now);
        if self.answers.len() >= MAX_ANSWERS {
            self.forget_oldest();
        }
        if self.answers.insert(key.clone(), answer).is_none() {
            self.oldest_first.push_back((now, key));
        }
    }

    fn forget_before(&mut self, now: Instant) {
        while self.oldest_first.front().is_some_and(|(noted, _)| *noted + REMEMBERED <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.oldest_first.pop_front() {
            self.answers.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_remembered_for_five_minutes() {
        let (mut answers, now) = (Idempotency::default(), Instant::now());
        answers.remember("k".to_owned(), 7, now);
        let almost = now + REMEMBERED - Duration::from_nanos(1);
        assert_eq!(answers.recall("k", almost), Some(&7));
        assert_eq!(answers.recall("other", almost), None);
        assert_eq!(answers.recall("k", now + REMEMBERED), None);
        assert!(answers.answers.is_empty() && answers.oldest_first.is_empty());
    }

    #[test]
    fn too_many_answers_push_the_oldest_out() {
        let (mut answers, now) = (Idempotency::default(), Instant::now());
        for n in 0..=MAX_ANSWERS {
            answers.remember(n.to_string(), n, now);
        }
        assert_eq!(answers.recall("0", now), None);
        assert_eq!(answers.recall("1", now), Some(&1));
        assert_eq!(answers.answers.len(), MAX_ANSWERS);
    }
}
