//! Where in history each topic's publications are, so that a client that comes back to a few of very many topics is brought
//! its own without a look at all the others. Knows positions only.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::ops::Bound;

use crate::policy::sequencer::Position;
use crate::policy::topic::{Filter, TopicName};

/// The positions of each topic, oldest first.
#[derive(Debug, Default)]
pub struct TopicIndex {
    by_topic: BTreeMap<TopicName, VecDeque<Position>>,
}

impl TopicIndex {
    /// Takes the newest publication.
    pub fn push(&mut self, topic: &TopicName, position: Position) {
        match self.by_topic.get_mut(topic.as_str()) {
            Some(positions) => positions.push_back(position),
            None => _ = self.by_topic.insert(topic.clone(), VecDeque::from([position])),
        }
    }

    /// Forgets the oldest publication, which was to this topic.
    pub fn forget_oldest(&mut self, topic: &TopicName) {
        let Some(positions) = self.by_topic.get_mut(topic.as_str()) else { return };
        positions.pop_front();
        if positions.is_empty() {
            self.by_topic.remove(topic.as_str());
        }
    }

    /// How many publications a filter matches behind a position; counting stops at `most`.
    pub fn count(&self, filter: &Filter, after: Position, most: usize) -> usize {
        let mut count = 0;
        for positions in self.matching(filter) {
            count += positions.len() - behind(positions, after);
            if count >= most {
                return most;
            }
        }
        count
    }

    /// The positions that filters match, each filter from behind a position of its own; ascending, each once.
    pub fn merge<'a>(
        &'a self,
        filters: impl Iterator<Item = (&'a Filter, Position)>,
    ) -> impl Iterator<Item = Position> {
        let lists = filters.flat_map(|(filter, after)| {
            self.matching(filter).map(move |positions| positions.range(behind(positions, after)..).copied())
        });
        let mut lists: Vec<_> = lists.collect();
        let firsts = lists.iter_mut().map(Iterator::next).enumerate();
        let mut next: BinaryHeap<_> =
            firsts.filter_map(|(list, first)| first.map(|position| Reverse((position, list)))).collect();
        let mut reached = None;
        std::iter::from_fn(move || {
            loop {
                let Reverse((position, list)) = next.pop()?;
                next.extend(lists[list].next().map(|following| Reverse((following, list))));
                // Two filters may match one topic.
                if reached.replace(position) != Some(position) {
                    return Some(position);
                }
            }
        })
    }

    fn matching(&self, filter: &Filter) -> impl Iterator<Item = &VecDeque<Position>> {
        let prefix = filter.as_str().trim_end_matches('*');
        let topics = self.by_topic.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        topics.take_while(move |(topic, _)| filter.matches(topic)).map(|(_, positions)| positions)
    }
}

/// The place of the first of a topic's positions that is behind this one.
fn behind(positions: &VecDeque<Position>, after: Position) -> usize {
    // Most often all of them are, or none is.
    match positions.back() {
        Some(newest) if *newest > after => positions.partition_point(|position| *position <= after),
        _ => positions.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(topics: &[&str]) -> TopicIndex {
        let mut index = TopicIndex::default();
        for (position, topic) in (1..).zip(topics) {
            index.push(&TopicName::parse(topic).unwrap(), position);
        }
        index
    }

    fn merge(index: &TopicIndex, filters: &[(&str, Position)]) -> Vec<Position> {
        let filters: Vec<(Filter, Position)> =
            filters.iter().map(|(filter, after)| (Filter::parse(filter).unwrap(), *after)).collect();
        index.merge(filters.iter().map(|(filter, after)| (filter, *after))).collect()
    }

    #[test]
    fn what_several_filters_match_comes_in_order_and_once() {
        let index = index(&["a/1", "b", "a/2", "a/1", "c", "a", "b"]);
        assert_eq!(merge(&index, &[("a/*", 0), ("a/1", 0), ("b", 0)]), [1, 2, 3, 4, 7]);
        assert_eq!(merge(&index, &[("a/1", 1), ("b", 2)]), [4, 7]);
        assert_eq!(merge(&index, &[("*", 4)]), [5, 6, 7]);
        assert_eq!(merge(&index, &[("a/", 0), ("x", 0)]), [0; 0]);
    }

    #[test]
    fn it_counts_no_further_than_it_is_asked_to() {
        let index = index(&["a/1", "b", "a/2", "a/1"]);
        let count = |filter, after, most| index.count(&Filter::parse(filter).unwrap(), after, most);
        assert_eq!((count("a/*", 0, 9), count("a/*", 1, 9), count("a/*", 0, 2)), (3, 2, 2));
        assert_eq!((count("*", 4, 9), count("b", 1, 9), count("c", 0, 9)), (0, 1, 0));
    }

    #[test]
    fn what_history_forgets_it_forgets() {
        let mut index = index(&["a", "b", "a"]);
        index.forget_oldest(&TopicName::parse("a").unwrap());
        index.forget_oldest(&TopicName::parse("b").unwrap());
        assert_eq!(merge(&index, &[("*", 0)]), [3]);
        assert_eq!(index.by_topic.len(), 1);
    }
}
