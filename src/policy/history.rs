//! What was published lately, within bounds, so that a resume is complete or honestly refused. Reads no clock and
//! knows no subscriber; it only applies the positions that it is given.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::message::Message;
use crate::policy::sequencer::Position;
use crate::policy::topic::TopicName;
use crate::policy::topic_index::TopicIndex;

/// What history keeps at most. Where any limit is exceeded, the oldest are forgotten.
#[derive(Debug, Clone, Copy)]
pub struct HistoryLimits {
    /// Publications.
    pub publications: usize,
    /// Bytes that they take from memory. What is derived of them for some clients comes on top: that it is there must not cost
    /// others what they have still to hear.
    pub bytes: usize,
    /// Since they were published.
    pub age: Duration,
}

/// One publication.
#[derive(Debug, Clone)]
pub struct Publication {
    /// What it was published to.
    pub topic: TopicName,
    /// What is said to all.
    pub message: Message,
    /// When it was published.
    pub at: Instant,
}

/// A place in the ring, and its part of those that are free: see `push`.
const PLACE_BYTES: usize = size_of::<Publication>() * 9 / 8;

impl Publication {
    /// What it takes from memory in a history.
    pub fn held_bytes(&self) -> usize {
        self.message.held_bytes() + self.topic.held_bytes() + PLACE_BYTES
    }
}

/// The publications up to the newest, without a gap.
#[derive(Debug)]
pub struct History {
    limits: HistoryLimits,
    ring: VecDeque<Publication>,
    newest: Position,
    bytes: usize,
    /// Made when it helps a client that comes back: keeping it up to date costs something with each publication.
    index: Option<TopicIndex>,
}

impl History {
    /// Empty, as if all up to `newest` had been forgotten.
    pub fn new(limits: HistoryLimits, newest: Position) -> Self {
        Self { limits, ring: VecDeque::new(), newest, bytes: 0, index: None }
    }

    /// Takes the publication behind the newest, and forgets what there is no room for.
    pub fn push(&mut self, publication: Publication) {
        self.push_beyond(publication);
        self.forget_surplus();
    }

    /// Like `push`, but a surplus in number is kept until `forget_surplus`, as long as the bytes allow it.
    pub fn push_beyond(&mut self, publication: Publication) {
        self.newest += 1;
        self.bytes += publication.held_bytes();
        if let Some(index) = &mut self.index {
            index.push(&publication.topic, self.newest);
        }
        if self.ring.len() == self.ring.capacity() {
            // By an eighth: with the usual doubling, up to half of it would be held for nothing.
            self.ring.reserve_exact(self.ring.len() / 8 + 8);
        }
        self.ring.push_back(publication);
        while self.bytes > self.limits.bytes {
            self.forget_oldest();
        }
    }

    /// Forgets the surplus: nobody needs it for a replay any longer.
    pub fn forget_surplus(&mut self) {
        while self.ring.len() > self.limits.publications {
            self.forget_oldest();
        }
    }

    /// Forgets what follows this position: the next publication does. What there was before is kept.
    pub fn rewind(&mut self, position: Position) {
        self.index = None;
        let lost = usize::try_from(self.newest.saturating_sub(position)).unwrap_or(usize::MAX);
        let kept = self.ring.len().saturating_sub(lost);
        self.bytes -= self.ring.drain(kept..).map(|forgotten| forgotten.held_bytes()).sum::<usize>();
        self.newest = self.newest.min(position);
    }

    /// Forgets all: the next publication follows this position.
    pub fn restart(&mut self, position: Position) {
        *self = Self::new(self.limits, position);
    }

    /// Forgets what has become too old, and says whether there was anything.
    pub fn expire(&mut self, now: Instant) -> bool {
        let kept = self.ring.len();
        while self.next_expiry().is_some_and(|at| at <= now) {
            self.forget_oldest();
        }
        self.ring.len() < kept
    }

