//! Who waits until everything has been heard that was published before: the engine is asked how far its stream reaches, once
//! for all who wait at that moment, so that a crowd that comes back costs it one question.

use std::collections::VecDeque;

use crate::policy::sequencer::PublicationId;

/// Who waits for what, by numbers that whoever asks has given.
#[derive(Debug, Default)]
pub struct Marks {
    /// Since the last question was sent.
    asking: Vec<u64>,
    /// For whom it is under way.
    asked: Vec<u64>,
    is_asked: bool,
    /// Until this has been heard.
    waiting: VecDeque<(PublicationId, Vec<u64>)>,
}

impl Marks {
    /// One more waits.
    pub fn ask(&mut self, number: u64) {
        self.asking.push(number);
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

    /// Who need not wait any longer, when all up to this has been heard.
    pub fn heard(&mut self, newest: PublicationId) -> Vec<u64> {
        let mut done = vec![];
        while self.waiting.front().is_some_and(|(upto, _)| *upto <= newest) {
            done.extend(self.waiting.pop_front().into_iter().flat_map(|(_, numbers)| numbers));
        }
        done
    }

    /// Nobody can say how far the stream reaches: all who wait, in the order in which they began to.
    pub fn give_up(&mut self) -> Vec<u64> {
        let Self { asking, asked, waiting, .. } = std::mem::take(self);
        waiting.into_iter().flat_map(|(_, numbers)| numbers).chain(asked).chain(asking).collect()
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
        let mut marks = Marks::default();
        assert!(!marks.take_question());
        (0..1000).for_each(|number| marks.ask(number));
        assert!(marks.take_question() && !marks.take_question());
        marks.ask(1000);
        assert!(!marks.take_question());
        marks.on_answer(id(5));
        assert!(marks.heard(id(4)).is_empty());
        assert_eq!(marks.heard(id(5)), (0..1000).collect::<Vec<_>>());
        assert!(marks.take_question());
        marks.on_answer(id(5));
        assert_eq!(marks.heard(id(5)), [1000]);
    }

    #[test]
    fn all_who_wait_are_given_up_in_their_order() {
        let mut marks = Marks::default();
        for number in 0..3 {
            marks.ask(number);
            if marks.take_question() && number == 0 {
                marks.on_answer(id(9));
            }
        }
        assert_eq!(marks.give_up(), [0, 1, 2]);
        marks.ask(3);
        assert!(marks.take_question());
    }
}
