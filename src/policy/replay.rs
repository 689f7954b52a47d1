//! Brings one subscriber from where it left off to the present: reads history piece by piece, as fast as the subscriber
//! takes it. What is published meanwhile is reached in its turn, so there is neither a hole nor a duplicate at the seam.
//! Where little of what was missed is the subscriber's own, an index finds that: the cost is in proportion to what is found.

use crate::message::Message;
use crate::policy::history::History;
use crate::policy::line::Continuity;
use crate::policy::sequencer::Position;
use crate::policy::topic::Filter;

/// Publications looked at in one piece, whether or not the subscriber listens to them.
const LOOKED_AT: usize = 1024;

/// If fewer than one in this many missed publications is the subscriber's own, looking at each is not worth it.
const SPARSE: usize = 8;

/// One subscriber's way through history.
#[derive(Debug)]
pub struct Replay {
    /// Everything up to here has been looked at.
    reached: Position,
    /// What it listens to, each from behind its own position: a filter added on the way begins where it was added.
    filters: Vec<(Filter, Position)>,
    /// Whether most of what was missed is not its own.
    is_sparse: bool,
    /// Whether the caller has listed it among those that can go on.
    pub is_listed: bool,
}

/// History has forgotten what would have come next: the replay cannot be complete.
#[derive(Debug, PartialEq, Eq)]
pub struct Forgotten;

impl Replay {
    /// A replay of everything that these filters match, each from behind its own position, from behind a position that history
    /// reaches.
    pub fn new(after: Position, filters: Vec<(Filter, Position)>, history: &mut History) -> Self {
        let missed = usize::try_from(history.positions().end() - after).expect("the ring fits in memory");
        let dense = missed.div_ceil(SPARSE);
        let is_sparse = missed > LOOKED_AT / SPARSE && {
            let index = history.index();
            let mut found = 0;
            filters.iter().all(|(filter, _)| {
                found += index.count(filter, after, dense - found);
                found < dense
            })
        };
        Self { reached: after, filters, is_sparse, is_listed: false }
    }

    /// Adds a filter for what is published from now on.
    pub fn subscribe(&mut self, filter: Filter, newest: Position) {
        self.filters.push((filter, newest));
    }

    /// Takes a filter away.
    pub fn unsubscribe(&mut self, filter: &Filter) {
        self.filters.retain(|(other, _)| other != filter);
    }

    /// The line goes on so: what is lost is not waited for.
    pub fn go_on(&mut self, continuity: Continuity) {
        let positions = self.filters.iter_mut().map(|(_, from)| from).chain([&mut self.reached]);
        match continuity {
            Continuity::Kept => {}
            Continuity::Rewound(to) => positions.for_each(|position| *position = to.min(*position)),
            Continuity::Restarted(at) | Continuity::Begun(at) => {
                positions.for_each(|position| *position = at);
            }
        }
    }

    /// What it listens to, each from behind its own position.
    pub fn filters(&self) -> &[(Filter, Position)] {
        &self.filters
    }

    /// The position that it has reached; at the newest it is complete.
    pub fn reached(&self) -> Position {
        self.reached
    }

    /// The next piece: publications up to about `bytes` of JSON, oldest first. It may be empty before the replay is complete.
    ///
    /// # Errors
    /// `Forgotten` when there is a gap.
    pub fn next_piece(&mut self, history: &mut History, bytes: usize) -> Result<Vec<Message>, Forgotten> {
        if !history.reaches(self.reached) {
            return Err(Forgotten);
        }
        Ok(if self.is_sparse { self.find(history, bytes) } else { self.look_through(history, bytes) })
    }

    /// Looks at each publication.
    fn look_through(&mut self, history: &History, mut bytes: usize) -> Vec<Message> {
        let mut piece = Vec::new();
        for (position, publication) in history.after(self.reached).take(LOOKED_AT) {
            self.reached = position;
            let is_its_own =
                |(filter, from): &(Filter, Position)| position > *from && filter.matches(&publication.topic);
            if self.filters.iter().any(is_its_own) {
                piece.push(publication.message.clone());
                bytes = bytes.saturating_sub(publication.message.json().len());
            }
            if bytes == 0 {
                break;
            }
        }
        piece
    }

