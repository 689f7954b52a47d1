//! Peers that do not keep to anything: an error, an alert where the peer can be told, never a panic, and no more held than allowed.

use std::sync::Arc;

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rustls::AlertDescription;
use rustls::version::{TLS12, TLS13};

use super::judge::{Configs, Pair, SIDES, Side, VERSIONS, configs, configs_with, name, suites};
use super::{CLIENT_HELD_BYTES, SERVER_HELD_BYTES, Session, State, TlsError};

/// What a new session says of octets that come in pieces of this size, and what is heard of it.
fn heard_of(session: &mut Session, octets: &[u8], size: usize) -> (Result<State, TlsError>, BytesMut) {
    let (mut plaintext, mut out) = (vec![], BytesMut::new());
    for piece in octets.chunks(size) {
        let outcome = session.receive(&mut piece.to_vec(), &mut plaintext, &mut out);
        assert!(session.held_bytes() <= CLIENT_HELD_BYTES && plaintext.is_empty());
        if outcome.is_err() {
            let said = out.len();
            assert_eq!(
                session.receive(&mut [23, 3, 3, 0, 0], &mut plaintext, &mut out),
                outcome,
                "it stays so"
            );
            session.close(&mut out);
            assert_eq!((said, session.held_bytes()), (out.len(), 0));
            return (outcome, out);
        }
    }
    (Ok(session.state()), out)
}

fn server(configs: &Configs) -> Session {
    Session::accept(&configs.server).unwrap()
}

fn client(configs: &Configs) -> Session {
    Session::connect(configs.client.clone(), name(), &mut BytesMut::new()).unwrap()
}

/// A fatal alert before there are keys.
fn alert(description: AlertDescription) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, 2, description.into()]
}

#[test]
fn who_speaks_plain_http_is_found_out_at_the_first_letter_and_told_nothing() {
    for request in ["GET / HTTP/1.1\r\n\r\n", "POST /publish HTTP/1.1\r\n", "p"] {
        let (outcome, said) = heard_of(&mut server(&configs(&TLS13)), request.as_bytes(), 1);
        assert_eq!((outcome, &said[..]), (Err(TlsError::PlainHttp), &b""[..]));
    }
}

#[test]
fn a_server_that_speaks_something_else_is_found_out_by_what_is_no_record() {
    let reply = b"-ERR Protocol error\r\n";
    let (outcome, said) = heard_of(&mut client(&configs(&TLS13)), reply, 1);
    assert_eq!((outcome, &said[..]), (Err(TlsError::NotTls), &alert(AlertDescription::DecodeError)[..]));
}

#[test]
fn nonsense_in_place_of_a_record_is_known_by_its_first_octet_wherever_that_ends_up() {
    let octets = [&crumbs(1, 1000)[..60], b"?"].concat();
    for size in [1, 60, 100] {
        assert_eq!(heard_of(&mut server(&configs(&TLS13)), &octets, size).0, Err(TlsError::NotTls));
    }
}

#[test]
fn the_alert_of_a_peer_is_said_in_words() {
    let alert = alert(AlertDescription::UnknownCA);
    let (outcome, said) = heard_of(&mut server(&configs(&TLS12)), &alert, 100);
    assert_eq!((outcome, said.len()), (Err(TlsError::PeerSays(AlertDescription::UnknownCA)), 0));
}

#[test]
fn two_that_have_no_version_in_common_part_and_the_peer_hears_why() {
    let configs = Configs { server: configs(&TLS13).server, client: configs(&TLS12).client };
    let mut pair = Pair::new(Side::Server, &configs);
    assert_eq!(pair.tell_session(10_000), Err(TlsError::Incompatible("no version")));
    let alert = rustls::Error::AlertReceived(AlertDescription::ProtocolVersion);
    assert_eq!(pair.tell_judge(10_000), Err(alert));
}

