//! What a client may say once the handshake has ended, and what only a hostile one does. Both sides are records of our own here: that
//! rustls understands them is shown elsewhere.

use rustls::AlertDescription as Alert;

use super::super::keys::secret;
use super::*;

const TLS12: [u16; 3] = [0xc02b, 0xc02c, 0xcca9];
const TLS13: [u16; 3] = [0x1301, 0x1302, 0x1303];

fn keys(suite: &Suite, octet: u8) -> Keys {
    match suite.version {
        Version::Tls13 => Keys::of(suite, secret(&[octet; 32]).unwrap()),
        Version::Tls12 => {
            let none = secret(&[]).unwrap();
            Keys::with(7, &vec![octet; suite.aead.key_len()], [octet; 12], none).unwrap()
        }
    }
}

/// A server and a client.
fn two(number: u16) -> (Records, Records) {
    let suite = Suite::of(number).unwrap();
    let records = |rx, tx| Records::new(suite, keys(suite, rx), keys(suite, tx));
    (records(1, 2), records(2, 1))
}

/// What the other has heard, and what it says in turn.
type Heard = (Result<(), TlsError>, Vec<u8>, BytesMut);

fn hear(other: &mut Records, said: &[u8]) -> Heard {
    let (mut heard, mut out) = (vec![], BytesMut::new());
    let outcome = other.read(&mut said.to_vec(), &mut heard, &mut out);
    (outcome.map(|(used_bytes, _)| assert_eq!(used_bytes, said.len())), heard, out)
}

