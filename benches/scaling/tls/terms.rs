//! What the clients and rustls' own server speak: one version of TLS, with tickets or without.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, NamedGroup, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use serde::{Deserialize, Serialize};

/// A version of TLS, to which a client keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    Tls13,
    Tls12,
}

impl Version {
    pub const ALL: [Self; 2] = [Self::Tls13, Self::Tls12];

    pub fn name(self) -> &'static str {
        match self {
            Self::Tls13 => "TLS 1.3",
            Self::Tls12 => "TLS 1.2",
        }
    }

    /// As the load is told it.
    pub fn argument(self) -> &'static str {
        match self {
            Self::Tls13 => "1.3",
            Self::Tls12 => "1.2",
        }
    }

    pub fn of_argument(argument: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.argument() == argument)
    }

    fn only(self) -> [&'static SupportedProtocolVersion; 1] {
        [match self {
            Self::Tls13 => &TLS13,
            Self::Tls12 => &TLS12,
        }]
    }
}

/// Clients that trust this authority, and come without a ticket.
pub fn trusting(version: Version, authority: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(authority).expect("the authority is in this file");
    roots.add(authority).expect("it is an authority");
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&version.only());
    let builder = builder.expect("the version is known").with_root_certificates(roots);
    Arc::new(with_resumption(builder.with_no_client_auth(), Resumption::disabled()))
}

/// Clients that verify nothing, so that it is not they who take the time. They come with a ticket, if they are given where to
/// keep it.
pub fn credulous(version: Version, tickets: Option<Arc<Tickets>>) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&version.only());
    let builder = builder.expect("the version is known").dangerous();
    let builder = builder.with_custom_certificate_verifier(Arc::new(Credulous(provider())));
    let resumption = tickets.map_or_else(Resumption::disabled, |tickets| Resumption::store(tickets));
    Arc::new(with_resumption(builder.with_no_client_auth(), resumption))
}

/// rustls' own server, as the server under measure uses it.
pub fn server(certificate: &Path, key: &Path) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(certificate).expect("it was issued");
    let key = PrivateKeyDer::from_pem_file(key).expect("it was issued");
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13, &TLS12]);
    let builder = builder.expect("the versions are known").with_no_client_auth();
    let mut config = builder.with_single_cert(vec![certificate], key).expect("key and certificate fit");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().expect("there is randomness");
    config.send_tls13_tickets = 1;
    Arc::new(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn with_resumption(mut config: ClientConfig, resumption: Resumption) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = resumption;
    config
}

/// Believes any certificate and any signature.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What clients have been given by one server. A ticket of TLS 1.3 is shown once, and brings the next.
#[derive(Default)]
pub struct Tickets {
    of_tls13: Mutex<Vec<Tls13ClientSessionValue>>,
    of_tls12: Mutex<Option<Tls12ClientSessionValue>>,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        *self.of_tls12.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.of_tls12.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.of_tls13.lock().unwrap_or_else(PoisonError::into_inner).push(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.of_tls13.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}
