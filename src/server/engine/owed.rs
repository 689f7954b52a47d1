//! The answers that are owed, in the order of the questions: one that is known early waits for those before it.

use std::collections::VecDeque;

/// Questions that are not answered yet, oldest first, each of somebody.
#[derive(Debug)]
pub(super) struct Owed<K, A> {
    queue: VecDeque<(K, Option<A>)>,
    /// The number of the first.
    first: u64,
}

impl<K, A> Default for Owed<K, A> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), first: 0 }
    }
}

impl<K, A> Owed<K, A> {
    /// Somebody has asked; the number of the question.
    pub(super) fn ask(&mut self, who: K) -> u64 {
        self.queue.push_back((who, None));
        self.first + self.queue.len() as u64 - 1
    }

    /// The answer to a question is known.
    pub(super) fn answer(&mut self, number: u64, answer: A) {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some((_, place)) = index.and_then(|index| self.queue.get_mut(index)) {
            place.get_or_insert(answer);
        }
    }

    /// The next answer, if it is known. Call until `None`.
    pub(super) fn next(&mut self) -> Option<(K, A)> {
        let (_, answer) = self.queue.front_mut()?;
        let answer = answer.take()?;
        let (who, _) = self.queue.pop_front()?;
        self.first += 1;
        if self.queue.is_empty() {
            // What a crowd has asked takes no memory when all is answered.
            self.queue = VecDeque::new();
        }
        Some((who, answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_the_order_of_the_questions() {
        let mut owed = Owed::default();
        let [one, other, last] = ["a", "b", "c"].map(|who| owed.ask(who));
        owed.answer(other, 2);
        assert_eq!(owed.next(), None);
        owed.answer(one, 1);
        owed.answer(one, 7);
        assert_eq!([owed.next(), owed.next(), owed.next()], [Some(("a", 1)), Some(("b", 2)), None]);
        owed.answer(one, 8);
        owed.answer(last, 3);
        assert_eq!((owed.next(), owed.queue.is_empty()), (Some(("c", 3)), true));
    }
}
