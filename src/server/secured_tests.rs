//! TLS on a socket whose far end takes as much as it is let, with a client by the same machine: `wire::tls` is judged elsewhere.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use proptest::collection::vec;
use proptest::prelude::*;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::server::far_end::{FarEnd, Wire};

static CONFIGS: LazyLock<(ServerTerms, Arc<ClientConfig>)> = LazyLock::new(|| {
    let certified = rcgen::generate_simple_self_signed(["slackwater.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let terms = ServerTerms::new(vec![certified.cert.der().clone()], key, Ticketer::new().unwrap()).unwrap();
    (terms, client.into())
});

/// What a proxy says.
pub const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\n";

/// Room for what has come, as the server has it.
fn room() -> Vec<u8> {
    vec![0; 64 * 1024]
}

/// A client of TLS at the far end of a secured socket.
pub struct Client {
    pub session: Session,
    pub said: BytesMut,
    pub heard: Vec<u8>,
    pub far_end: Rc<RefCell<FarEnd>>,
    pub near: Secured<Wire>,
}

impl Client {
    pub fn connected() -> Self {
        let (far_end, mut said) = (FarEnd::open(), BytesMut::new());
        let name = "slackwater.test".try_into().unwrap();
        let session = Session::connect(CONFIGS.1.clone(), name, &mut said).unwrap();
        let near = Secured::new(Wire(far_end.clone()), CONFIGS.0.clone());
        Self { session, said, heard: vec![], far_end, near }
    }

    /// One that has shaken hands.
    pub fn open() -> Self {
        let mut client = Self::connected();
        client.shake_hands();
        client
    }

    pub fn shake_hands(&mut self) {
        assert_eq!(self.near.handshake(), Handshake::Awaited);
        self.speak();
        assert_eq!(self.receive(), vec![Received::Nothing]);
        assert_eq!(self.near.handshake(), Handshake::UnderWay);
        self.near.flush().unwrap();
        self.listen();
        self.speak();
        assert_eq!(self.receive(), vec![Received::Nothing]);
        assert_eq!((self.near.handshake(), self.session.state()), (Handshake::None, State::Open));
        self.near.flush().unwrap();
        self.listen();
    }

    /// What is spoken with newcomers.
    pub fn terms() -> ServerTerms {
        CONFIGS.0.clone()
    }

    /// What it has to say is on its way.
    pub fn speak(&mut self) {
        self.far_end.borrow_mut().said.extend(self.said.split());
    }

    pub fn say(&mut self, plaintext: &[u8]) {
        self.say_partly(plaintext, usize::MAX);
    }

    /// Of what it says, with what it has said before, only so much is on its way for now.
    pub fn say_partly(&mut self, plaintext: &[u8], bytes: usize) {
        self.session.send(&[IoSlice::new(plaintext)], &mut self.said).unwrap();
        let bytes = bytes.min(self.said.len());
        self.far_end.borrow_mut().said.extend(self.said.split_to(bytes));
    }

    /// Takes what has come to it.
    pub fn listen(&mut self) {
        let mut taken = std::mem::take(&mut self.far_end.borrow_mut().taken);
        self.session.receive(&mut taken, &mut self.heard, &mut self.said).unwrap();
    }

    /// All that the server reads now, but for the bytes themselves.
    pub fn receive(&mut self) -> Vec<Received> {
        let (mut room, mut received) = (room(), vec![]);
        while !matches!(received.last(), Some(Received::Nothing | Received::Finished | Received::Broken)) {
            received.push(self.near.receive(&mut room));
        }
        received
    }

    /// The bytes that the server reads now, with so much room at once.
    pub fn hear(&mut self, most: usize) -> Vec<u8> {
        let (mut room, mut heard) = (vec![0; most], vec![]);
        while let Received::Bytes(count) = self.near.receive(&mut room) {
            heard.extend(&room[..count]);
        }
        heard
    }
}

#[test]
fn after_the_handshake_either_side_hears_what_the_other_has_said() {
    let mut client = Client::open();
    client.say(b"ask");
    assert_eq!(client.hear(64 * 1024), b"ask");
    assert_eq!(client.near.write(b"answer").unwrap(), 6);
    client.listen();
    assert_eq!(client.heard, b"answer");
    assert!(!client.near.has_unsent() && client.near.beneath.unsent.capacity() == 0, "nothing is left of it");
}

#[test]
fn what_finds_no_room_is_read_next() {
    for most in [1, 7, 1000, DIRECT_BYTES - 1, DIRECT_BYTES] {
        let mut client = Client::open();
        client.say(&[b'a'; 40_000]);
        assert_eq!(client.hear(most), [b'a'; 40_000]);
        assert!(client.near.ahead.is_none());
    }
}

#[test]
fn plain_http_is_told_apart_and_can_be_answered() {
    let mut client = Client::connected();
    client.far_end.borrow_mut().said.extend(b"HEAD / HTTP/1.1\r\n\r\n");
    assert_eq!(client.near.receive(&mut room()), Received::PlainHttp { head_only: true });
    let mut client = Client::connected();
    client.far_end.borrow_mut().said.extend(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.near.receive(&mut room()), Received::PlainHttp { head_only: false });
    let said = [IoSlice::new(b"HTTP/1.1 400 "), IoSlice::new(b"...")];
    assert_eq!(client.near.write_vectored(&said).unwrap(), 16);
    client.near.finish().unwrap();
    assert_eq!(client.far_end.borrow().taken, b"HTTP/1.1 400 ...");
    client.far_end.borrow_mut().is_closed = true;
    assert_eq!(client.near.receive(&mut room()), Received::Finished);
}

#[test]
fn whoever_breaks_tls_is_told_so_by_an_alert_behind_what_was_heard_before() {
    let mut client = Client::open();
    client.say(b"right");
    client.far_end.borrow_mut().said.extend([23, 3, 3, 0, 17].iter().chain(&[0; 17]));
    assert_eq!(client.receive(), [Received::Bytes(5), Received::Broken]);
    assert_eq!(client.near.write(b"nobody understands this").unwrap(), 23);
    client.near.flush().unwrap();
    client.near.finish().unwrap();
    let mut alert = std::mem::take(&mut client.far_end.borrow_mut().taken);
    let outcome = client.session.receive(&mut alert, &mut client.heard, &mut client.said);
    assert_eq!(outcome, Err(TlsError::PeerSays(rustls::AlertDescription::BadRecordMac)));
    assert!(client.far_end.borrow().has_ended && client.heard.is_empty());
}

#[test]
fn nothing_is_said_to_whoever_has_no_keys_yet() {
    let mut client = Client::connected();
    assert_eq!(client.near.write(b"too early").unwrap(), 9);
    client.speak();
    client.receive();
    assert_eq!(client.near.write(b"still too early").unwrap(), 15);
    client.near.finish().unwrap();
    client.listen();
    assert!(client.heard.is_empty() && client.far_end.borrow().has_ended);
}

#[test]
fn a_client_that_has_closed_its_side_is_still_told_and_hears_of_the_end() {
    let mut client = Client::open();
    client.say(b"last words");
    client.session.close(&mut client.said);
    client.speak();
    assert_eq!(client.receive(), [Received::Bytes(10), Received::Finished]);
    assert!(!client.near.is_emptied_by_short_reads());
    client.near.write_all(b"answer").unwrap();
    client.near.finish().unwrap();
    client.listen();
    assert_eq!((&client.heard[..], client.session.state()), (&b"answer"[..], State::PeerClosed));
}

#[test]
fn no_byte_is_owed_of_what_may_still_be_dropped() {
    let mut client = Client::open();
    client.far_end.borrow_mut().room = 0;
    let (first, second) = (vec![b'a'; encrypted::CHUNK_BYTES - 1], [b'b'; 100]);
    let count = client.near.write_vectored(&[IoSlice::new(&first), IoSlice::new(&second)]).unwrap();
    assert_eq!(count, first.len() - 1);
    client.far_end.borrow_mut().room = usize::MAX;
    assert_eq!(client.near.write(&first[count..]).unwrap(), 1);
    client.listen();
    assert_eq!(client.heard, first);
}

#[test]
fn the_end_is_said_once_there_is_room_for_it() {
    let mut client = Client::open();
    client.far_end.borrow_mut().room = 3;
    assert_eq!(client.near.finish().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(client.near.has_unsent() && !client.far_end.borrow().has_ended);
    client.far_end.borrow_mut().room = 100;
    client.near.finish().unwrap();
    client.listen();
    assert!(client.session.state() == State::PeerClosed && client.far_end.borrow().has_ended);
}

#[test]
fn what_a_proxy_says_first_is_handed_on_as_it_is_and_tls_begins_behind_it() {
    for size in [1, 10, HEADER.len(), HEADER.len() + 1, 10_000] {
        let mut client = Client::connected();
        client.near.expect_preamble(vec![]);
        let said = [HEADER, &client.said.split()].concat();
        let mut heard = vec![];
        for piece in said.chunks(size) {
            client.far_end.borrow_mut().said.extend(piece);
            heard.extend(client.hear(64 * 1024));
        }
        assert_eq!((&heard[..], client.near.handshake()), (HEADER, Handshake::UnderWay));
        client.near.flush().unwrap();
        client.listen();
        client.say(b"a request");
        assert_eq!(client.hear(64 * 1024), b"a request");
    }
}

#[test]
fn what_is_no_word_of_a_proxy_is_handed_on_as_it_is() {
    let mut client = Client::connected();
    client.near.expect_preamble(vec![]);
    client.far_end.borrow_mut().said.extend(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.hear(64 * 1024), b"GET / HTTP/1.1\r\n\r\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn all_is_heard_once_and_in_order_however_little_the_socket_takes(
        pieces in vec(vec(any::<u8>(), 1..40_000), 1..6),
        rooms in vec(prop_oneof![0..3_usize, 0..30_000_usize], 1..20),
    ) {
        let mut client = Client::open();
        let (mut left, mut rooms) = (pieces.concat(), rooms.into_iter());
        let all = left.clone();
        while !left.is_empty() {
            let room = rooms.next().unwrap_or(100_000);
            client.far_end.borrow_mut().room = room;
            let (one, other) = left.split_at(left.len() / 3);
            match client.near.write_vectored(&[IoSlice::new(one), IoSlice::new(other)]) {
                Ok(count) => drop(left.drain(..count)),
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
            assert!(!client.near.has_unsent() || !left.is_empty(), "somebody waits until all is taken");
            client.listen();
        }
        assert_eq!(client.heard, all);
    }
}

#[test]
fn who_begins_a_handshake_once_our_side_has_ended_is_not_answered() {
    let mut client = Client::connected();
    client.near.finish().unwrap();
    client.speak();
    assert!(matches!(client.receive()[..], [Received::Bytes(_), Received::Nothing]));
    assert!(!client.near.has_unsent());
}

#[test]
fn a_ping_takes_no_more_than_is_added_to_it() {
    let mut client = Client::connected();
    assert_eq!(client.near.overhead_bytes(), 0);
    client.shake_hands();
    client.near.write_all(&[0x89, 0]).unwrap();
    let bytes = u32::try_from(client.far_end.borrow().taken.len()).unwrap();
    assert!((3..=2 + client.near.overhead_bytes()).contains(&bytes), "{bytes}");
}
