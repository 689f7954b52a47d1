//! What a peer of TLS sends: any octets; what rustls' own connection says with some of them changed on the way; or, once the handshake is
//! over, any records that are encrypted with the right keys, some of which are changed. What is heard is what was said, as far as it was
//! not changed; a broken session stays broken, and none takes much memory. An open one can go on in another process at any time.
#![no_main]

use std::io::{IoSlice, Read, Write};
use std::sync::{Arc, LazyLock};

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};
use slackwater::wire::tls::{CLIENT_HELD_BYTES, Exported, Sent, ServerTerms, Session, State, TlsError};
use slackwater_fuzz::sealing::{ALERT, APPLICATION_DATA, HANDSHAKE, Sealing};
use slackwater_fuzz::{in_pieces, within};

/// What a session takes beside its input: what is held, a record as it is decrypted, a flight of the handshake.
const OWN_BYTES: usize = 512 * 1024;

const NAME: &str = "slackwater.test";

/// What the judge says once it may.
const SPEECH: [u8; 40_000] = [b'a'; 40_000];

/// A session's as a server, a judge's as one, and that of a client of either.
type Configs = (ServerTerms, Arc<ServerConfig>, Arc<ClientConfig>);

/// For each version, both sides' configurations.
static CONFIGS: LazyLock<[Configs; 2]> = LazyLock::new(|| {
    let certified = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    [&TLS12, &TLS13].map(|version| {
        let (provider, certificate) = (Arc::new(default_provider()), certified.cert.der());
        let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
        let terms = ServerTerms::new(
            vec![certificate.clone()],
            key.clone_key(),
            Ticketer::new().expect("randomness"),
        )
        .expect("they fit");
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .expect("it has suites")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .expect("they fit");
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("it is a certificate");
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("it has suites")
            .with_root_certificates(roots)
            .with_no_client_auth();
        (terms, server.into(), client.into())
    })
});

fuzz_target!(|input: &[u8]| {
    let Some((rules, rest)) = input.split_first() else { return };
    let Some((content, pieces)) = in_pieces(rest) else { return };
    let (is_server, configs) = (rules & 1 == 0, &CONFIGS[usize::from(rules >> 1 & 1)]);
    if rules & 8 != 0 {
        let sealing = Sealing::new(rules >> 4);
        let server = sealing.server();
        let (said, text) = speak(sealing, content);
        let whole = answer(&server, [&said[..]], &text);
        let mut sizes = rest.iter().take(4).map(|size| 1 + usize::from(*size)).cycle();
        let mut left = &said[..];
        let moved =
            std::iter::from_fn(|| left.split_off(..sizes.next()?.min(left.len())).filter(|p| !p.is_empty()));
        assert_eq!(
            answer(&server, moved, &text),
            whole,
            "it means the same in pieces, each to another process"
        );
    } else if rules & 4 == 0 {
        let whole = hear(is_server, configs, [content]);
        assert_eq!(hear(is_server, configs, pieces), whole, "it means the same in pieces");
    } else {
        listen(is_server, configs, content);
    }
});

fn session(is_server: bool, configs: &Configs, out: &mut BytesMut) -> Session {
    if is_server {
        Session::accept(&configs.0).expect("a configuration")
    } else {
        let name = ServerName::try_from(NAME).expect("a name");
        Session::connect(configs.2.clone(), name, out).expect("a configuration")
    }
}

/// What a new session makes of such pieces.
fn hear<'a>(
    is_server: bool,
    configs: &Configs,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<State, TlsError> {
    let (mut plaintext, mut out) = (vec![], BytesMut::new());
    let mut session = session(is_server, configs, &mut out);
    for piece in pieces {
        let mut piece = piece.to_vec();
        within(OWN_BYTES, || session.receive(&mut piece, &mut plaintext, &mut out)).inspect_err(|error| {
            assert_eq!(session.receive(&mut [22], &mut BytesMut::new(), &mut BytesMut::new()), Err(*error));
            assert_eq!(session.held_bytes(), 0);
        })?;
        assert!(session.held_bytes() <= CLIENT_HELD_BYTES && plaintext.is_empty());
    }
    Ok(session.state())
}

