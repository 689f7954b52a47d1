//! What a process that hands over says to its successor, and how everything stands, as octets: messages, one a datagram, and
//! an image, which is read once.
//!
//! Both are CBOR (RFC 8949) in maps with numbered fields. A field that is added later may be missing, and one that is not
//! known is passed over: so a server of one version hands over to the next, and back. Nothing that is read is believed to be
//! whole or true: it may have been written by another program.

pub mod image;
pub mod message;
pub mod parked;
pub mod record;
pub mod secured;
pub mod times;

use std::ops::RangeInclusive;

/// The formats that are understood here. What may be missing or passed over makes no new one.
pub const FORMATS: RangeInclusive<u32> = 1..=1;

/// What is not understood, or not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what it handed over is damaged")]
pub struct Damaged;

#[cfg(test)]
#[path = "handover/drawn_tests.rs"]
pub(crate) mod drawn;

#[cfg(test)]
#[path = "handover/fixture_tests.rs"]
pub(crate) mod fixture;

#[cfg(test)]
#[path = "handover/handover_tests.rs"]
mod tests;
