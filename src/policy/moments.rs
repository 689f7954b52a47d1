//! A time for each of many clients, the earliest first. A client that departs is taken out, so that nothing is kept of it,
//! and nothing happens to whoever is given its name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Setting, removing and finding the first cost O(log n), and memory is given back as clients go.
#[derive(Debug, Default)]
pub struct Moments {
    in_order: BTreeSet<(Instant, usize)>,
    by_client: BTreeMap<usize, Instant>,
}

impl Moments {
    /// Gives the client this time, in place of any that it had.
    pub fn set(&mut self, client: usize, at: Instant) {
        self.remove(client);
        self.by_client.insert(client, at);
        self.in_order.insert((at, client));
    }

    /// Takes the client out, if it is there.
    pub fn remove(&mut self, client: usize) {
        if let Some(at) = self.by_client.remove(&client) {
            self.in_order.remove(&(at, client));
        }
    }

    /// The earliest time, and whose it is.
    pub fn first(&self) -> Option<(Instant, usize)> {
        self.in_order.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_comes_first_and_a_client_has_one_time() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut moments = Moments::default();
        moments.set(7, now + second);
        moments.set(3, now + 2 * second);
        assert_eq!(moments.first(), Some((now + second, 7)));
        moments.set(7, now + 3 * second);
        assert_eq!(moments.first(), Some((now + 2 * second, 3)));
        moments.remove(3);
        assert_eq!(moments.first(), Some((now + 3 * second, 7)));
        moments.remove(7);
        moments.remove(7);
        assert_eq!(moments.first(), None);
    }
}
