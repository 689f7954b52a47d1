//! What was exported is plain data, and what is read of it is not believed.

use std::io::IoSlice;

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use rustls::version::TLS13;

use super::super::TlsError;
use super::super::judge::{Pair, Side as Judged, configs, configs_with, suites};
use super::*;

fn exported() -> Exported {
    Pair::open(Judged::Server, &configs(&TLS13)).session.export().unwrap()
}

#[test]
fn only_an_open_session_of_a_server_can_be_exported() {
    let configs = configs(&TLS13);
    assert_eq!(Pair::new(Judged::Server, &configs).session.export(), None);
    assert_eq!(Pair::open(Judged::Client, &configs).session.export(), None);
    let mut pair = Pair::open(Judged::Server, &configs);
    assert!(pair.session.export().is_some());
    pair.to_session.push(b'?');
    assert_eq!(pair.tell_session(1), Err(TlsError::NotTls));
    assert_eq!(pair.session.export(), None);
}

#[test]
fn what_is_secret_is_not_shown() {
    let mut exported = exported();
    exported.receives.key = Octets::new(&[171; 32]);
    let shown = format!("{exported:?}");
    assert!(shown.contains("key: Octets(..), iv: Octets(..), secret: Some(Octets(..))"), "{shown}");
    assert!(!shown.contains("171"));
}

#[test]
fn both_ends_and_what_is_held_go_along() {
    for suite in suites() {
        let mut pair = Pair::open(Judged::Server, &configs_with(suite));
        let agreed = pair.session.agreed();
        pair.judge.sends(b"hello");
        pair.tell_session(9).unwrap();
        pair.move_session();
        assert_eq!(pair.session.held_bytes(), 9);
        pair.judge.0.send_close_notify();
        pair.settle(&[4]);
        pair.close();
        pair.move_session();
        assert_eq!((pair.session.receive_end(), pair.send(b"more")), (Ok(()), Err(TlsError::Closed)));
        assert_eq!((&pair.session_heard[..], pair.session.agreed()), (&b"hello"[..], agreed));
    }
}

#[test]
fn what_cannot_have_been_exported_is_not_gone_on_with() {
    let damages: [fn(&mut Exported); 11] = [
        |e| e.suite = 0x1399,
        |e| e.suite = 0xc02b,
        |e| e.receives.key = Octets::new(&[1; 15]),
        |e| e.receives.key = Octets::new(&[]),
        |e| e.sends.iv = Octets::new(&[1; 13]),
        |e| e.sends.secret = None,
        |e| e.sends.secret = Some(Octets::new(&[1; 49])),
        |e| e.held = vec![23, 3, 3, 0, 1, 1],
        |e| e.held = vec![23, 3, 3, 0, 1, 1, 23],
        |e| e.held = vec![22],
        |e| e.message_rest = 1,
    ];
    assert!(Session::import(&exported()).is_ok());
    for (number, damage) in damages.iter().enumerate() {
        let mut exported = exported();
        damage(&mut exported);
        assert!(Session::import(&exported).is_err(), "{number}");
    }
}

/// One way of a suite, with a number that may be the last.
fn direction(suite: &Suite) -> impl Strategy<Value = Direction> + use<> {
    let (key, secret) = (vec![1; suite.aead.key_len()], vec![2; suite.secret_bytes]);
    let secret = (suite.version == Version::Tls13).then(|| Octets::new(&secret));
    prop_oneof![0_u64..9, (1_u64 << 24) - 3..(1 << 24) + 3, u64::MAX - 3..=u64::MAX].prop_map(move |seq| {
        Direction { seq, key: Octets::new(&key), iv: Octets::new(&[3; 12]), secret: secret.clone() }
    })
}

fn anything() -> impl Strategy<Value = Exported> {
    let ways = select(vec![0x1301, 0x1302, 0x1303, 0xc02b, 0xc030, 0xcca8]).prop_flat_map(|number| {
        let suite = Suite::of(number).unwrap();
        (Just(number), direction(suite), direction(suite))
    });
    let held = prop_oneof![Just(vec![]), Just(vec![23, 3, 3, 1, 0]), vec(any::<u8>(), 0..9)];
    let message = (vec(any::<u8>(), 0..6), prop_oneof![Just(0), 0_u32..300, any::<u32>()]);
    (ways, held, message, any::<u8>(), any::<[bool; 5]>()).prop_map(|(ways, held, message, fruitless, is)| {
        Exported {
            suite: ways.0,
            receives: ways.1,
            sends: ways.2,
            held,
            message_head: message.0,
            message_rest: message.1,
            fruitless,
            peer_closed: is[0],
            own_closed: is[1],
            owes_update: is[2],
            is_alpn: is[3],
            is_resumed: is[4],
        }
    })
}

proptest! {
    #[test]
    fn what_is_imported_is_exported_as_it_was_and_whatever_it_is_does_no_harm(
        exported in anything(),
        mut said in vec(any::<u8>(), 0..300),
        lengths in vec(0_usize..40_000, 0..3),
    ) {
        let Ok(mut session) = Session::import(&exported) else { return Ok(()) };
        assert!(session.export().as_ref() == Some(&exported));
        let (mut heard, mut out) = (vec![], BytesMut::new());
        let long = vec![0; 40_000];
        let pieces: Vec<IoSlice<'_>> = lengths.iter().map(|length| IoSlice::new(&long[..*length])).collect();
        let _ = session.send(&pieces, &mut out);
        let _ = session.receive(&mut said, &mut heard, &mut out);
        let _ = session.send(&pieces, &mut out);
        session.close(&mut out);
        assert!(heard.is_empty());
    }
}