    /// Looks at its own publications only.
    fn find(&mut self, history: &mut History, mut bytes: usize) -> Vec<Message> {
        let reached = self.reached;
        let filters = self.filters.iter().map(|(filter, from)| (filter, reached.max(*from)));
        let found: Vec<Position> = history.index().merge(filters).take(LOOKED_AT).collect();
        let is_all = found.len() < LOOKED_AT;
        let mut piece = Vec::new();
        for position in found {
            let Some((_, publication)) = history.after(position - 1).next() else { break };
            piece.push(publication.message.clone());
            self.reached = position;
            bytes = bytes.saturating_sub(publication.message.json().len());
            if bytes == 0 {
                return piece;
            }
        }
        if is_all {
            self.reached = *history.positions().end();
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::policy::history::{HistoryLimits, Publication};
    use crate::policy::topic::TopicName;

    fn history(publications: usize, topics: &[&str]) -> History {
        let mut history =
            History::new(HistoryLimits { publications, bytes: usize::MAX, age: Duration::MAX }, 0);
        topics.iter().for_each(|topic| publish(&mut history, topic));
        history
    }

    fn publish(history: &mut History, topic: &str) {
        let message = Message::new(format!("{topic}{}", history.positions().end() + 1).as_bytes(), 1);
        history.push(Publication { topic: TopicName::parse(topic).unwrap(), message, at: Instant::now() });
    }

    fn replay(history: &mut History, after: Position, filters: &[&str]) -> Replay {
        let filters = filters.iter().map(|filter| (Filter::parse(filter).unwrap(), after));
        Replay::new(after, filters.collect(), history)
    }

    fn texts(piece: Result<Vec<Message>, Forgotten>) -> Vec<String> {
        let text = |message: Message| String::from_utf8(message.json().to_vec()).unwrap();
        piece.unwrap().into_iter().map(text).collect()
    }

    #[test]
    fn it_brings_what_was_missed_and_what_comes_meanwhile_in_order() {
        let mut history = history(100, &["a", "b", "a", "b", "a"]);
        let mut replay = replay(&mut history, 1, &["a", "c/*"]);
        assert_eq!(texts(replay.next_piece(&mut history, 1)), ["a3"]);
        publish(&mut history, "c/1");
        assert_eq!(texts(replay.next_piece(&mut history, 1000)), ["a5", "c/16"]);
        assert_eq!(replay.reached(), 6);
        assert_eq!(texts(replay.next_piece(&mut history, 1000)), [""; 0]);
    }

    #[test]
    fn a_filter_added_on_the_way_begins_there() {
        let mut history = history(100, &["a", "b"]);
        let mut replay = replay(&mut history, 0, &["a"]);
        replay.subscribe(Filter::parse("b").unwrap(), 2);
        publish(&mut history, "b");
        replay.unsubscribe(&Filter::parse("a").unwrap());
        assert_eq!(texts(replay.next_piece(&mut history, 1000)), ["b3"]);
    }

    #[test]
    fn where_what_it_has_brought_is_lost_it_goes_on_with_what_comes_instead() {
        for bytes in [1, 1000] {
            let mut history = history(100, &["a", "a", "a"]);
            let mut replay = replay(&mut history, 0, &["a"]);
            texts(replay.next_piece(&mut history, bytes));
            replay.subscribe(Filter::parse("b").unwrap(), 3);
            history.rewind(2);
            replay.go_on(Continuity::Rewound(2));
            ["b", "a"].iter().for_each(|topic| publish(&mut history, topic));
            let left: &[&str] = if bytes == 1 { &["a2", "b3", "a4"] } else { &["b3", "a4"] };
            assert_eq!(texts(replay.next_piece(&mut history, 1000)), left);
        }
    }

    #[test]
    fn a_gap_on_the_way_is_reported() {
        let mut history = history(3, &["a", "a", "a"]);
        let mut replay = replay(&mut history, 0, &["a"]);
        assert_eq!(texts(replay.next_piece(&mut history, 1)), ["a1"]);
        publish(&mut history, "a");
        assert_eq!(texts(replay.next_piece(&mut history, 1)), ["a2"]);
        publish(&mut history, "a");
        publish(&mut history, "a");
        assert_eq!(replay.next_piece(&mut history, 1), Err(Forgotten));
    }

    #[test]
    fn a_long_way_through_what_others_listen_to_is_taken_in_one_step() {
        let mut topics = vec!["b"; 3000];
        topics[1500] = "a";
        let mut history = history(10_000, &topics);
        let mut replay = replay(&mut history, 0, &["a", "c/*"]);
        assert!(replay.is_sparse);
        assert_eq!(texts(replay.next_piece(&mut history, 1000)), ["a1501"]);
        assert_eq!(replay.reached(), 3000);
        publish(&mut history, "c/1");
        assert_eq!(texts(replay.next_piece(&mut history, 1000)), ["c/13001"]);
    }

    #[test]
    fn more_of_its_own_than_one_step_finds_is_found_by_the_next() {
        let mut history =
            history(10_000, &["b", "b", "b", "b", "a", "b", "b", "b", "b"].repeat(LOOKED_AT + 1));
        let mut replay = replay(&mut history, 0, &["a"]);
        assert!(replay.is_sparse);
        let steps = [(); 2].map(|()| texts(replay.next_piece(&mut history, usize::MAX)).len());
        assert_eq!((steps, replay.reached()), ([LOOKED_AT, 1], *history.positions().end()));
    }

    #[test]
    fn where_much_is_its_own_a_replay_looks_at_everything_in_pieces() {
        let mut history = history(10_000, &["a", "b"].repeat(1500));
        let mut replay = replay(&mut history, 0, &["a"]);
        assert!(!replay.is_sparse);
        assert_eq!(texts(replay.next_piece(&mut history, 100_000)).len(), LOOKED_AT / 2);
        assert_eq!(replay.reached(), LOOKED_AT as u64);
    }

    #[test]
    fn the_index_and_a_look_at_everything_bring_the_same() {
        use proptest::prelude::*;
        const TOPICS: [&str; 6] = ["a", "a/1", "a/1/x", "a/2", "b", "b/"];
        let topics = prop::collection::vec(prop::sample::select(&TOPICS[..]), 1..60);
        let filters =
            prop::collection::vec(prop::sample::select(&["a", "a/*", "a/1/*", "b/", "*", "c"][..]), 0..4);
        proptest!(|(topics in topics, filters in filters, kept in 1..60usize, bytes in 1..40usize)| {
            let mut history = history(kept, &topics);
            let after = *history.positions().start() - 1;
            let mut bring_all = |is_sparse| {
                let mut replay = Replay { is_sparse, ..replay(&mut history, after, &filters) };
                let mut brought = vec![];
                while replay.reached() < *history.positions().end() {
                    brought.extend(texts(replay.next_piece(&mut history, bytes)));
                }
                brought
            };
            prop_assert_eq!(bring_all(true), bring_all(false));
        });
    }
}