#[test]
fn a_client_trusts_no_server_of_an_unknown_issuer() {
    let provider = configs(&TLS13).client.crypto_provider().clone();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut pair = Pair::new(Side::Client, &Configs { client: Arc::new(client), ..configs(&TLS13) });
    pair.tell_judge(10_000).unwrap();
    assert_eq!(pair.tell_session(10_000), Err(TlsError::Certificate("of an unknown issuer")));
    let alert = rustls::Error::AlertReceived(AlertDescription::UnknownCA);
    assert_eq!(pair.tell_judge(10_000), Err(alert));
}

/// A message of the handshake that is to be this long, in records of one octet each.
fn crumbs(kind: u8, length: u32) -> Vec<u8> {
    let [_, high, middle, low] = length.to_be_bytes();
    let message = [kind, high, middle, low].into_iter().chain(std::iter::repeat(0));
    message.take(length as usize).flat_map(|octet| [22, 3, 3, 0, 1, octet]).collect()
}

#[test]
fn a_message_in_crumbs_is_held_up_to_the_limit_only() {
    let configs = configs(&TLS13);
    for size in [1, 1000, usize::MAX] {
        let (outcome, said) = heard_of(&mut server(&configs), &crumbs(1, 60_000), size);
        assert_eq!(outcome, Err(TlsError::TooLong(SERVER_HELD_BYTES)));
        assert_eq!(said, alert(AlertDescription::IllegalParameter));
        let (outcome, said) = heard_of(&mut client(&configs), &crumbs(2, 60_000), size);
        assert_eq!(outcome, Err(TlsError::TooLong(CLIENT_HELD_BYTES)));
        assert_eq!(said, alert(AlertDescription::IllegalParameter));
    }
}

#[test]
fn an_alert_of_our_own_amid_the_handshake_is_understood() {
    for suite in suites() {
        let configs = configs_with(suite);
        let is_tls13 = suite.tls13().is_some();
        for is_resumed in [false, true] {
            let mut pair = Pair::new(Side::Server, &configs);
            pair.tell_session(usize::MAX).unwrap();
            let super::Side::Server(handshake) = &pair.session.side else { unreachable!() };
            let end = pair.to_judge.len();
            handshake.alert(AlertDescription::IllegalParameter, &mut pair.to_judge);
            if is_resumed && !is_tls13 {
                assert_eq!(pair.to_judge.len(), end, "nobody but rustls has the keys");
                continue;
            }
            assert_eq!(pair.to_judge.len() - end, if is_tls13 { 24 } else { 7 });
            let alert = rustls::Error::AlertReceived(AlertDescription::IllegalParameter);
            assert_eq!(pair.tell_judge(usize::MAX), Err(alert));
            Pair::open(Side::Server, &configs);
        }
    }
}

#[test]
fn no_message_of_more_than_64_kib_is_waited_for() {
    let (outcome, said) = heard_of(&mut server(&configs(&TLS13)), &crumbs(1, 0x1_0000)[..30], 100);
    assert!(matches!(outcome, Err(TlsError::Violation(_))), "{outcome:?}");
    assert_eq!(said, alert(AlertDescription::UnexpectedMessage));
}

#[test]
fn a_record_is_waited_for_that_is_as_long_as_any_may_be_and_no_longer_one() {
    let record = |length: u16| [&[22, 3, 3][..], &length.to_be_bytes(), &[1; SERVER_HELD_BYTES - 7]].concat();
    let mut session = server(&configs(&TLS13));
    // rustls takes one octet less than RFC 5246 §6.2.3 has it.
    let longest = 16 * 1024 + 2047;
    assert_eq!(heard_of(&mut session, &record(longest), 999).0, Ok(State::Handshaking));
    assert_eq!(session.held_bytes(), SERVER_HELD_BYTES - 2);
    let outcome = heard_of(&mut server(&configs(&TLS13)), &record(longest + 1)[..5], 1).0;
    assert_eq!(outcome, Err(TlsError::Violation("a record is too long")));
}