/// Records, by their kinds and what is in them.
type Contents<'a> = &'a [(u8, &'a [u8])];

/// These records.
fn say(one: &mut Records, contents: Contents<'_>) -> BytesMut {
    let mut said = BytesMut::new();
    contents.iter().for_each(|(kind, content)| one.seal(*kind, content, &mut said).unwrap());
    said
}

fn send(one: &mut Records, text: &[u8]) -> BytesMut {
    let mut said = BytesMut::new();
    one.send(&[IoSlice::new(text)], &mut said).unwrap();
    said
}

/// What is said of such records, and the alert that the client hears.
fn refused(number: u16, contents: Contents<'_>) -> (TlsError, TlsError) {
    let (mut server, mut client) = two(number);
    let (outcome, _, out) = hear(&mut server, &say(&mut client, contents));
    (outcome.unwrap_err(), hear(&mut client, &out).0.unwrap_err())
}

const MISPLACED: TlsError = TlsError::Violation("a message that may not come now");
const GARBLED: TlsError = TlsError::Violation("a malformed message");

const ASKS: &[u8] = &[KEY_UPDATE, 0, 0, 1, UPDATE_REQUESTED];
const TELLS: &[u8] = &[KEY_UPDATE, 0, 0, 1, UPDATE_NOT_REQUESTED];

#[test]
fn keys_are_changed_also_by_a_message_in_pieces_and_the_answer_precedes_what_is_sent_next() {
    for number in TLS13 {
        let (mut server, mut client) = two(number);
        let asked = say(&mut client, &[(HANDSHAKE, &ASKS[..2]), (HANDSHAKE, &ASKS[2..])]);
        client.tx.update(client.suite);
        let said = [asked, send(&mut client, b"hello")].concat();
        assert_eq!(hear(&mut server, &said), (Ok(()), b"hello".to_vec(), BytesMut::new()));
        let answer = send(&mut server, b"hi");
        assert!(answer.len() > 2 * (HEADER_BYTES + 16));
        assert_eq!(hear(&mut client, &answer), (Ok(()), b"hi".to_vec(), BytesMut::new()));
        assert_eq!(send(&mut server, b"hi").len(), HEADER_BYTES + 2 + 1 + 16);
    }
}

#[test]
fn whoever_asks_twice_is_answered_once_and_whoever_only_tells_not_at_all() {
    for (message, answers) in [(ASKS, 1), (TELLS, 0)] {
        let (mut server, mut client) = two(0x1301);
        for _ in 0..2 {
            let said = say(&mut client, &[(HANDSHAKE, message)]);
            client.tx.update(client.suite);
            assert_eq!(hear(&mut server, &said).0, Ok(()));
        }
        let said = send(&mut server, b"hi");
        assert_eq!(said.len(), HEADER_BYTES + 2 + 17 + answers * (HEADER_BYTES + 5 + 17));
    }
}

#[test]
fn padding_is_not_heard() {
    let (mut server, mut client) = two(0x1301);
    let said = say(&mut client, &[(0, b"hello\x17\0\0\0")]);
    assert_eq!(hear(&mut server, &said), (Ok(()), b"hello".to_vec(), BytesMut::new()));
}

#[test]
fn what_may_not_come_now_ends_the_connection_and_the_client_hears_why() {
    let tickets: &[u8] = &[4, 0, 0, 1, 0];
    let (asks, a) = ((HANDSHAKE, ASKS), (APPLICATION_DATA, &b"a"[..]));
    let unexpected: [Contents<'_>; 10] = [
        &[(HANDSHAKE, &[CLIENT_HELLO, 0, 0, 1, 0])],
        &[(HANDSHAKE, tickets)],
        &[(HANDSHAKE, &[ASKS, ASKS].concat())],
        &[(HANDSHAKE, &[ASKS, &[KEY_UPDATE]].concat())],
        &[(HANDSHAKE, &ASKS[..4]), a],
        &[(HANDSHAKE, &ASKS[..1]), (ALERT, &[WARNING, 0])],
        &[(CHANGE_CIPHER_SPEC, &[1])],
        &[(24, &[1])],
        &[(0, &[0; 3])],
        // The keys are others by now.
        &[(0, &[])],
    ];
    for contents in unexpected {
        let expected = (MISPLACED, TlsError::PeerSays(Alert::UnexpectedMessage));
        assert_eq!(refused(0x1301, contents), expected, "{contents:?}");
    }
    let expected = (TlsError::NotDecryptable, TlsError::PeerSays(Alert::BadRecordMac));
    assert_eq!(refused(0x1301, &[asks, a]), expected);
}

#[test]
fn what_is_malformed_ends_the_connection_and_the_client_hears_why() {
    let long = [0; CONTENT_BYTES + 1];
    let too_long = TlsError::Violation("a record is too long");
    let malformed: [(u16, Contents<'_>, TlsError, Alert); 9] = [
        (0x1301, &[(HANDSHAKE, &[KEY_UPDATE, 0, 0, 0])], GARBLED, Alert::DecodeError),
        (0x1301, &[(HANDSHAKE, &[KEY_UPDATE, 0, 0, 2, 0])], GARBLED, Alert::DecodeError),
        (0x1301, &[(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 2])], GARBLED, Alert::IllegalParameter),
        (0x1301, &[(ALERT, &[WARNING])], GARBLED, Alert::DecodeError),
        (0x1301, &[(ALERT, &[WARNING, 0, WARNING, 0])], GARBLED, Alert::DecodeError),
        (0x1301, &[(APPLICATION_DATA, &long)], too_long, Alert::RecordOverflow),
        (0xc02b, &[(APPLICATION_DATA, &long)], too_long, Alert::RecordOverflow),
        (0xcca9, &[(HANDSHAKE, &[CLIENT_HELLO, 1, 0, 0])], GARBLED, Alert::DecodeError),
        (0xcca9, &[(HANDSHAKE, &[20, 0, 0, 12])], MISPLACED, Alert::UnexpectedMessage),
    ];
    for (number, contents, error, alert) in malformed {
        assert_eq!(refused(number, contents), (error, TlsError::PeerSays(alert)), "{contents:?}");
    }
}

#[test]
fn what_cannot_be_a_record_is_refused_by_its_header() {
    let headers: [(u16, &[u8], TlsError, Alert); 7] = [
        (0x1301, &[20], MISPLACED, Alert::UnexpectedMessage),
        (0xc02b, &[20, 3, 3, 0, 1, 1], MISPLACED, Alert::UnexpectedMessage),
        (0x1301, &[21, 3, 3, 0, 2, 2, 0], MISPLACED, Alert::UnexpectedMessage),
        (0x1301, b"GET", TlsError::NotTls, Alert::UnexpectedMessage),
        (0x1301, &[23, 3, 3, 65, 1], TlsError::Violation("a record is too long"), Alert::RecordOverflow),
        (0xc02b, &[23, 3, 3, 72, 1], TlsError::Violation("a record is too long"), Alert::RecordOverflow),
        (0xc02b, &[21, 3, 3, 0, 2, 2, 0], TlsError::NotDecryptable, Alert::BadRecordMac),
    ];
    for (number, header, error, alert) in headers {
        let (mut server, mut client) = two(number);
        let (outcome, _, out) = hear(&mut server, header);
        assert_eq!(outcome, Err(error), "{header:?}");
        assert_eq!(hear(&mut client, &out).0, Err(TlsError::PeerSays(alert)));
    }
}

#[test]
fn a_renegotiation_is_refused_and_the_connection_goes_on() {
    for number in TLS12 {
        let (mut server, mut client) = two(number);
        let hello = [&[CLIENT_HELLO, 0, 1, 0][..], &[0; 256]].concat();
        let asked = say(&mut client, &[(HANDSHAKE, &hello[..3]), (HANDSHAKE, &hello[3..])]);
        let said = [asked, send(&mut client, b"hello")].concat();
        let (outcome, heard, mut out) = hear(&mut server, &said);
        assert_eq!((outcome, &heard[..]), (Ok(()), &b"hello"[..]));
        let cipher = client.rx.cipher(client.suite);
        let opened = client.rx.open(client.suite, &cipher, &mut out).ok().unwrap();
        assert_eq!((opened.kind, opened.content), (ALERT, &[WARNING, 100][..]));
        assert_eq!(hear(&mut client, &send(&mut server, b"hi")).1, b"hi");
    }
}

#[test]
fn nobody_says_for_ever_what_brings_nothing() {
    let hello = [CLIENT_HELLO, 0, 0, 1, 0];
    let fruitless: [(u16, u8, &[u8]); 6] = [
        (0x1301, APPLICATION_DATA, b""),
        (0x1301, ALERT, &[WARNING, 90]),
        (0x1303, APPLICATION_DATA, b""),
        (0xc02b, ALERT, &[WARNING, 100]),
        (0xc02b, HANDSHAKE, &hello),
        (0xc02b, HANDSHAKE, b""),
    ];
    for (number, kind, content) in fruitless {
        let (mut server, mut client) = two(number);
        let many = vec![(kind, content); 32];
        for _ in 0..2 {
            assert_eq!(hear(&mut server, &say(&mut client, &many)).0, Ok(()));
            assert_eq!(hear(&mut server, &send(&mut client, b"a")).0, Ok(()));
        }
        assert_eq!(hear(&mut server, &say(&mut client, &many)).0, Ok(()));
        let (outcome, _, out) = hear(&mut server, &say(&mut client, &many[..1]));
        assert_eq!(outcome, Err(TlsError::Violation("too many messages that bring nothing")));
        assert!(out.len() >= HEADER_BYTES + 2 + 16);
    }
    let many = hello.repeat(33);
    let (mut server, mut client) = two(0xc02b);
    assert!(hear(&mut server, &say(&mut client, &[(HANDSHAKE, &many)])).0.is_err(), "nor in one record");
}

#[test]
fn an_alert_of_the_client_is_not_answered() {
    for number in TLS12.into_iter().chain(TLS13) {
        let (mut server, mut client) = two(number);
        let said = say(&mut client, &[(ALERT, &[FATAL, Alert::InternalError.into()])]);
        let expected = (Err(TlsError::PeerSays(Alert::InternalError)), vec![], BytesMut::new());
        assert_eq!(hear(&mut server, &said), expected);
    }
}

#[test]
fn keys_are_changed_before_they_are_used_up() {
    for number in TLS13 {
        let (mut server, mut client) = two(number);
        server.tx.seq = server.suite.most_records - 1;
        client.rx.seq = server.tx.seq;
        let text = vec![b'a'; 3 * CONTENT_BYTES + 1];
        let said = send(&mut server, &text);
        assert_eq!(server.tx.seq, 3);
        assert_eq!(hear(&mut client, &said), (Ok(()), text, BytesMut::new()));
    }
}

#[test]
fn where_keys_cannot_be_changed_the_connection_is_closed_before_they_are_used_up() {
    for number in TLS12 {
        let (mut server, mut client) = two(number);
        server.tx.seq = server.suite.most_records - 1;
        client.rx.seq = server.tx.seq;
        let mut said = BytesMut::new();
        let text = vec![b'a'; CONTENT_BYTES + 1];
        assert_eq!(server.send(&[IoSlice::new(&text)], &mut said), Err(TlsError::KeysUsedUp));
        let outcome = client.read(&mut said, &mut vec![], &mut BytesMut::new());
        assert!(matches!(outcome, Ok((_, Stop::PeerClosed))));
    }
}
