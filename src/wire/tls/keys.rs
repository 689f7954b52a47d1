//! What protects the records of one direction, once the handshake has ended: from plaintext to one record and back, and from one
//! generation of keys to the next. It decides nothing about what a record means.
//!
//! Invariant: no nonce is used twice with a key. A number that would be is an error.
//!
//! Source: RFC 8446 §5.2, §5.3, §7.2 and §7.3; RFC 5246 §6.2.3.3; RFC 5288 §3 and RFC 7905 §2 for the nonces of TLS 1.2.

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{KeyType, Prk};
use bytes::{BufMut, BytesMut};
use rustls::ConnectionTrafficSecrets;
use zeroize::Zeroizing;

use super::suite::{Suite, Version};

/// The header of a record.
pub const HEADER_BYTES: usize = 5;

/// How much of a stream is in one record at most (RFC 8446 §5.1).
pub const CONTENT_BYTES: usize = 16 * 1024;

const TAG_BYTES: usize = 16;

/// Of the length that the suite's hash has. Zeros behind that.
pub type Secret = Zeroizing<[u8; 48]>;

/// A secret of these octets, if it can be one.
pub fn secret(octets: &[u8]) -> Option<Secret> {
    let mut secret = Secret::new([0; 48]);
    secret.get_mut(..octets.len())?.copy_from_slice(octets);
    Some(secret)
}

/// What protects one direction.
#[derive(Clone)]
pub struct Keys {
    /// The number of the next record.
    pub seq: u64,
    /// Of the length that the suite's cipher has. Zeros behind that.
    pub key: Zeroizing<[u8; 32]>,
    pub iv: [u8; 12],
    /// What key and iv were derived from, and the next secret will be. TLS 1.2 has none.
    pub secret: Secret,
}

/// What a record that was opened is.
pub struct Opened<'a> {
    pub kind: u8,
    pub content: &'a [u8],
}

/// Why a record was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOpened {
    Forged,
    TooLong,
    /// There is nothing in it but padding.
    NoType,
}

/// The number of records is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedUp;

impl Keys {
    /// Those of rustls. Of a cipher that is not known here there are none.
    pub fn extracted((seq, keys): (u64, ConnectionTrafficSecrets), secret: Secret) -> Option<Self> {
        let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = keys
        else {
            return None;
        };
        Self::with(seq, key.as_ref(), iv.as_ref().try_into().ok()?, secret)
    }

