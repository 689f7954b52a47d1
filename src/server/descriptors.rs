//! How many descriptors clients may take: the last few are kept for operators, for the state file, and for what is read
//! and told on the way.

use std::fs;

use rlimit::Resource;

/// Kept back; of a small limit, a quarter.
const RESERVE: usize = 32;

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

    /// Connections beyond which clients have to wait. The limit may change while the process runs (prlimit(2)).
    pub(super) fn room(&self) -> usize {
        let soft = rlimit::getrlimit(Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        room(usize::try_from(soft).unwrap_or(usize::MAX), self.others)
    }
}

fn room(limit: usize, others: usize) -> usize {
    let reserve = RESERVE.min(limit / 4);
    limit.saturating_sub(others + reserve).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_descriptors_are_kept_back_and_never_all() {
        assert_eq!(room(1024, 12), 1024 - 12 - RESERVE);
        assert_eq!(room(40, 12), 18);
        assert_eq!(room(10, 12), 1);
    }
}
