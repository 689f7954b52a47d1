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

    /// The time of a client.
    pub fn of(&self, client: usize) -> Option<Instant> {
        self.by_client.get(&client).copied()
    }

    /// The earliest time, and whose it is.
    pub fn first(&self) -> Option<(Instant, usize)> {
        self.in_order.first().copied()
    }
}

impl FromIterator<(usize, Instant)> for Moments {
    /// Of many clients, each named once: faster than one by one.
    fn from_iter<I: IntoIterator<Item = (usize, Instant)>>(moments: I) -> Self {
        let by_client: BTreeMap<usize, Instant> = moments.into_iter().collect();
        let in_order = by_client.iter().map(|(client, at)| (*at, *client)).collect();
        Self { in_order, by_client }
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

    #[test]
    fn many_are_taken_in_as_one_by_one() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut moments: Moments = [(1, now + 2 * second), (2, now + second)].into_iter().collect();
        assert_eq!(moments.first(), Some((now + second, 2)));
        moments.remove(2);
        assert_eq!(moments.first(), Some((now + 2 * second, 1)));
        moments.remove(1);
        assert_eq!(moments.first(), None);
    }
}
