//! Stands for octets of any length where only equality counts: 128 bits of SHA-256, so that nobody finds two texts with the
//! same one. It is small whatever it was made of, and every process makes the same one of the same text.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Stands for a list of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// The fingerprint of these parts. It matters where each of them ends.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let hash: [u8; 32] = hash.finalize().into();
        Self(*hash.first_chunk().expect("a half of it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_where_each_part_ends_and_stays_the_same_for_other_processes() {
        let of = |parts: &[&str]| Fingerprint::of(parts.iter().map(|part| part.as_bytes()));
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["ab"]), of(&["ab", ""]));
        // SHA-256 of nothing, as FIPS 180-4's examples have it.
        assert_eq!(of(&[]).0[..4], [0xe3, 0xb0, 0xc4, 0x42]);
    }
}