/// Has rustls speak to a session, with these changes on the way: each is at a distance behind the one before it.
fn listen(is_server: bool, configs: &Configs, changes: &[u8]) {
    let mut out = BytesMut::new();
    let mut session = session(is_server, configs, &mut out);
    let mut judge: Connection = if is_server {
        let name = ServerName::try_from(NAME).expect("a name");
        ClientConnection::new(configs.2.clone(), name).expect("a configuration").into()
    } else {
        ServerConnection::new(configs.1.clone()).expect("a configuration").into()
    };
    judge.writer().write_all(&SPEECH).expect("it is kept");
    let mut changes = changes.chunks_exact(3).map(|c| (usize::from(u16::from_be_bytes([c[0], c[1]])), c[2]));
    let mut next_change = changes.next();
    let mut heard = Vec::new();
    for _ in 0..8 {
        let mut said = vec![];
        while judge.wants_write() {
            judge.write_tls(&mut said).expect("a vector takes it");
        }
        let mut at = 0;
        while let Some((distance, change)) = next_change {
            let Some(octet) = said.get_mut(at + distance) else {
                next_change = Some((distance - (said.len() - at).min(distance), change));
                break;
            };
            *octet ^= change;
            at += distance;
            next_change = changes.next();
        }
        let outcome = within(OWN_BYTES, || session.receive(&mut said, &mut heard, &mut out));
        assert!(SPEECH.starts_with(&heard), "it hears what was said");
        let answer = out.split();
        let mut answer = &answer[..];
        while !answer.is_empty() && judge.read_tls(&mut answer).is_ok_and(|read| read > 0) {
            if judge.process_new_packets().is_err() {
                return;
            }
            let _ = judge.reader().read(&mut [0; 1000]);
        }
        if outcome.is_err() {
            return;
        }
    }
}

/// What a client says once the handshake is over, and what of it is text. The script has acts of three octets: what, how much, and what
/// is changed in it; behind each come the octets that it says.
fn speak(mut sealing: Sealing, mut script: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut said, mut text) = (vec![], vec![]);
    while let Some([what, length, change]) = script.split_off(..3) {
        let length = usize::from(*length).min(script.len());
        let octets = script.split_off(..length).unwrap_or_default();
        let (from, padding) = (said.len(), usize::from(what >> 4));
        let mut seal = |kind: u8, content: &[u8]| {
            sealing.seal(kind, content, padding, &mut said);
            text.extend_from_slice(sealing.text_of(kind, content));
        };
        match what & 7 {
            0 => seal(APPLICATION_DATA, octets),
            1 => {
                seal(HANDSHAKE, &[24, 0, 0, 1, what >> 4 & 1]);
                sealing.change_keys();
            }
            2 => seal(HANDSHAKE, octets),
            3 => seal(ALERT, octets),
            4 => seal(what >> 3, octets),
            5 => sealing.change_keys(),
            6 => seal(APPLICATION_DATA, &vec![what >> 3; 64 * length + 256 * padding]),
            _ => said.extend_from_slice(octets),
        }
        if let Some(octet) = said.get_mut(from + usize::from(*change)).filter(|_| change % 4 == 3) {
            *octet ^= what | 1;
        }
    }
    (said, text)
}

/// What a server makes of such pieces, each of which another process hears: how that ends, what was heard, and what is answered.
fn answer<'a>(
    server: &Exported,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    text: &[u8],
) -> (Result<State, TlsError>, Vec<u8>, BytesMut) {
    let (mut heard, mut out) = (vec![], BytesMut::new());
    let mut session = Session::import(server).expect("it is whole");
    let mut outcome = Ok(State::Open);
    for piece in pieces {
        if let Some(exported) = session.export() {
            let octets = minicbor::to_vec(&exported).expect("memory takes it");
            let imported = minicbor::decode(&octets).expect("it is whole");
            assert_eq!(exported, imported);
            session = within(OWN_BYTES, || Session::import(&imported)).expect("it is whole");
        }
        let mut piece = piece.to_vec();
        outcome = within(OWN_BYTES, || session.receive(&mut piece, &mut heard, &mut out));
        assert!(text.starts_with(&heard), "it hears what was said");
        if let Err(error) = outcome {
            assert_eq!(session.receive(&mut [23], &mut BytesMut::new(), &mut BytesMut::new()), Err(error));
            assert_eq!((session.held_bytes(), session.export()), (0, None));
            assert_eq!(session.send(&[IoSlice::new(b"a")], &mut out), Err(error));
            break;
        }
    }
    if outcome.is_ok() {
        assert_eq!(session.send(&[IoSlice::new(b"answer")], &mut out), Ok(Sent::Whole));
        session.close(&mut out);
    }
    (outcome, heard, out)
}
