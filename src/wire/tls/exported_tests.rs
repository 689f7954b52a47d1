//! What was exported is plain data, and what is read of it is not believed.

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