#[test]
fn what_follows_the_end_of_the_peers_side_means_nothing() {
    for (side, configs) in super::judge::pairs() {
        let mut pair = Pair::open(side, &configs);
        pair.judge.0.send_close_notify();
        pair.to_session.extend(pair.judge.says());
        pair.to_session.extend([1; 40_000]);
        assert_eq!(pair.tell_session(usize::MAX), Ok(State::PeerClosed));
        assert_eq!(
            pair.session.receive(&mut [1; 10], &mut BytesMut::new(), &mut BytesMut::new()),
            Ok(State::PeerClosed)
        );
        assert_eq!(pair.session.held_bytes(), 0);
    }
}

#[test]
fn a_changed_record_is_an_error_behind_our_own_end_as_before_it_and_no_alert_follows_that() {
    for (side, configs) in super::judge::pairs() {
        let mut pair = Pair::open(side, &configs);
        pair.close();
        pair.judge.sends(b"hello");
        pair.to_session.extend(pair.judge.says());
        *pair.to_session.last_mut().unwrap() ^= 1;
        let end = pair.to_judge.len();
        assert_eq!(pair.tell_session(usize::MAX), Err(TlsError::NotDecryptable));
        assert_eq!(pair.to_judge.len(), end);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nonsense_is_borne(
        version in select(&VERSIONS[..]),
        begin in select(vec![&[][..], &[22, 3, 1][..], &[22, 3, 3, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[23, 3, 3][..], &[20, 3, 3, 0, 1, 1][..]]),
        nonsense in vec(any::<u8>(), 0..1000),
        size in 1_usize..300,
    ) {
        let (configs, octets) = (configs(version), [begin, &nonsense].concat());
        heard_of(&mut server(&configs), &octets, size).0.ok();
        heard_of(&mut client(&configs), &octets, size).0.ok();
    }

    #[test]
    fn a_changed_bit_of_the_handshake_is_borne_and_deceives_nobody(
        version in select(&VERSIONS[..]),
        side in select(&SIDES[..]),
        (flight, at, bit, size) in (0_u8..3, any::<Index>(), 0_u8..8, 1_usize..3000),
    ) {
        let mut pair = Pair::new(side, &configs(version));
        for round in 0..4 {
            pair.to_session.extend(pair.judge.says());
            if round == flight && !pair.to_session.is_empty() {
                let at = at.index(pair.to_session.len());
                pair.to_session[at] ^= 1 << bit;
            }
            while !pair.to_session.is_empty() {
                if let Err(error) = pair.tell_session(size) {
                    assert_eq!(pair.tell_session(size), Err(error));
                    assert_eq!(pair.send(b"hello"), Err(error));
                    return Ok(());
                }
            }
            if pair.tell_judge(usize::MAX).is_err() {
                return Ok(());
            }
        }
    }

    #[test]
    fn a_changed_bit_of_the_stream_is_an_error_and_the_peer_hears_of_it(
        version in select(&VERSIONS[..]),
        side in select(&SIDES[..]),
        lengths in vec(1_usize..2000, 1..6),
        (at, bit, size) in (any::<Index>(), 0_u8..8, 1_usize..3000),
    ) {
        let mut pair = Pair::open(side, &configs(version));
        let (mut said, mut ignored) = (vec![], vec![]);
        for length in lengths {
            ignored.extend([0, 2].map(|octet| pair.to_session.len() + octet));
            pair.judge.sends(&vec![b'a'; length]);
            said.resize(said.len() + length, b'a');
            pair.to_session.extend(pair.judge.says());
        }
        let at = at.index(pair.to_session.len());
        pair.to_session[at] ^= 1 << bit;
        let mut outcome = Ok(State::Open);
        while !pair.to_session.is_empty() && outcome.is_ok() {
            outcome = pair.tell_session(size);
        }
        assert!(said.starts_with(&pair.session_heard));
        match outcome {
            // A record that is longer than it was has not come yet.
            Ok(_) if pair.session.held_bytes() > 0 => assert!(pair.session_heard.len() < said.len()),
            // rustls looks neither at the kind of a record of TLS 1.3 nor at its version.
            Ok(_) => assert!(side == Side::Client && ignored.contains(&at)),
            Err(_) => assert!(pair.tell_judge(usize::MAX).is_err(), "it is told"),
        }
    }
}
