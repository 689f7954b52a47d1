//! Who waits until everything has been heard that was published before: the engine is asked how far its stream reaches, once
//! for all who wait at that moment, so that a crowd that comes back costs it one question.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::policy::sequencer::PublicationId;

/// How long anybody waits. Machines come back to an engine that was gone up to some seconds apart, and what is given up is heard
/// twice; but a client waits for an answer, and `slackwater.js` for no longer than 10 seconds: it would only come again, and wait again.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// Who waits for what, by numbers that whoever asks has given.
#[derive(Debug, Default)]
pub struct Marks {
    /// Since the last question was sent.
    asking: Vec<Waiter>,
    /// For whom it is under way.
    asked: Vec<Waiter>,
    is_asked: bool,
    /// Until this has been heard.
    waiting: VecDeque<(PublicationId, Vec<Waiter>)>,
}

#[derive(Debug, Clone, Copy)]
struct Waiter {
    number: u64,
    until: Instant,
}

impl Marks {
    /// One more waits.
    pub fn ask(&mut self, number: u64, now: Instant) {
        self.asking.push(Waiter { number, until: now + PATIENCE });
    }

    /// Whether the engine is to be asked now, for all who wait by then.
    pub fn take_question(&mut self) -> bool {
        if self.is_asked || self.asking.is_empty() {
            return false;
        }
        self.asked = std::mem::take(&mut self.asking);
        self.is_asked = true;
        true
    }

    /// The answer: how far the stream reaches.
    pub fn on_answer(&mut self, newest: PublicationId) {
        self.is_asked = false;
        self.waiting.push_back((newest, std::mem::take(&mut self.asked)));
    }

    /// The engine is away, and may have lost what it said: once it is there again, it is to be asked anew for all who wait.
    pub fn on_fault(&mut self) {
        let Self { asking, asked, waiting, .. } = std::mem::take(self);
        self.asking = waiting.into_iter().flat_map(|(_, those)| those).chain(asked).chain(asking).collect();
    }

    /// Who need not wait any longer, when all up to this has been heard.
    pub fn heard(&mut self, newest: PublicationId) -> Vec<u64> {
        let mut done = vec![];
        while self.waiting.front().is_some_and(|(upto, _)| *upto <= newest) {
            let those = self.waiting.pop_front().into_iter().flat_map(|(_, those)| those);
            done.extend(those.map(|waiter| waiter.number));
        }
        done
    }

    /// When the first of those who wait is given up.
    pub fn deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.iter().flat_map(|(_, those)| those);
        waiting.chain(&self.asked).chain(&self.asking).next().map(|waiter| waiter.until)
    }

    /// Who has waited for too long, in the order in which they began to.
    pub fn give_up(&mut self, now: Instant) -> Vec<u64> {
        let lists = self.waiting.iter_mut().map(|(_, those)| those);
        let overdue = |those: &mut Vec<Waiter>| {
            let count = those.partition_point(|waiter| waiter.until <= now);
            those.drain(..count).map(|waiter| waiter.number).collect::<Vec<_>>()
        };
        lists.chain([&mut self.asked, &mut self.asking]).flat_map(overdue).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(position: u64) -> PublicationId {
        PublicationId::new(7, position)
    }

    #[test]
    fn a_crowd_is_one_question_and_whoever_comes_behind_it_waits_for_the_next() {
        let (mut marks, now) = (Marks::default(), Instant::now());
        assert!(!marks.take_question());
        (0..1000).for_each(|number| marks.ask(number, now));
        assert!(marks.take_question() && !marks.take_question());
        marks.ask(1000, now);
        assert!(!marks.take_question());
        marks.on_answer(id(5));
        assert!(marks.heard(id(4)).is_empty());
        assert_eq!(marks.heard(id(5)), (0..1000).collect::<Vec<_>>());
        assert!(marks.take_question());
        marks.on_answer(id(5));
        assert_eq!(marks.heard(id(5)), [1000]);
    }

    /// One whose answer has come, one that is asked for, and one who waits for the next question; each a second later.
    fn three(now: Instant) -> Marks {
        let mut marks = Marks::default();
        for number in 0..3 {
            marks.ask(number, now + Duration::from_secs(number));
            if marks.take_question() && number == 0 {
                marks.on_answer(id(9));
            }
        }
        marks
    }

    #[test]
    fn each_is_given_up_when_its_time_is_over_in_their_order() {
        let now = Instant::now();
        let mut marks = three(now);
        assert_eq!(marks.deadline(), Some(now + PATIENCE));
        assert_eq!(marks.give_up(now + PATIENCE), [0]);
        assert_eq!(marks.give_up(now + PATIENCE + Duration::from_secs(2)), [1, 2]);
        assert_eq!(marks.deadline(), None);
    }

    #[test]
    fn where_the_engine_was_away_it_is_asked_once_more_for_all_who_wait() {
        let mut marks = three(Instant::now());
        marks.on_fault();
        assert!(marks.heard(id(9)).is_empty() && marks.take_question());
        marks.on_answer(id(10));
        assert_eq!(marks.heard(id(10)), [0, 1, 2]);
    }
}
