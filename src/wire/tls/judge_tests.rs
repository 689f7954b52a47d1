//! Whom a session is tried with: rustls' own connection, which has buffers. Certificates and configurations for both.

use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};

use bytes::BytesMut;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, Connection, HandshakeKind, RootCertStore, ServerConnection,
    SupportedCipherSuite, SupportedProtocolVersion,
};

use super::{Exported, ServerTerms, Session, State, TlsError};

pub const NAME: &str = "slackwater.test";

pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

static CERTIFIED: LazyLock<rcgen::CertifiedKey<rcgen::KeyPair>> =
    LazyLock::new(|| rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap());

/// Both sides' configurations. Who uses the same once more resumes.
#[derive(Clone)]
pub struct Configs {
    pub server: ServerTerms,
    pub client: Arc<ClientConfig>,
}

pub fn configs(version: &'static SupportedProtocolVersion) -> Configs {
    configs_of(version, aws_lc_rs::default_provider())
}

/// Those of a client that speaks only this suite. A server speaks all.
pub fn configs_with(suite: SupportedCipherSuite) -> Configs {
    let provider = CryptoProvider { cipher_suites: vec![suite], ..aws_lc_rs::default_provider() };
    configs_of(suite.version(), provider)
}

/// Each suite that the two can agree on.
pub fn suites() -> Vec<SupportedCipherSuite> {
    let suites = aws_lc_rs::ALL_CIPHER_SUITES.iter();
    // The certificate has no RSA key.
    suites.filter(|suite| !format!("{suite:?}").contains("ECDHE_RSA")).copied().collect()
}

fn configs_of(version: &'static SupportedProtocolVersion, provider: CryptoProvider) -> Configs {
    let (provider, certificate) = (Arc::new(provider), CERTIFIED.cert.der());
    let key = PrivateKeyDer::Pkcs8(CERTIFIED.signing_key.serialize_der().into());
    let tickets = Ticketer::new().unwrap();
    let server = ServerTerms::speaking(&[version], vec![certificate.clone()], key, tickets).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    Configs { server, client: client.into() }
}

pub fn name() -> ServerName<'static> {
    NAME.try_into().unwrap()
}

/// Which side the session is. The judge is the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

pub const SIDES: [Side; 2] = [Side::Server, Side::Client];

/// A connection of rustls.
pub struct Judge(pub Connection);

impl Judge {
    /// What it has to say.
    pub fn says(&mut self) -> Vec<u8> {
        let mut said = vec![];
        while self.0.wants_write() {
            self.0.write_tls(&mut said).unwrap();
        }
        said
    }

    /// What the octets mean.
    pub fn hears(&mut self, mut octets: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut heard = vec![];
        while !octets.is_empty() && self.0.read_tls(&mut octets).unwrap() > 0 {
            let there = self.0.process_new_packets()?.plaintext_bytes_to_read();
            let from = heard.len();
            heard.resize(from + there, 0);
            self.0.reader().read_exact(&mut heard[from..]).unwrap();
        }
        Ok(heard)
    }

    pub fn sends(&mut self, plaintext: &[u8]) {
        self.0.writer().write_all(plaintext).unwrap();
    }

    pub fn kind(&self) -> Option<HandshakeKind> {
        self.0.handshake_kind()
    }

    /// Whether the other side has said that it is closed.
    pub fn is_told_of_the_end(&mut self) -> bool {
        matches!(self.0.reader().read(&mut [0]), Ok(0))
    }
}

/// A session and its judge, with what is under way to either.
pub struct Pair {
    pub session: Session,
    pub judge: Judge,
    pub to_session: Vec<u8>,
    pub to_judge: BytesMut,
    /// What either has heard.
    pub session_heard: Vec<u8>,
    pub judge_heard: Vec<u8>,
}

impl Pair {
    pub fn new(side: Side, configs: &Configs) -> Self {
        let mut to_judge = BytesMut::new();
        let (session, mut judge) = match side {
            Side::Server => (
                Session::accept(&configs.server).unwrap(),
                Connection::from(ClientConnection::new(configs.client.clone(), name()).unwrap()),
            ),
            Side::Client => (
                Session::connect(configs.client.clone(), name(), &mut to_judge).unwrap(),
                Connection::from(ServerConnection::new(configs.server.0.clone()).unwrap()),
            ),
        };
        judge.set_buffer_limit(None);
        let judge = Judge(judge);
        Self { session, judge, to_session: vec![], to_judge, session_heard: vec![], judge_heard: vec![] }
    }

    /// Two that have agreed on keys, with nothing under way.
    pub fn open(side: Side, configs: &Configs) -> Self {
        let mut pair = Self::new(side, configs);
        pair.settle(&[usize::MAX]);
        assert_eq!(pair.session.state(), State::Open);
        pair
    }

    /// Hands the session the next so many bytes.
    pub fn tell_session(&mut self, bytes: usize) -> Result<State, TlsError> {
        self.to_session.extend(self.judge.says());
        let bytes = bytes.min(self.to_session.len());
        let mut piece: Vec<u8> = self.to_session.drain(..bytes).collect();
        self.session.receive(&mut piece, &mut self.session_heard, &mut self.to_judge)
    }

    /// Hands the judge the next so many bytes.
    pub fn tell_judge(&mut self, bytes: usize) -> Result<(), rustls::Error> {
        let piece = self.to_judge.split_to(bytes.min(self.to_judge.len()));
        self.judge_heard.extend(self.judge.hears(&piece)?);
        Ok(())
    }

    /// Goes on, with pieces of these sizes in turn, until neither says anything more.
    pub fn settle(&mut self, sizes: &[usize]) {
        for size in sizes.iter().cycle() {
            self.tell_session(*size).unwrap();
            self.tell_judge(*size).unwrap();
            if self.to_session.is_empty() && self.to_judge.is_empty() && !self.judge.0.wants_write() {
                break;
            }
        }
    }

    pub fn send(&mut self, plaintext: &[u8]) -> Result<super::Sent, TlsError> {
        self.session.send(&[std::io::IoSlice::new(plaintext)], &mut self.to_judge)
    }

    /// Has another process go on with the session, if there is something to go on with.
    pub fn move_session(&mut self) {
        if let Some(exported) = self.session.export() {
            let octets = minicbor::to_vec(&exported).unwrap();
            let imported: Exported = minicbor::decode(&octets).unwrap();
            assert!(imported == exported);
            self.session = Session::import(&imported).unwrap();
        }
    }

    pub fn close(&mut self) {
        self.session.close(&mut self.to_judge);
    }
}

/// A session and its judge, of each side and each version.
pub fn pairs() -> impl Iterator<Item = (Side, Configs)> {
    VERSIONS.into_iter().flat_map(|version| SIDES.map(|side| (side, configs(version))))
}
