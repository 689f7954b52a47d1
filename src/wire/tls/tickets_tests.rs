//! Tickets by a clock that the tests set, and in a handshake.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use rustls::HandshakeKind;
use rustls::pki_types::UnixTime;

use super::super::judge::{Configs, Pair, Side, VERSIONS, configs};
use super::*;

const SLOT: u64 = SLOT_SECONDS as u64;

const SECRET: [u8; 32] = [7; 32];

#[derive(Debug, Default)]
struct SetTime(AtomicU64);

impl TimeProvider for SetTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

fn at(second: u64) -> (Arc<SetTime>, Tickets) {
    let time = Arc::new(SetTime(second.into()));
    (time.clone(), Tickets::new(&SECRET, time))
}

#[test]
fn a_ticket_is_accepted_in_its_slot_and_in_the_next() {
    for made in [100 * SLOT, 100 * SLOT + 1, 101 * SLOT - 1] {
        let (time, tickets) = at(made);
        let ticket = tickets.encrypt(b"session").unwrap();
        for (now, is_accepted) in [
            (made, true),
            (made + SLOT - 1, true),
            (102 * SLOT - 1, true),
            (102 * SLOT, false),
            (100 * SLOT - 1, false),
            (0, false),
        ] {
            time.0.store(now, Ordering::Relaxed);
            assert_eq!(tickets.decrypt(&ticket), is_accepted.then(|| b"session".to_vec()), "{made}, {now}");
        }
    }
}

#[test]
fn whoever_has_the_same_secret_accepts_it_and_nobody_else_does() {
    let ticket = at(1).1.encrypt(b"session").unwrap();
    assert_eq!(at(2).1.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
    let other = Tickets::new(&[8; 32], Arc::new(SetTime(2.into())));
    assert_eq!(other.decrypt(&ticket), None);
}

#[test]
fn each_slot_has_a_key_of_its_own_and_each_ticket_a_nonce() {
    let (time, tickets) = at(0);
    let mut moved = tickets.encrypt(b"session").unwrap();
    assert_ne!(moved, tickets.encrypt(b"session").unwrap());
    // The number alone does not make it one of the next slot.
    moved[..SLOT_BYTES].copy_from_slice(&1_u64.to_be_bytes());
    time.0.store(SLOT, Ordering::Relaxed);
    assert_eq!(tickets.decrypt(&moved), None);
}

#[test]
fn what_is_no_ticket_is_refused_and_so_is_one_that_is_cut_or_changed() {
    let (_, tickets) = at(0);
    let ticket = tickets.encrypt(b"session").unwrap();
    for end in 0..ticket.len() {
        assert_eq!(tickets.decrypt(&ticket[..end]), None, "{end}");
        let mut changed = ticket.clone();
        changed[end] ^= 1;
        assert_eq!(tickets.decrypt(&changed), None, "{end}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_as_a_ticket_is_read_without_a_panic(octets in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert_eq!(at(0).1.decrypt(&octets), None);
    }

    #[test]
    fn what_goes_in_comes_out(octets in prop::collection::vec(any::<u8>(), 0..3000), second in 0_u64..1 << 40) {
        let (_, tickets) = at(second);
        prop_assert_eq!(tickets.decrypt(&tickets.encrypt(&octets).unwrap()), Some(octets));
    }
}

#[test]
fn a_client_resumes_at_another_server_of_the_same_secret_until_the_second_slot_has_passed() {
    for version in VERSIONS {
        let configs = configs(version);
        let kind = |second| {
            let server = configs.server.with_tickets(Arc::new(at(second).1));
            let pair = Pair::open(Side::Server, &Configs { server, ..configs.clone() });
            pair.judge.kind()
        };
        assert_eq!(kind(0), Some(HandshakeKind::Full));
        assert_eq!(kind(2 * SLOT - 1), Some(HandshakeKind::Resumed));
        // That has brought a ticket of the second slot.
        assert_eq!(kind(3 * SLOT), Some(HandshakeKind::Full));
    }
}

#[test]
fn tickets_of_a_former_secret_are_accepted_and_none_are_made_by_it_any_more() {
    let (time, former) = at(100 * SLOT);
    let ticket = former.encrypt(b"session").unwrap();
    let next = Tickets::new(&[8; 32], time.clone()).after(&former);
    assert_eq!(next.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
    assert_eq!(former.decrypt(&next.encrypt(b"session").unwrap()), None);
    let third = Tickets::new(&[9; 32], time.clone()).after(&next);
    assert_eq!(third.decrypt(&ticket), None, "only those of the last one");
    time.0.store(102 * SLOT, Ordering::Relaxed);
    assert_eq!(next.decrypt(&ticket), None, "they last no longer for it");
}