    /// Those that are known. There is no key that is longer than any cipher's.
    pub fn with(seq: u64, octets: &[u8], iv: [u8; 12], secret: Secret) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        key.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(Self { seq, key, iv, secret })
    }

    /// Those of a traffic secret (RFC 8446 §7.3).
    pub fn of(suite: &Suite, secret: Secret) -> Self {
        let mut keys = Self { seq: 0, key: Zeroizing::new([0; 32]), iv: [0; 12], secret };
        keys.derive(suite);
        keys
    }

    /// Goes on to the next generation (RFC 8446 §7.2).
    pub fn update(&mut self, suite: &Suite) {
        let bytes = suite.secret_bytes;
        let next = {
            let mut next = Secret::new([0; 48]);
            expand_label(suite, &self.secret, b"traffic upd", &mut next[..bytes]);
            next
        };
        *self = Self::of(suite, next);
    }

    fn derive(&mut self, suite: &Suite) {
        let key_bytes = suite.aead.key_len();
        expand_label(suite, &self.secret, b"key", &mut self.key[..key_bytes]);
        expand_label(suite, &self.secret, b"iv", &mut self.iv);
    }

    /// Sets up the cipher. That takes more memory than all else of a connection, so it is kept for some records only.
    pub fn cipher(&self, suite: &Suite) -> LessSafeKey {
        let key = UnboundKey::new(suite.aead, &self.key[..suite.aead.key_len()]);
        LessSafeKey::new(key.expect("a key of the cipher's own length"))
    }

    /// Appends a record whose content of so many bytes is written by `write`.
    pub fn seal(
        &mut self,
        suite: &Suite,
        cipher: &LessSafeKey,
        kind: u8,
        content_bytes: usize,
        out: &mut BytesMut,
        write: impl FnOnce(&mut BytesMut),
    ) -> Result<(), UsedUp> {
        let nonce = self.nonce();
        let seq = self.seq;
        self.seq = seq.checked_add(1).ok_or(UsedUp)?;
        let (outer, inner) = match suite.version {
            Version::Tls12 => (kind, None),
            Version::Tls13 => (APPLICATION_DATA, Some(kind)),
        };
        let length = suite.explicit_bytes + content_bytes + inner.iter().len() + TAG_BYTES;
        out.reserve(HEADER_BYTES + length);
        let header = header(outer, length);
        out.put_slice(&header);
        out.put_slice(&nonce[12 - suite.explicit_bytes..]);
        let from = out.len();
        write(out);
        debug_assert_eq!(out.len() - from, content_bytes, "as long as it was said to be");
        out.extend(inner);
        let aad = additional_data(suite, seq, header, content_bytes);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = cipher
            .seal_in_place_separate_tag(nonce, Aad::from(aad), &mut out[from..])
            .expect("a record is shorter than what a cipher takes");
        out.put_slice(tag.as_ref());
        Ok(())
    }

    /// Decrypts a record where it is.
    pub fn open<'a>(
        &mut self,
        suite: &Suite,
        cipher: &LessSafeKey,
        record: &'a mut [u8],
    ) -> Result<Opened<'a>, NotOpened> {
        let (header, body) = record.split_first_chunk_mut::<HEADER_BYTES>().ok_or(NotOpened::Forged)?;
        let (explicit, body) = body.split_at_mut_checked(suite.explicit_bytes).ok_or(NotOpened::Forged)?;
        let content_bytes = body.len().checked_sub(TAG_BYTES).ok_or(NotOpened::Forged)?;
        let mut nonce = self.nonce();
        nonce[12 - explicit.len()..].copy_from_slice(explicit);
        if !explicit.is_empty() {
            nonce[..4].copy_from_slice(&self.iv[..4]);
        }
        let aad = additional_data(suite, self.seq, *header, content_bytes);
        self.seq = self.seq.checked_add(1).ok_or(NotOpened::Forged)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = cipher.open_in_place(nonce, Aad::from(aad), body).map_err(|_| NotOpened::Forged)?;
        match suite.version {
            Version::Tls12 if opened.len() > CONTENT_BYTES => Err(NotOpened::TooLong),
            Version::Tls13 if opened.len() > CONTENT_BYTES + 1 => Err(NotOpened::TooLong),
            Version::Tls12 => Ok(Opened { kind: header[0], content: opened }),
            Version::Tls13 => {
                let end = opened.iter().rposition(|octet| *octet != 0).ok_or(NotOpened::NoType)?;
                Ok(Opened { kind: opened[end], content: &opened[..end] })
            }
        }
    }

    /// Of the next record. rustls numbers those of TLS 1.2 alike, so that the two never use the same one.
    fn nonce(&self) -> [u8; 12] {
        let mut nonce = self.iv;
        for (octet, seq) in nonce[4..].iter_mut().zip(self.seq.to_be_bytes()) {
            *octet ^= seq;
        }
        nonce
    }
}

/// application_data, as which all records of TLS 1.3 are encrypted.
pub const APPLICATION_DATA: u8 = 23;

/// legacy_record_version of TLS 1.3, and the version of TLS 1.2.
const VERSION: [u8; 2] = [3, 3];

#[expect(clippy::cast_possible_truncation, reason = "a record is shorter than 2^16")]
fn header(kind: u8, length: usize) -> [u8; HEADER_BYTES] {
    let [high, low] = (length as u16).to_be_bytes();
    [kind, VERSION[0], VERSION[1], high, low]
}

/// What is authenticated beside a record's content.
struct AdditionalData {
    octets: [u8; 13],
    from: usize,
}

impl AsRef<[u8]> for AdditionalData {
    fn as_ref(&self) -> &[u8] {
        &self.octets[self.from..]
    }
}

/// The header, and in TLS 1.2 the number before that, and the content's own length within.
fn additional_data(
    suite: &Suite,
    seq: u64,
    record_header: [u8; HEADER_BYTES],
    content_bytes: usize,
) -> AdditionalData {
    let mut octets = [0; 13];
    octets[..8].copy_from_slice(&seq.to_be_bytes());
    octets[8..].copy_from_slice(&record_header);
    match suite.version {
        Version::Tls13 => AdditionalData { octets, from: 8 },
        Version::Tls12 => {
            octets[11..].copy_from_slice(&header(0, content_bytes)[3..]);
            AdditionalData { octets, from: 0 }
        }
    }
}

/// How many octets are to be derived.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label without a context (RFC 8446 §7.1).
#[expect(clippy::cast_possible_truncation, reason = "lengths of keys and of their names")]
fn expand_label(suite: &Suite, secret: &Secret, label: &[u8], derived: &mut [u8]) {
    const PREFIX: &[u8] = b"tls13 ";
    let lengths = [0, derived.len() as u8, (PREFIX.len() + label.len()) as u8];
    Prk::new_less_safe(suite.hkdf, &secret[..suite.secret_bytes])
        .expand(&[&lengths, PREFIX, label, &[0]], Bytes(derived.len()))
        .and_then(|derivation| derivation.fill(derived))
        .expect("a key is shorter than what can be derived");
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
