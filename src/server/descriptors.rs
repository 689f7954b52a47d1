//! How many descriptors connections may take: the last few that clients leave are for operators, and the last few of those
//! are for the state file, and for what is read and told on the way.

use std::fs::{self, DirEntry};

use rlimit::Resource;

use crate::http::door::Door;

/// Kept back from clients; of a small limit, a quarter.
const RESERVE: usize = 32;

/// Kept back from everybody, as a part of that.
const LAST_RESERVE: usize = RESERVE / 4;

/// What a server that starts now may open, and what is open already.
#[derive(Debug)]
pub struct OpenFiles {
    /// Beyond which nothing is opened.
    pub limit: usize,
    /// Of these, whatever they are.
    pub open: usize,
}

impl OpenFiles {
    /// Those of this process.
    pub fn read() -> Self {
        let limit = limit();
        // The limit is on numbers: a descriptor that was inherited may have one beyond it.
        let number = |entry: DirEntry| entry.file_name().to_str().and_then(|name| name.parse::<usize>().ok());
        let open = fs::read_dir("/proc/self/fd").map_or(0, |entries| {
            entries.flatten().filter_map(number).filter(|number| *number < limit).count()
        });
        // One of those that are seen is what they are seen by.
        Self { limit, open: open.saturating_sub(1) }
    }
}

/// The descriptors of this process.
#[derive(Debug)]
pub(super) struct Descriptors {
    /// Open before the first connection.
    others: usize,
}

impl Descriptors {
    /// To be asked before there are connections.
    pub(super) fn read() -> Self {
        // Where the system does not tell (proc(5)), about as many as there usually are.
        Self { others: fs::read_dir("/proc/self/fd").map_or(RESERVE, Iterator::count) }
    }

    /// Connections beyond which newcomers by this door have to wait. The limit may change while the process runs
    /// (prlimit(2)).
    pub(super) fn room(&self, door: Door) -> usize {
        room(limit(), self.others, door)
    }
}

fn limit() -> usize {
    let soft = rlimit::getrlimit(Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    usize::try_from(soft).unwrap_or(usize::MAX)
}

/// How many connections of clients a server that starts now can hold by its limit on open files.
pub fn room_for_clients() -> usize {
    Descriptors::read().room(Door::Public)
}

fn room(limit: usize, others: usize, door: Door) -> usize {
    let reserve = match door {
        Door::Public | Door::Redirect => RESERVE.min(limit / 4),
        Door::Admin => LAST_RESERVE.min(limit / 8),
    };
    limit.saturating_sub(others + reserve).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_some_to_operators_and_operators_a_few_of_these() {
        let rooms = |limit, others| [Door::Public, Door::Admin].map(|door| room(limit, others, door));
        assert_eq!(rooms(1024, 12), [1024 - 12 - RESERVE, 1024 - 12 - LAST_RESERVE]);
        assert_eq!(rooms(40, 12), [18, 23]);
        assert_eq!(rooms(10, 12), [1, 1]);
    }
}
