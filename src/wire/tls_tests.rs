//! Facts about a session that can be told by hand.

use std::io::IoSlice;
use std::sync::Arc;

use rustls::HandshakeKind;
use rustls::client::Resumption;
use rustls::server::ServerSessionMemoryCache;
use rustls::version::TLS13;

use super::ServerTerms;
use super::judge::{Configs, Pair, SIDES, Side, configs, configs_with, pairs, suites};
use super::keys::Keys;
use super::*;

#[test]
fn nothing_can_be_sent_before_the_handshake_has_ended() {
    for (side, configs) in pairs() {
        let mut pair = Pair::new(side, &configs);
        assert_eq!((pair.session.state(), pair.session.alpn()), (State::Handshaking, None));
        assert_eq!(pair.send(b"hello"), Ok(Sent::NotYet));
        pair.settle(&[1000]);
        assert_eq!(pair.send(b"hello"), Ok(Sent::Whole));
    }
}

#[test]
fn short_pieces_share_a_record() {
    let mut pair = Pair::open(Side::Server, &configs(&TLS13));
    let pieces = [&b"a"[..], &[b'b'; 16_000], b"c"].map(IoSlice::new);
    pair.session.send(&pieces, &mut pair.to_judge).unwrap();
    assert_eq!(pair.to_judge.len(), 16_002 + 5 + 1 + 16);
}

#[test]
fn sending_nothing_takes_no_record() {
    let mut pair = Pair::open(Side::Server, &configs(&TLS13));
    assert_eq!(pair.session.send(&[], &mut pair.to_judge), Ok(Sent::Whole));
    assert_eq!(pair.send(b""), Ok(Sent::Whole));
    assert_eq!(pair.to_judge.len(), 0);
}

#[test]
fn a_side_that_is_closed_may_still_hear_and_one_that_hears_nothing_more_may_still_speak() {
    for (side, configs) in pairs() {
        let mut pair = Pair::open(side, &configs);
        pair.close();
        pair.judge.sends(b"still here");
        pair.settle(&[1000]);
        assert_eq!(pair.session_heard, b"still here");
        assert_eq!(pair.send(b"more"), Err(TlsError::Closed));

        let mut pair = Pair::open(side, &configs);
        pair.judge.0.send_close_notify();
        assert_eq!(pair.tell_session(1000), Ok(State::PeerClosed));
        assert_eq!(pair.send(b"still here"), Ok(Sent::Whole));
        pair.close();
        pair.settle(&[1000]);
        assert_eq!(pair.judge_heard, b"still here");
        assert!(pair.judge.is_told_of_the_end());
    }
}

#[test]
fn a_stream_that_ends_without_a_word_may_have_been_cut_off() {
    for (side, configs) in pairs() {
        let mut pair = Pair::open(side, &configs);
        assert_eq!(pair.session.receive_end(), Err(TlsError::Truncated));
        pair.judge.0.send_close_notify();
        pair.settle(&[1000]);
        assert_eq!(pair.session.receive_end(), Ok(()));
    }
}

#[test]
fn closing_says_so_once_and_nothing_before_there_are_keys() {
    for (side, configs) in pairs() {
        let mut pair = Pair::open(side, &configs);
        pair.close();
        let said = pair.to_judge.len();
        assert!((24..32).contains(&said), "{said}");
        pair.close();
        assert_eq!(pair.to_judge.len(), said);

        let mut pair = Pair::new(side, &configs);
        pair.to_judge.clear();
        pair.close();
        assert_eq!(pair.to_judge.len(), 0);
    }
}

#[test]
fn keys_are_changed_when_the_peer_asks_for_it() {
    for side in SIDES {
        let mut pair = Pair::open(side, &configs(&TLS13));
        for _ in 0..100 {
            pair.judge.0.refresh_traffic_keys().unwrap();
            pair.judge.sends(b"a");
            pair.settle(&[7]);
            pair.send(b"b").unwrap();
            pair.settle(&[7]);
        }
        assert_eq!((pair.session_heard, pair.judge_heard), (vec![b'a'; 100], vec![b'b'; 100]));
    }
}

#[test]
fn a_peer_that_asks_for_nothing_but_other_keys_is_turned_away() {
    let mut pair = Pair::open(Side::Server, &configs(&TLS13));
    let outcomes = (0..50).map(|_| {
        pair.judge.0.refresh_traffic_keys().unwrap();
        pair.tell_session(1000).map(drop)
    });
    assert_eq!(outcomes.filter(Result::is_ok).count(), 32);
}

#[test]
fn the_keys_that_a_session_goes_on_with_are_those_of_its_secrets() {
    for suite in suites().into_iter().filter(|suite| suite.tls13().is_some()) {
        let pair = Pair::open(Side::Server, &configs_with(suite));
        let super::Side::Open(records) = &pair.session.side else { unreachable!() };
        for keys in [&records.rx, &records.tx] {
            let derived = Keys::of(records.suite, keys.secret.clone());
            assert!(derived.key == keys.key && derived.iv == keys.iv);
        }
        // One ticket went out with the first of them.
        assert_eq!((records.rx.seq, records.tx.seq), (0, 1));
    }
}