    /// When the oldest becomes too old.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.ring.front().map(|oldest| oldest.at + self.limits.age)
    }

    /// Bytes that what is kept takes from memory, as they are counted.
    pub fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// The positions kept, oldest to newest; an empty range when there are none.
    pub fn positions(&self) -> RangeInclusive<Position> {
        self.newest + 1 - self.ring.len() as u64..=self.newest
    }

    /// Whether everything behind this position is still here, and the position is not in the future.
    pub fn reaches(&self, position: Position) -> bool {
        position <= self.newest && position + 1 >= *self.positions().start()
    }

    /// Whether a client that comes back at this position can be brought everything behind it. The surplus does not count.
    pub fn can_bring(&self, position: Position) -> bool {
        self.reaches(position) && self.newest - position <= self.limits.publications as u64
    }

    /// The publications behind a position that `reaches` allows, oldest first, with their positions.
    pub fn after(&self, position: Position) -> impl Iterator<Item = (Position, &Publication)> {
        debug_assert!(self.reaches(position), "what was forgotten cannot be replayed");
        let start = *self.positions().start();
        let skip = usize::try_from((position + 1).saturating_sub(start)).expect("the ring fits in memory");
        (start + skip as u64..).zip(self.ring.range(skip.min(self.ring.len())..))
    }

    /// Where each topic's publications are.
    pub fn index(&mut self) -> &TopicIndex {
        let positions = *self.positions().start()..;
        self.index.get_or_insert_with(|| {
            let mut index = TopicIndex::default();
            positions.zip(&self.ring).for_each(|(position, kept)| index.push(&kept.topic, position));
            index
        })
    }

    /// Drops the index while nobody needs it. It is made again for the next client that does.
    pub fn drop_index(&mut self) {
        self.index = None;
    }

    /// Gives back the memory of publications that it no longer has.
    pub fn shrink(&mut self) {
        self.ring.shrink_to_fit();
    }

    fn forget_oldest(&mut self) {
        if let Some(forgotten) = self.ring.pop_front() {
            self.bytes -= forgotten.held_bytes();
            if let Some(index) = &mut self.index {
                index.forget_oldest(&forgotten.topic);
            }
        }
        if self.ring.len() < self.ring.capacity() / 2 {
            self.ring.shrink_to(self.ring.capacity() / 4 * 3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::topic::Filter;

    const GENEROUS: HistoryLimits =
        HistoryLimits { publications: 1000, bytes: 1_000_000, age: Duration::from_secs(300) };

    /// A history with so many publications, one a second, each of 8 bytes.
    fn history(limits: HistoryLimits, count: u32) -> (History, Instant) {
        let (mut history, start) = (History::new(limits, 0), Instant::now());
        for n in 1..=count {
            let message = Message::new(format!("{n:08}").as_bytes(), n);
            let at = start + Duration::from_secs(n.into());
            history.push(Publication { topic: TopicName::parse("t").unwrap(), message, at });
        }
        (history, start)
    }

    fn after(history: &History, position: Position) -> Vec<Position> {
        history.after(position).map(|(position, _)| position).collect()
    }

    #[test]
    fn what_was_missed_comes_back_in_order() {
        let (history, _) = history(GENEROUS, 5);
        assert_eq!(after(&history, 2), [3, 4, 5]);
        assert_eq!(after(&history, 5), [0; 0]);
        assert_eq!(after(&history, 0), [1, 2, 3, 4, 5]);
        let (position, publication) = history.after(3).next().unwrap();
        assert_eq!((position, publication.message.json()), (4, &b"00000004"[..]));
    }

    #[test]
    fn each_limit_forgets_the_oldest() {
        let by_count = history(HistoryLimits { publications: 3, ..GENEROUS }, 5).0;
        let bytes = 3 * history(GENEROUS, 1).0.bytes;
        let by_bytes = history(HistoryLimits { bytes, ..GENEROUS }, 5).0;
        let by_a_byte = history(HistoryLimits { bytes: bytes - 1, ..GENEROUS }, 5).0;
        assert_eq!(by_a_byte.positions(), 4..=5);
        let (mut by_age, start) = history(GENEROUS, 5);
        assert_eq!(by_age.next_expiry(), Some(start + Duration::from_secs(301)));
        by_age.expire(start + Duration::from_secs(302));
        for history in [by_count, by_bytes, by_age] {
            assert_eq!(history.positions(), 3..=5);
            assert!(history.reaches(2) && !history.reaches(1) && !history.reaches(6));
            assert_eq!(after(&history, 2), [3, 4, 5]);
        }
    }

    #[test]
    fn a_surplus_is_kept_for_whoever_still_needs_it_and_for_nobody_else() {
        let (mut history, start) = history(HistoryLimits { publications: 3, ..GENEROUS }, 3);
        let next = Publication { at: start, ..history.ring[0].clone() };
        (0..2).for_each(|_| history.push_beyond(next.clone()));
        assert_eq!(history.positions(), 1..=5);
        assert!(history.can_bring(2) && history.reaches(1) && !history.can_bring(1));
        history.limits.bytes = history.bytes;
        history.push_beyond(next);
        assert_eq!(history.positions(), 2..=6);
        history.forget_surplus();
        assert_eq!(history.positions(), 4..=6);
    }

    #[test]
    fn the_index_follows_what_is_kept() {
        let (mut history, start) = history(HistoryLimits { publications: 3, ..GENEROUS }, 4);
        let all = |history: &mut History| {
            let everything = Filter::parse("*").unwrap();
            history.index().merge([(&everything, 0)].into_iter()).collect::<Vec<_>>()
        };
        assert_eq!(all(&mut history), [2, 3, 4]);
        history.push(Publication { at: start, ..history.ring[0].clone() });
        assert_eq!(all(&mut history), [3, 4, 5]);
        history.expire(start + Duration::from_secs(303));
        assert_eq!(all(&mut history), [4, 5]);
        history.drop_index();
        assert_eq!(all(&mut history), [4, 5]);
    }

    #[test]
    fn what_follows_the_place_that_it_is_rewound_to_is_forgotten_and_replaced() {
        let (mut history, start) = history(GENEROUS, 5);
        let (bytes, next) = (history.bytes / 5, Publication { at: start, ..history.ring[0].clone() });
        history.index();
        history.rewind(3);
        assert_eq!((history.positions(), history.bytes), (1..=3, 3 * bytes));
        assert!(history.reaches(3) && !history.reaches(4));
        history.push(next.clone());
        assert_eq!(after(&history, 2), [3, 4]);
        let everything = Filter::parse("*").unwrap();
        assert_eq!(history.index().merge([(&everything, 2)].into_iter()).collect::<Vec<_>>(), [3, 4]);

        history.restart(9);
        history.push(next);
        history.rewind(7);
        assert_eq!((after(&history, 7), history.bytes), (vec![], 0), "further back than it reaches");
        assert!(!history.reaches(6));
    }

    #[test]
    fn what_is_derived_of_a_message_costs_no_publication_its_place() {
        let (mut history, start) = history(GENEROUS, 3);
        history.limits.bytes = history.bytes;
        let kept: Vec<Message> = history.after(0).map(|(_, kept)| kept.message.clone()).collect();
        kept.iter().for_each(|message| assert!(message.deflated(|_| Some(vec![0; 1000].into())).is_some()));
        assert_eq!((history.positions(), history.bytes), (1..=3, history.limits.bytes));
        history.push(Publication { at: start, ..history.ring[0].clone() });
        assert_eq!((history.positions(), history.bytes), (2..=4, history.limits.bytes));
    }

    #[test]
    fn an_empty_history_reaches_only_the_newest() {
        let empty = History::new(GENEROUS, 7);
        assert!(empty.reaches(7) && !empty.reaches(6) && !empty.reaches(8));
        let (nothing_kept, _) = history(HistoryLimits { publications: 0, ..GENEROUS }, 3);
        assert!(nothing_kept.reaches(3) && !nothing_kept.reaches(2));
        assert_eq!(after(&nothing_kept, 3), [0; 0]);
    }
}
