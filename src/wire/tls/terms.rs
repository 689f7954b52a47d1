//! What a server says of itself to each client that connects: its certificate, which versions and which protocol it speaks, and by
//! which tickets clients come back. Whose key it is and where that is kept is for others.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ProducesTickets;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::TlsError;

/// The only protocol offered (RFC 7301 §6): a browser that may choose h2 opens no WebSocket without RFC 8441.
pub(super) const ALPN: &[u8] = b"http/1.1";

/// What is the same for all clients of a server.
#[derive(Debug, Clone)]
pub struct ServerTerms(pub(super) Arc<ServerConfig>);

impl ServerTerms {
    /// Of a certificate with those that vouch for it, its own first, and its key.
    ///
    /// # Errors
    /// When the two do not belong together, or the key is of a kind that is not known.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        tickets: Arc<dyn ProducesTickets>,
    ) -> Result<Self, TlsError> {
        Self::speaking(&[&TLS13, &TLS12], chain, key, tickets)
    }

    pub(super) fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        tickets: Arc<dyn ProducesTickets>,
    ) -> Result<Self, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|e| TlsError::of(&e))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.ticketer = tickets;
        // A session goes on without rustls once it is open.
        config.enable_secret_extraction = true;
        // One is enough for a client that has one connection, and each costs some hundred bytes of the wire.
        config.send_tls13_tickets = 1;
        Ok(Self(Arc::new(config)))
    }
}
