//! Who gives way in a crowd that only so many may be in: of the address that has most of them the one that came first. One address
//! that sends thousands so puts out its own, and not those of others. Knows no sockets: it is told keys and addresses.

use std::collections::{HashMap, VecDeque};

use crate::policy::addresses::Address;

/// Those that are in it. Whoever has no address shares one with all others that have none.
#[derive(Debug, Default)]
pub struct Crowd {
    /// Whoever came first is first.
    members: VecDeque<(usize, Option<Address>)>,
    /// How many each address has.
    shares: HashMap<Option<Address>, usize>,
}

impl Crowd {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Lets one in, who is not in it.
    pub fn enter(&mut self, key: usize, address: Option<Address>) {
        self.members.push_back((key, address));
        *self.shares.entry(address).or_default() += 1;
    }

    /// This one is no longer in it, if it was. A scan, of those that are.
    pub fn leave(&mut self, key: usize) {
        if let Some(index) = self.members.iter().position(|(other, _)| *other == key) {
            self.remove(index);
        }
    }

    /// Takes out who gives way, if anybody is there.
    pub fn give_way(&mut self) -> Option<usize> {
        let most = self.shares.values().max()?;
        let index = self.members.iter().position(|(_, address)| self.shares.get(address) == Some(most))?;
        self.remove(index)
    }

    /// Gives back the memory that more of them have needed.
    pub fn shrink(&mut self) {
        self.members.shrink_to_fit();
        self.shares.shrink_to_fit();
    }

    fn remove(&mut self, index: usize) -> Option<usize> {
        let (key, address) = self.members.remove(index)?;
        if let Some(share) = self.shares.get_mut(&address) {
            *share -= 1;
            if *share == 0 {
                self.shares.remove(&address);
            }
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<Address> {
        Some(Address::from(std::net::IpAddr::from([192, 0, 2, last])))
    }

    #[test]
    fn of_the_address_with_most_the_first_gives_way() {
        let mut crowd = Crowd::default();
        for (key, last) in [1, 2, 3, 2, 1, 2].into_iter().enumerate() {
            crowd.enter(key, address(last));
        }
        let order: Vec<_> = std::iter::from_fn(|| crowd.give_way()).collect();
        // Of three, of two each, of the two that are left, and then whoever came first.
        assert_eq!(order, [1, 0, 3, 2, 4, 5]);
        assert!(crowd.is_empty() && crowd.shares.is_empty());
    }

    #[test]
    fn whoever_has_left_no_longer_counts() {
        let mut crowd = Crowd::default();
        for (key, last) in [1, 2, 2].into_iter().enumerate() {
            crowd.enter(key, address(last));
        }
        [1, 1, 7].into_iter().for_each(|key| crowd.leave(key));
        assert_eq!((crowd.len(), crowd.give_way()), (2, Some(0)));
    }

    #[test]
    fn those_without_an_address_share_one() {
        let mut crowd = Crowd::default();
        for (key, address) in [address(1), None, None].into_iter().enumerate() {
            crowd.enter(key, address);
        }
        assert_eq!(crowd.give_way(), Some(1));
    }
}
