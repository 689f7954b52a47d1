//! A client's side of TLS on a socket, with a server by the same machine at the far end: `wire::tls` is judged elsewhere.

use std::cell::RefCell;
use std::rc::Rc;

use proptest::collection::vec;
use proptest::prelude::*;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::PrivateKeyDer;

use super::*;
use crate::server::far_end::{FarEnd, Wire};
use crate::wire::tls::{Authorities, ServerTerms};

const NAME: &str = "engine.test";

/// A certificate for this name, signed by itself as somebody's who is called so, and its key.
fn signed(name: &str, called: &str, is_ca: IsCa) -> (Certificate, KeyPair) {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, called);
    params.is_ca = is_ca;
    let key = KeyPair::generate().expect("there is randomness");
    (params.self_signed(&key).unwrap(), key)
}

/// A server of this name at the far end of a socket by which TLS is spoken.
struct Server {
    session: Session,
    said: BytesMut,
    heard: Vec<u8>,
    far_end: Rc<RefCell<FarEnd>>,
    near: TlsClient<Wire>,
}

impl Server {
    /// One whose certificate is for this name, asked for another, by a client that trusts it.
    fn of(its_name: &str, name: &str) -> Self {
        let (own, key) = signed(its_name, its_name, IsCa::NoCa);
        Self::with(&own, &key, &own, name)
    }

    /// One with this certificate and its key, asked for this name by a client that trusts another.
    fn with(own: &Certificate, key: &KeyPair, trusted: &Certificate, name: &str) -> Self {
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let terms = ServerTerms::new(vec![own.der().clone()], key, Ticketer::new().unwrap()).unwrap();
        let client = ClientTerms::new(Authorities::new([trusted.der().clone()]).unwrap(), None).unwrap();
        let far_end = FarEnd::open();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let near = TlsClient::new(Wire(far_end.clone()), &client, name).unwrap();
        let session = Session::accept(&terms).unwrap();
        Self { session, said: BytesMut::new(), heard: vec![], far_end, near }
    }

