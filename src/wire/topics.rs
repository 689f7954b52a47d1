//! Which topics are heard, and by how many: of one process, and of all together.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// How many topics a process names at most, those with the most subscribers.
pub const NAMED: usize = 1000;

/// The topics of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topics {
    /// How many are heard.
    pub count: u64,
    /// With how many subscribers each; most first.
    pub most_heard: Vec<(String, u64)>,
}

impl Topics {
    /// The topics of all these together. Where a process has more than it names, the number is that of whoever has the most: there
    /// are at least so many.
    pub fn of_all<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let (mut count, mut subscribers) = (0, HashMap::<&str, u64>::new());
        for topics in all {
            count = count.max(topics.count);
            for (topic, more) in &topics.most_heard {
                let known = subscribers.entry(topic).or_default();
                *known = known.saturating_add(*more);
            }
        }
        count = count.max(subscribers.len() as u64);
        Self::most(count, subscribers.into_iter(), NAMED)
    }

    /// So many of these topics.
    pub fn most<T: AsRef<str>>(count: u64, topics: impl Iterator<Item = (T, u64)>, most: usize) -> Self {
        let mut topics: Vec<(T, u64)> = topics.collect();
        let order = |a: &(T, u64), b: &(T, u64)| b.1.cmp(&a.1).then_with(|| a.0.as_ref().cmp(b.0.as_ref()));
        if topics.len() > most {
            topics.select_nth_unstable_by(most, order);
            topics.truncate(most);
        }
        topics.sort_unstable_by(order);
        let most_heard =
            topics.into_iter().map(|(topic, count)| (topic.as_ref().to_owned(), count)).collect();
        Self { count, most_heard }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(heard: &[(&str, u64)], most: usize) -> Topics {
        Topics::most(heard.len() as u64, heard.iter().copied(), most)
    }

    #[test]
    fn the_most_heard_come_first_and_subscribers_of_several_processes_add_up() {
        let one = topics(&[("a", 1), ("b", 2), ("c", 1)], 2);
        assert_eq!(one, Topics { count: 3, most_heard: vec![("b".to_owned(), 2), ("a".to_owned(), 1)] });
        let other = topics(&[("a", 5), ("d", 1)], 2);
        let named = [("a", 6), ("b", 2), ("d", 1)].map(|(topic, count)| (topic.to_owned(), count));
        assert_eq!(Topics::of_all([&one, &other]), Topics { count: 3, most_heard: named.into() });
    }
}
