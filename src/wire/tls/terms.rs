//! What a server says of itself to each client that connects: its certificate, which versions and which protocol it speaks, and by
//! which tickets clients come back. Whose key it is and where that is kept is for others.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ProducesTickets;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, InconsistentKeys, ServerConfig, SupportedProtocolVersion};
use thiserror::Error as Described;

/// The only protocol offered (RFC 7301 §6): a browser that may choose h2 opens no WebSocket without RFC 8441.
pub(super) const ALPN: &[u8] = b"http/1.1";

/// Why nothing can be shown to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Described)]
pub enum TermsError {
    /// Whoever is shown the certificate could not verify what is signed by the key.
    #[error("the private key does not belong to the certificate")]
    Apart,
    /// Of no known kind, or malformed.
    #[error(
        "the private key is none of RSA with at least 2048 bits, of P-256, P-384 or P-521, or of Ed25519"
    )]
    Key,
    /// Of no known version, or malformed.
    #[error("the certificate is none of X.509 version 3")]
    Certificate,
}

impl TermsError {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Self::Apart,
            Error::InvalidCertificate(_) | Error::NoCertificatesPresented => Self::Certificate,
            _ => Self::Key,
        }
    }
}

/// What is the same for all clients of a server.
#[derive(Debug, Clone)]
pub struct ServerTerms(pub(super) Arc<ServerConfig>);

impl ServerTerms {
    /// Of a certificate with those that vouch for it, its own first, and its key.
    ///
    /// # Errors
    /// When the two do not belong together, or one of them is of a kind that is not known.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        tickets: Arc<dyn ProducesTickets>,
    ) -> Result<Self, TermsError> {
        Self::speaking(&[&TLS13, &TLS12], chain, key, tickets)
    }

    /// The same, with other tickets.
    #[must_use]
    pub fn with_tickets(&self, tickets: Arc<dyn ProducesTickets>) -> Self {
        let mut config = (*self.0).clone();
        config.ticketer = tickets;
        Self(Arc::new(config))
    }

    pub(super) fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        tickets: Arc<dyn ProducesTickets>,
    ) -> Result<Self, TermsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|e| TermsError::of(&e))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.ticketer = tickets;
        // A session goes on without rustls once it is open.
        config.enable_secret_extraction = true;
        // One is enough for a client that has one connection, and each costs some hundred bytes of the wire.
        config.send_tls13_tickets = 1;
        Ok(Self(Arc::new(config)))
    }
}