    /// One that has shaken hands.
    fn open() -> Self {
        let mut server = Self::of(NAME, NAME);
        assert_eq!(server.agree().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!((server.near.handshake(), server.session.state()), (Handshake::None, State::Open));
        server
    }

    /// Shakes hands, as far as that goes; what the client reads in the end.
    fn agree(&mut self) -> io::Result<usize> {
        let _ = self.near.flush();
        self.listen();
        let read = self.near.read(&mut [0; 1000]);
        let _ = self.near.flush();
        self.listen();
        read
    }

    /// Takes what has come to it, and answers.
    fn listen(&mut self) {
        let mut taken = std::mem::take(&mut self.far_end.borrow_mut().taken);
        let _ = self.session.receive(&mut taken, &mut self.heard, &mut self.said);
        self.far_end.borrow_mut().said.extend(self.said.split());
    }

    fn say(&mut self, plaintext: &[u8]) {
        self.session.send(&[IoSlice::new(plaintext)], &mut self.said).unwrap();
        self.far_end.borrow_mut().said.extend(self.said.split());
    }

    /// All that the client reads now, with so much room at once.
    fn read(&mut self, most: usize) -> Vec<u8> {
        let (mut room, mut read) = (vec![0; most], vec![]);
        while let Ok(count @ 1..) = self.near.read(&mut room) {
            read.extend(&room[..count]);
        }
        read
    }
}

/// A server whose certificate is not trusted, but one of somebody who is called so.
fn strange(called: &str) -> Server {
    let ((own, key), (trusted, _)) = (signed(NAME, NAME, IsCa::NoCa), signed(NAME, called, IsCa::NoCa));
    Server::with(&own, &key, &trusted, NAME)
}

fn refused(mut server: Server) -> String {
    server.agree().unwrap_err().to_string()
}

#[test]
fn what_is_written_too_early_waits_until_the_two_have_agreed_on_keys() {
    let mut server = Server::of(NAME, NAME);
    // A connection that is not there yet takes nothing.
    server.far_end.borrow_mut().room = 0;
    let early = |near: &mut TlsClient<Wire>| near.write(b"ask").unwrap_err().kind();
    assert_eq!((early(&mut server.near), server.near.has_unsent()), (ErrorKind::WouldBlock, true));
    server.far_end.borrow_mut().room = usize::MAX;
    assert_eq!((early(&mut server.near), server.near.has_unsent()), (ErrorKind::WouldBlock, false));
    assert_eq!(server.near.handshake(), Handshake::UnderWay);
    assert_eq!(server.agree().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(server.near.write(b"ask").unwrap(), 3);
    server.listen();
    assert_eq!(server.heard, b"ask");
}

#[test]
fn what_finds_no_room_is_read_next() {
    for most in [1, 7, 1000, 100_000] {
        let mut server = Server::open();
        server.say(&[b'a'; 40_000]);
        assert!(server.read(most) == [b'a'; 40_000], "{most}");
    }
}

#[test]
fn a_certificate_has_to_be_for_the_host_and_of_somebody_who_is_trusted() {
    for name in [NAME, "127.0.0.1", "::1"] {
        assert_eq!(Server::of(name, name).agree().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    for (its_name, name) in [(NAME, "other.test"), ("127.0.0.1", "127.0.0.2")] {
        let why = format!("the peer's certificate is for another name than {name}");
        assert_eq!(refused(Server::of(its_name, name)), why);
    }
    assert_eq!(refused(strange("stranger")), "the peer's certificate is of an unknown issuer");
    let same = "the peer's certificate is signed by another key than its issuer's";
    assert_eq!(refused(strange(NAME)), same);
}

#[test]
fn an_authority_shows_no_certificate_of_its_own() {
    let (own, key) = signed(NAME, NAME, IsCa::Ca(BasicConstraints::Unconstrained));
    let why = "the peer's certificate is that of an authority, and none of a server's own";
    assert_eq!(refused(Server::with(&own, &key, &own, NAME)), why);
}

#[test]
fn a_server_that_is_given_up_is_told_why_and_nothing_else() {
    let mut server = strange("stranger");
    server.agree().unwrap_err();
    assert_eq!(
        server.near.write(b"secret").unwrap_err().to_string(),
        "the peer's certificate is of an unknown issuer"
    );
    assert_eq!(
        server.near.read(&mut [0; 100]).unwrap_err().to_string(),
        "the peer's certificate is of an unknown issuer"
    );
    let told = server.session.receive(&mut [], &mut server.heard, &mut server.said).unwrap_err();
    assert_eq!(told, TlsError::PeerSays(AlertDescription::UnknownCA));
}

#[test]
fn who_speaks_no_tls_is_told_apart() {
    let stay: fn(&mut FarEnd) = |_| {};
    let close: fn(&mut FarEnd) = |end| end.is_closed = true;
    let reset: fn(&mut FarEnd) = |end| end.is_reset = true;
    let demand = "the peer says: a client's certificate is required (--engine-cert)";
    for (said, end, why) in [
        (&b"-ERR Protocol error\r\n"[..], stay, "it answers with something that is not TLS"),
        (&b"-ERR Protocol error\r\n"[..], close, "it answers with something that is not TLS"),
        (b"", close, "it has closed the connection in the handshake of TLS: is TLS spoken there?"),
        (b"", reset, "it has closed the connection in the handshake of TLS: is TLS spoken there?"),
        (&[21, 3, 3, 0, 2, 2, 116], reset, demand),
    ] {
        let mut server = Server::of(NAME, NAME);
        server.far_end.borrow_mut().said.extend(said);
        end(&mut server.far_end.borrow_mut());
        assert_eq!(server.near.read(&mut [0; 1000]).unwrap_err().to_string(), why);
    }
}

#[test]
fn the_end_is_an_end_whether_it_was_announced_or_not() {
    for is_announced in [true, false] {
        let mut server = Server::open();
        server.say(b"last words");
        if is_announced {
            server.session.close(&mut server.said);
            server.listen();
        }
        server.far_end.borrow_mut().is_closed = true;
        let mut room = [0; 1000];
        assert_eq!((server.near.read(&mut room).unwrap(), server.near.read(&mut room).unwrap()), (10, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn all_is_heard_once_and_in_order_however_little_the_socket_takes(
        pieces in vec(vec(any::<u8>(), 1..40_000), 1..6),
        rooms in vec(prop_oneof![0..3_usize, 0..30_000_usize], 1..20),
    ) {
        let mut server = Server::open();
        let (mut left, mut rooms) = (pieces.concat(), rooms.into_iter());
        let all = left.clone();
        while !left.is_empty() || server.near.has_unsent() {
            server.far_end.borrow_mut().room = rooms.next().unwrap_or(100_000);
            let (one, other) = left.split_at(left.len() / 3);
            let written = match left.is_empty() {
                true => server.near.flush().map(|()| 0),
                false => server.near.write_vectored(&[IoSlice::new(one), IoSlice::new(other)]),
            };
            match written {
                Ok(count) => drop(left.drain(..count)),
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
            assert!(server.near.beneath.unsent.len() < 2 * 16 * 1024, "no more than a chunk waits here");
            server.listen();
        }
        prop_assert!(server.heard == all);
    }
}
