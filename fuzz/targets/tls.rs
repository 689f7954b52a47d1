//! What a peer of TLS sends: any octets, or what rustls' own connection says with some of them changed on the way. What is heard is
//! what was said, as far as it was not changed; a broken session stays broken, and none takes much memory.
#![no_main]

use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};
use slackwater::wire::tls::{CLIENT_HELD_BYTES, ServerTerms, Session, State, TlsError};
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
    if rules & 4 == 0 {
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