#[test]
fn what_was_agreed_on_can_be_asked_for_once_the_handshake_has_ended() {
    for side in SIDES {
        for suite in suites() {
            let configs = configs_with(suite);
            assert_eq!(Pair::new(side, &configs).session.agreed(), None);
            for is_resumed in [false, true] {
                let agreed = Pair::open(side, &configs).session.agreed().unwrap();
                let version = if suite.tls13().is_some() { "TLSv1.3" } else { "TLSv1.2" };
                assert_eq!((agreed.version, agreed.is_resumed), (version, is_resumed));
            }
        }
    }
}

#[test]
fn what_is_behind_the_last_record_of_the_handshake_is_heard() {
    for suite in suites() {
        let configs = configs_with(suite);
        // It is the client that ends the handshake of a session that is resumed, in TLS 1.2, too.
        Pair::open(Side::Server, &configs);
        let mut pair = Pair::new(Side::Server, &configs);
        while pair.judge.0.is_handshaking() {
            pair.tell_session(usize::MAX).unwrap();
            pair.tell_judge(usize::MAX).unwrap();
        }
        assert_eq!(pair.session.state(), State::Handshaking);
        pair.judge.sends(b"hello");
        let _ = pair.judge.0.refresh_traffic_keys();
        pair.judge.sends(b" there");
        pair.judge.0.send_close_notify();
        assert_eq!(pair.tell_session(usize::MAX), Ok(State::PeerClosed));
        assert_eq!(pair.session_heard, b"hello there");
    }
}

/// A client that may send early data, and has a ticket by which a server of the same name would take some.
fn hasty() -> Configs {
    let Configs { server, client } = configs(&TLS13);
    let (mut server, mut client) = ((*server.0).clone(), (*client).clone());
    server.ticketer = Arc::new(NoTickets);
    server.session_storage = ServerSessionMemoryCache::new(10);
    server.max_early_data_size = 16_384;
    client.resumption = Resumption::in_memory_sessions(10);
    client.enable_early_data = true;
    Configs { server: ServerTerms(server.into()), client: client.into() }
}

#[derive(Debug)]
struct NoTickets;

impl rustls::server::ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

#[test]
fn early_data_is_not_heard_and_the_handshake_goes_on_without() {
    for size in [1, 100, 2000, usize::MAX] {
        let hasty = hasty();
        Pair::open(Side::Client, &Configs { ..hasty.clone() });
        let mut pair = Pair::new(Side::Server, &Configs { server: configs(&TLS13).server, ..hasty });
        let rustls::Connection::Client(client) = &mut pair.judge.0 else { unreachable!() };
        let mut early = client.early_data().expect("it has a ticket");
        std::io::Write::write_all(&mut early, &[b'e'; 1000]).unwrap();
        pair.settle(&[size]);
        assert_eq!(pair.session_heard, b"");
        pair.judge.sends(b"late");
        pair.settle(&[size]);
        assert_eq!((&pair.session_heard[..], pair.judge.kind()), (&b"late"[..], Some(HandshakeKind::Full)));
    }
}

#[test]
fn nobody_is_listened_to_for_ever_before_the_handshake_has_ended() {
    for (side, configs) in pairs() {
        let mut pair = Pair::new(side, &configs);
        // rustls' own limits are reached before this one, as far as is known.
        pair.session.handshake_bytes = 65_500;
        pair.to_session.extend([22, 3, 1, 0, 40].into_iter().chain([0; 40]));
        pair.to_judge.clear();
        assert_eq!(pair.tell_session(usize::MAX), Err(TlsError::TooLong(HANDSHAKE_BYTES)));
        assert_eq!(pair.to_judge[..], [21, 3, 3, 0, 2, 2, 47]);
    }
}

/// What the process has in memory, in bytes (proc_pid_statm(5)).
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
#[ignore = "a measurement, of a process that does nothing else"]
fn an_idle_session_of_a_server_takes_some_hundred_bytes() {
    let mut all = vec![];
    for (side, configs) in pairs() {
        let idle = || {
            let mut pair = Pair::open(side, &configs);
            pair.send(b"hello").unwrap();
            pair.judge.sends(b"hello");
            pair.settle(&[usize::MAX]);
            Box::new(pair.session)
        };
        all.extend((0..100).map(|_| idle()));
        let before = resident_bytes();
        all.extend((0..10_000).map(|_| idle()));
        let each = (resident_bytes() - before) / 10_000;
        println!("{side:?}: {each} bytes, {} of them its own", size_of::<Session>());
        assert!(each < if side == Side::Server { 400 } else { 4500 });
    }
}
