//! By which tickets clients come back without a new exchange of certificates: what a session needs is in the ticket itself,
//! encrypted by a key that everybody derives who has the same secret. Keeps nothing, and has the time from whoever makes one.
//!
//! A key is derived for each slot of twelve hours, and a ticket is accepted in its own slot and the next. So no client is turned
//! away within the lifetime that it was told, and what was recorded before stays closed to whoever gets such a key later.
//!
//! Source: RFC 5077 §4, RFC 8446 §4.6.1, RFC 5869.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;

/// How long a key is in use, and for how long a client may use a ticket.
const SLOT_SECONDS: u32 = 12 * 60 * 60;

const SLOT_BYTES: usize = size_of::<u64>();

/// Of a slot's key: nothing else is derived from the same secret by this.
const LABEL: &[u8] = b"slackwater ticket";

/// Makes tickets, and reads them.
pub struct Tickets {
    master: Prk,
    time: Arc<dyn TimeProvider>,
    /// By what they were made before.
    former: Option<Prk>,
}

impl Tickets {
    /// Made by this secret, which is long and random enough that nobody guesses it. Whoever has the same accepts them.
    pub fn new(secret: &[u8], time: Arc<dyn TimeProvider>) -> Self {
        Self { master: Salt::new(HKDF_SHA256, &[]).extract(secret), time, former: None }
    }

    /// Accepts those that the former has made, too, for as long as they last.
    #[must_use]
    pub fn after(self, former: &Self) -> Self {
        Self { former: Some(former.master.clone()), ..self }
    }

    fn slot(&self) -> Option<u64> {
        self.time.current_time().map(|now| now.as_secs() / u64::from(SLOT_SECONDS))
    }

    /// Derived each time: that costs some microseconds of a handshake's hundreds.
    fn key(master: &Prk, slot: [u8; SLOT_BYTES]) -> Option<LessSafeKey> {
        let derived = master.expand(&[LABEL, &slot], &AES_256_GCM).ok().map(UnboundKey::from);
        derived.map(LessSafeKey::new)
    }
}

/// The number of the slot, the nonce, and the rest encrypted.
impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        SLOT_SECONDS
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let slot = self.slot()?.to_be_bytes();
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut ticket = [&slot[..], &nonce, plain].concat();
        let sealed = &mut ticket[SLOT_BYTES + NONCE_LEN..];
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag =
            Self::key(&self.master, slot)?.seal_in_place_separate_tag(nonce, Aad::from(slot), sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (slot, rest) = ticket.split_first_chunk::<SLOT_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let age = self.slot()?.checked_sub(u64::from_be_bytes(*slot))?;
        if age > 1 {
            return None;
        }
        let mut masters = [Some(&self.master), self.former.as_ref()].into_iter().flatten();
        masters.find_map(|master| {
            let mut sealed = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let opened = Self::key(master, *slot)?.open_in_place(nonce, Aad::from(slot), &mut sealed);
            let length = opened.ok()?.len();
            sealed.truncate(length);
            Some(sealed)
        })
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

#[cfg(test)]
#[path = "tickets_tests.rs"]
mod tests;
