//! A certificate that only tests believe in, and what a client says who believes in it.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// Whom a certificate is for, and whom a client asks for.
pub const NAME: &str = "localhost";

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Tls12,
    Tls13,
}

/// A certificate for `NAME`, and its key.
pub struct Identity {
    /// Both, as a server reads them from a file.
    pub pem: String,
    certificate: CertificateDer<'static>,
}

impl Identity {
    /// Draws one.
    pub fn generate() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([NAME.to_owned()]).expect("the name is one");
        Self { pem: cert.pem() + &signing_key.serialize_pem(), certificate: cert.into() }
    }

    /// What a client says that believes in nothing else, and speaks this version.
    pub fn client(&self, version: Version) -> Arc<ClientConfig> {
        let versions: &[&'static SupportedProtocolVersion] = match version {
            Version::Tls12 => &[&TLS12],
            Version::Tls13 => &[&TLS13],
        };
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("it is a certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("the provider has what they need")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}
