//! Decides how many connections one address may have, and how many new ones a second. Whose address it is, and what those
//! are told who may not, is not for here.
//! Invariant: what is remembered has a connection, or has had one lately; a million addresses that come and go leave nothing.

// Addresses as they are written; no socket.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use crate::policy::rate::Rate;

/// Connections of one address that may wait at once to be told that there are too many: beyond, nobody is told.
const MOST_REFUSED: u32 = 16;

/// Addresses without a connection that are remembered: beyond, the oldest are forgotten early.
const MOST_LEFT: usize = 100_000;

/// Addresses that are forgotten at once, so that nothing else waits for that.
const FORGOTTEN_AT_ONCE: usize = 1000;

/// How long somebody waits who has too many connections: nobody knows when one ends.
const UNTIL_ONE_ENDS: Duration = Duration::from_secs(5);

/// What counts as one address: an IPv4 address, or 2⁶⁴ IPv6 addresses, since each subscriber has at least as many.
/// Written as the first half of an IPv6 address; IPv4 has a part of 0000::/8, where no peer is (RFC 4291 §2.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(NonZeroU64);

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        const IPV4: u64 = 1 << 32;
        let half = match address.to_canonical() {
            IpAddr::V4(address) => IPV4 | u64::from(address.to_bits()),
            IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or_default(),
        };
        // The loopback address is alone in its half.
        Self(NonZeroU64::new(half).unwrap_or(NonZeroU64::MIN))
    }
}

impl Address {
    /// As it is handed over to another process.
    pub fn number(self) -> u64 {
        self.0.get()
    }

    /// One that another process has counted; `None` for what is none.
    pub fn from_number(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get() {
            1 => write!(f, "::1"),
            half @ ..=0x1_ffff_ffff => {
                Ipv4Addr::from_bits(u32::try_from(half & 0xffff_ffff).unwrap_or_default()).fmt(f)
            }
            half => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(half) << 64)),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What one address may have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AddressLimits {
    /// Connections at once.
    pub open: Option<u32>,
    /// New connections.
    pub rate: Option<Rate>,
}

/// Why there is no further connection for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// It is to be told so, and counts as one who waits for that until `close_refused`.
    Refused,
    /// Too many of this address wait to be told: it is to be closed without a word.
    Dropped,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    full_at: Instant,
    open: u32,
    refused: u32,
    /// Whether it is in the list of those that were left.
    is_left: bool,
}

/// The addresses that have connections, or have had them lately.
#[derive(Debug)]
pub struct Addresses {
    limits: AddressLimits,
    known: HashMap<Address, Known>,
    /// In the order in which they lost their last connection. They may have one again.
    left: VecDeque<Address>,
}

impl Addresses {
    /// Nobody is known yet.
    pub fn new(limits: AddressLimits) -> Self {
        Self { limits, known: HashMap::new(), left: VecDeque::new() }
    }

    /// Counts a new connection of an address.
    ///
    /// # Errors
    /// When there are too many.
    pub fn open(&mut self, address: Address, now: Instant) -> Result<(), TooMany> {
        self.forget(now);
        self.count(address, self.limits.rate, now)
    }

    /// Counts a connection again that is none of this address's new ones: a proxy has kept it.
    ///
    /// # Errors
    /// When there are too many.
    pub fn reopen(&mut self, address: Address, now: Instant) -> Result<(), TooMany> {
        self.count(address, None, now)
    }

    fn count(&mut self, address: Address, rate: Option<Rate>, now: Instant) -> Result<(), TooMany> {
        let known = self.known.entry(address).or_insert_with(|| Known::new(now));
        let is_full = self.limits.open.is_some_and(|most| known.open >= most);
        if !is_full && rate.is_none_or(|rate| rate.take(&mut known.full_at, now).is_ok()) {
            known.open += 1;
            return Ok(());
        }
        if known.refused >= MOST_REFUSED {
            return Err(TooMany::Dropped);
        }
        known.refused += 1;
        Err(TooMany::Refused)
    }

    /// The addresses that have had connections lately, and when each may have as many as ever.
    pub fn lately(&self, now: Instant) -> impl Iterator<Item = (Address, Instant)> {
        let lately = self.known.iter().filter(move |(_, known)| known.full_at > now);
        lately.map(|(address, known)| (*address, known.full_at))
    }

    /// Goes on with what was known elsewhere of an address that has had connections lately.
    pub fn remember(&mut self, address: Address, full_at: Instant, now: Instant) {
        let Some(rate) = self.limits.rate else { return };
        let full_at = rate.at_most(full_at, now);
        self.known.entry(address).or_insert_with(|| {
            self.left.push_back(address);
            Known { full_at, open: 0, refused: 0, is_left: true }
        });
    }

    /// Counts a connection that was counted elsewhere, however many there are.
    pub fn adopt(&mut self, address: Address, is_refused: bool, now: Instant) {
        let known = self.known.entry(address).or_insert_with(|| Known::new(now));
        if is_refused {
            known.refused += 1;
        } else {
            known.open += 1;
        }
    }

    /// When somebody who was refused may try again.
    pub fn retry_after(&self, address: Address, now: Instant) -> Duration {
        match (self.known.get(&address), self.limits) {
            (Some(known), AddressLimits { open: Some(most), .. }) if known.open >= most => UNTIL_ONE_ENDS,
            (Some(known), AddressLimits { rate: Some(rate), .. }) => rate.wait(known.full_at, now),
            _ => Duration::ZERO,
        }
    }

    /// A connection that was counted has ended.
    pub fn close(&mut self, address: Address, now: Instant) {
        self.release(address, now, |known| known.open -= 1);
    }

    /// A connection that was refused has ended.
    pub fn close_refused(&mut self, address: Address, now: Instant) {
        self.release(address, now, |known| known.refused -= 1);
    }

    fn release(&mut self, address: Address, now: Instant, count_out: impl FnOnce(&mut Known)) {
        let known = self.known.get_mut(&address).expect("it has a connection");
        count_out(known);
        if known.has_connections() || known.is_left {
            return;
        }
        if known.full_at <= now {
            self.known.remove(&address);
        } else {
            known.is_left = true;
            self.left.push_back(address);
        }
    }

    /// When `forget` has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let known = &self.known[self.left.front()?];
        Some(known.full_at)
    }

    /// Forgets those who have no connection and whose bucket is full again: a newcomer has as much.
    pub fn forget(&mut self, now: Instant) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            let Some(address) = self.left.front() else { break };
            let known = self.known.get_mut(address).expect("who was left is known");
            if known.has_connections() {
                known.is_left = false;
            } else if known.full_at <= now || self.left.len() > MOST_LEFT {
                self.known.remove(address);
            } else {
                break;
            }
            self.left.pop_front();
        }
        // Moving what is left takes less than all that has been forgotten since.
        if self.known.capacity() > 1000 && self.known.len() < self.known.capacity() / 8 {
            self.known.shrink_to_fit();
            self.left.shrink_to_fit();
        }
    }
}

impl Known {
    fn new(now: Instant) -> Self {
        Self { full_at: now, open: 0, refused: 0, is_left: false }
    }

    fn has_connections(&self) -> bool {
        self.open + self.refused > 0
    }
}

#[cfg(test)]
#[path = "addresses_tests.rs"]
mod tests;
