//! A list of positions, such as those of a batch: kept as runs, since most of them follow each other.

use serde::{Deserialize, Serialize};

use crate::policy::sequencer::Position;

/// Positions in the order in which they are answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Positions(Vec<Run>);

/// Positions that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The first of them.
    pub first: Position,
    /// How many there are.
    pub count: u32,
}

impl Positions {
    /// Adds one at the end.
    pub fn push(&mut self, position: Position) {
        match self.0.last_mut() {
            Some(Run { first, count }) if *first + Position::from(*count) == position => *count += 1,
            _ => self.0.push(Run { first: position, count: 1 }),
        }
    }

    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = Position> + '_ {
        self.0.iter().flat_map(|run| run.first..run.first + Position::from(run.count))
    }

    /// The runs in which they are kept.
    pub fn runs(&self) -> &[Run] {
        &self.0
    }

    /// From runs as `runs` returned them, none of which may reach beyond the last possible position.
    pub fn from_runs(runs: Vec<Run>) -> Self {
        Self(runs)
    }

    /// Gives back the memory that was allocated in advance.
    pub fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

impl FromIterator<Position> for Positions {
    fn from_iter<I: IntoIterator<Item = Position>>(positions: I) -> Self {
        let mut list = Self::default();
        positions.into_iter().for_each(|position| list.push(position));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_list_comes_back_as_it_was_and_neighbours_share_a_run() {
        for (list, runs) in [
            (vec![], 0),
            (vec![7], 1),
            (vec![1, 2, 3, 4], 1),
            (vec![5, 6, 2, 7, 8, 8], 4),
            (vec![3, 2, 1], 3),
        ] {
            let positions: Positions = list.iter().copied().collect();
            assert_eq!(positions.iter().collect::<Vec<_>>(), list);
            assert_eq!(positions.runs().len(), runs, "{list:?}");
        }
    }
}
