//! Octets that are secret, as they are handed over: neither shown nor left in memory. Keys, and what has keys within.

use std::fmt;

use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

/// What is secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Octets(Zeroizing<Vec<u8>>);

impl Octets {
    /// A copy of these.
    pub fn new(octets: &[u8]) -> Self {
        Self(Zeroizing::new(octets.to_vec()))
    }

    /// A message, encoded. It has no more bytes than this, or else a copy of its beginning may be left in memory.
    pub fn encode(message: &impl Encode<()>, most_bytes: usize) -> Self {
        let mut octets = Zeroizing::new(Vec::with_capacity(most_bytes));
        minicbor::encode(message, &mut *octets).expect("memory takes all of it");
        Self(octets)
    }
}

impl std::ops::Deref for Octets {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Octets(..)")
    }
}

impl<C> Encode<C> for Octets {
    fn encode<W: minicbor::encode::Write>(
        &self,
        encoder: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Octets {
    fn decode(decoder: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        decoder.bytes().map(Self::new)
    }
}
