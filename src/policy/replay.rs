//! Brings one listener from where it left off to the present: reads history piece by piece, as fast as the listener
//! takes it. What is published meanwhile is reached in its turn, so there is neither a hole nor a duplicate at the seam.

use crate::frame::Frame;
use crate::policy::history::History;
use crate::policy::sequencer::Position;
use crate::policy::topic::Filter;

/// Publications looked at in one piece, whether or not the listener listens to them.
const LOOKED_AT: usize = 1024;

/// One listener's way through history.
#[derive(Debug)]
pub struct Replay {
    /// All up to here has been looked at.
    reached: Position,
    /// What it listens to, each from behind a position on: a filter added on the way begins where it was added.
    filters: Vec<(Filter, Position)>,
    /// Whether the caller has it in the list of those that can go on.
    pub is_listed: bool,
}

/// History has forgotten what would have come next: the replay cannot be complete.
#[derive(Debug, PartialEq, Eq)]
pub struct Forgotten;

impl Replay {
    /// A replay of all that these filters match behind a position.
    pub fn new(after: Position, filters: Vec<Filter>) -> Self {
        let filters = filters.into_iter().map(|filter| (filter, after)).collect();
        Self { reached: after, filters, is_listed: false }
    }

    /// Adds a filter for what is published from now on.
    pub fn subscribe(&mut self, filter: Filter, newest: Position) {
        self.filters.push((filter, newest));
    }

    /// Takes a filter away.
    pub fn unsubscribe(&mut self, filter: &Filter) {
        self.filters.retain(|(other, _)| other != filter);
    }

    /// The position that it has reached; at the newest it is complete.
    pub fn reached(&self) -> Position {
        self.reached
    }

    /// The next piece: frames up to about `bytes`, oldest first. It may be empty though the replay is not complete.
    ///
    /// # Errors
    /// `Forgotten` when there is a gap.
    pub fn next_piece(&mut self, history: &History, mut bytes: usize) -> Result<Vec<Frame>, Forgotten> {
        if !history.reaches(self.reached) {
            return Err(Forgotten);
        }
        let mut piece = Vec::new();
        for (position, publication) in history.after(self.reached).take(LOOKED_AT) {
            self.reached = position;
            if self
                .filters
                .iter()
                .any(|(filter, from)| position > *from && filter.matches(&publication.topic))
            {
                piece.push(publication.frame.clone());
                bytes = bytes.saturating_sub(publication.frame.len());
            }
            if bytes == 0 {
                break;
            }
        }
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::policy::history::{HistoryLimits, Publication};
    use crate::policy::topic::TopicName;

    fn history(publications: usize, topics: &[&str]) -> History {
        let mut history = History::new(HistoryLimits { publications, bytes: 100_000, age: Duration::MAX }, 0);
        topics.iter().for_each(|topic| publish(&mut history, topic));
        history
    }

    fn publish(history: &mut History, topic: &str) {
        let frame = Frame::text(format!("{topic}{}", history.positions().end() + 1));
        history.push(Publication { topic: TopicName::parse(topic).unwrap(), frame, at: Instant::now() });
    }

    fn replay(after: Position, filters: &[&str]) -> Replay {
        Replay::new(after, filters.iter().map(|filter| Filter::parse(filter).unwrap()).collect())
    }

    fn texts(piece: Result<Vec<Frame>, Forgotten>) -> Vec<String> {
        let text = |frame: Frame| String::from_utf8(frame.into_bytes()[2..].to_vec()).unwrap();
        piece.unwrap().into_iter().map(text).collect()
    }

    #[test]
    fn it_brings_what_was_missed_and_what_comes_meanwhile_in_order() {
        let mut history = history(100, &["a", "b", "a", "b", "a"]);
        let mut replay = replay(1, &["a", "c/*"]);
        assert_eq!(texts(replay.next_piece(&history, 1)), ["a3"]);
        publish(&mut history, "c/1");
        assert_eq!(texts(replay.next_piece(&history, 1000)), ["a5", "c/16"]);
        assert_eq!(replay.reached(), 6);
        assert_eq!(texts(replay.next_piece(&history, 1000)), [""; 0]);
    }

    #[test]
    fn a_filter_added_on_the_way_begins_there() {
        let mut history = history(100, &["a", "b"]);
        let mut replay = replay(0, &["a"]);
        replay.subscribe(Filter::parse("b").unwrap(), 2);
        publish(&mut history, "b");
        replay.unsubscribe(&Filter::parse("a").unwrap());
        assert_eq!(texts(replay.next_piece(&history, 1000)), ["b3"]);
    }

    #[test]
    fn what_was_forgotten_on_the_way_is_said() {
        let mut history = history(3, &["a", "a", "a"]);
        let mut replay = replay(0, &["a"]);
        assert_eq!(texts(replay.next_piece(&history, 1)), ["a1"]);
        publish(&mut history, "a");
        assert_eq!(texts(replay.next_piece(&history, 1)), ["a2"]);
        publish(&mut history, "a");
        publish(&mut history, "a");
        assert_eq!(replay.next_piece(&history, 1), Err(Forgotten));
    }

    #[test]
    fn a_long_way_through_what_others_listen_to_is_gone_in_pieces() {
        let history = history(10_000, &["b"; 3000]);
        let mut replay = replay(0, &["a"]);
        assert_eq!(texts(replay.next_piece(&history, 1000)), [""; 0]);
        assert_eq!(replay.reached(), LOOKED_AT as u64);
    }
}
