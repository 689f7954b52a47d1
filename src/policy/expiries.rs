//! When each client's token expires, by its key: an ordered set, so that nobody is looked at whose time has not come.

use std::collections::BTreeSet;
use std::time::Instant;

/// Those whose token expires at some time.
#[derive(Debug, Default)]
pub struct Expiries(BTreeSet<(Instant, usize)>);

impl Expiries {
    /// The token of this client expires then.
    pub fn add(&mut self, key: usize, at: Instant) {
        self.0.insert((at, key));
    }

    /// It no longer expires then, or the client has gone.
    pub fn remove(&mut self, key: usize, at: Instant) {
        self.0.remove(&(at, key));
    }

    /// When the next one expires.
    pub fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes out a client whose token has expired by then, the earliest first. Call until `None`.
    pub fn take_expired(&mut self, by: Instant) -> Option<usize> {
        self.next().filter(|at| *at <= by)?;
        self.0.pop_first().map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn clients_are_taken_out_in_the_order_of_their_times_and_not_before() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut expiries = Expiries::default();
        assert_eq!((expiries.next(), expiries.take_expired(at(9))), (None, None));
        for (key, seconds) in [(1, 5), (2, 3), (3, 3), (4, 8), (5, 4)] {
            expiries.add(key, at(seconds));
        }
        // A refreshed token, and a client that has gone.
        expiries.remove(2, at(3));
        expiries.add(2, at(7));
        expiries.remove(5, at(4));
        assert_eq!(expiries.next(), Some(at(3)));
        assert_eq!(expiries.take_expired(at(2)), None);
        let taken = |expiries: &mut Expiries, by| {
            std::iter::from_fn(|| expiries.take_expired(by)).collect::<Vec<_>>()
        };
        assert_eq!(taken(&mut expiries, at(5)), [3, 1]);
        assert_eq!(taken(&mut expiries, at(99)), [2, 4]);
    }
}
