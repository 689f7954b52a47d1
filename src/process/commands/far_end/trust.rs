//! TLS with a server: who has to vouch for it, and what is said where that fails. Opens no connection.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, StreamOwned,
};

use super::bounded::Bounded;
use super::{Failure, Trust};
use crate::wire::tls::TlsError;

/// The names of a certificate that are shown, at most.
const MOST_NAMES: usize = 3;

/// What TLS is spoken with, and to whom.
#[derive(Debug)]
pub(super) struct Terms {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    trust: Trust,
}

impl Terms {
    /// To a host of this name.
    pub(super) fn new(trust: Trust, host: &str) -> Result<Self, Failure> {
        let name = ServerName::try_from(host.strip_suffix('.').unwrap_or(host).to_owned());
        let name =
            name.map_err(|_| Failure::Usage(format!("no certificate can be for a host of the name {host}")))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(|why| Failure::Refused(TlsError::of(&why).to_string()))?;
        let builder = match &trust {
            Trust::System => builder.with_root_certificates(of_system().map_err(Failure::Refused)?),
            Trust::File(path) => builder.with_root_certificates(of_file(path).map_err(|why| {
                Failure::Refused(format!("cannot read --ca-file {}: {why}", path.display()))
            })?),
            Trust::Anybody => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Whoever(provider)))
            }
        };
        Ok(Self { config: Arc::new(builder.with_no_client_auth()), name, trust })
    }

    /// Speaks TLS, and goes on once both have agreed.
    pub(super) fn secure(&self, socket: Bounded) -> io::Result<StreamOwned<ClientConnection, Bounded>> {
        let session = ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map_err(|why| io::Error::new(ErrorKind::InvalidData, why));
        let mut stream = StreamOwned::new(session.map_err(|why| self.words(&why))?, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|why| self.words(&why))?;
        }
        Ok(stream)
    }

    /// As whoever has given the address understands it.
    fn words(&self, why: &io::Error) -> io::Error {
        let (kind, what) = match (why.kind(), fault(why)) {
            (kind @ (ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), _) => {
                (kind, "it closes the connection in the handshake: is TLS spoken there?".to_owned())
            }
            (kind, Some(Error::InvalidCertificate(flaw))) => (kind, self.flaw(flaw)),
            (kind, Some(error)) => match TlsError::of(error) {
                TlsError::NotTls => (
                    kind,
                    "it answers with something that is not TLS: give http:// if that is spoken there"
                        .to_owned(),
                ),
                error => (kind, error.to_string()),
            },
            (kind, None) => (kind, why.to_string()),
        };
        io::Error::new(kind, format!("no TLS with {}: {what}", self.name.to_str()))
    }

    fn flaw(&self, flaw: &CertificateError) -> String {
        match flaw {
            // The latter where one of the same name is known, as one that was made anew.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                let whom = match &self.trust {
                    Trust::File(path) => format!("whom --ca-file {} names", path.display()),
                    Trust::System | Trust::Anybody => "whom this machine trusts".to_owned(),
                };
                format!("its certificate is by nobody {whom}: give --ca-file with the certificate of who has issued it")
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                let names: Vec<&str> = presented.iter().map(|name| bare(name)).take(MOST_NAMES).collect();
                let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                format!("its certificate is for another name ({names}): give --url with a name that it is for")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired: have it renewed there, unless the clock of this machine is wrong"
                    .to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet: is the clock of this machine right?".to_owned()
            }
            flaw => TlsError::of(&Error::InvalidCertificate(flaw.clone())).to_string(),
        }
    }
}

/// The name alone, of what is `DnsName("localhost")` here.
fn bare(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

/// Says in plain words what has become of a connection on which both had agreed.
pub(super) fn in_words(why: io::Error) -> io::Error {
    match fault(&why) {
        Some(error) => io::Error::new(why.kind(), TlsError::of(error).to_string()),
        None => why,
    }
}

fn fault(why: &io::Error) -> Option<&Error> {
    why.get_ref()?.downcast_ref()
}

fn of_file(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|why| why.to_string())? {
        let certificate = certificate.map_err(|why| why.to_string())?;
        roots.add(certificate).map_err(|why| TlsError::of(&why).to_string())?;
    }
    if roots.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(roots) }
}

fn of_system() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let why = "the system trusts nobody, so that no server can be verified: install ca-certificates, or give --ca-file";
        return Err(why.to_owned());
    }
    Ok(roots)
}

/// Takes every certificate, from whoever has its key.
#[derive(Debug)]
struct Whoever(Arc<CryptoProvider>);

impl ServerCertVerifier for Whoever {
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_with_the_mend() {
        let [now, then] = [2, 1].map(|seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds)));
        let name = ServerName::try_from("localhost").unwrap();
        let names = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: name.clone(),
            presented: presented.iter().map(|name| (*name).to_owned()).collect(),
        };
        let terms = Terms::new(Trust::Anybody, "localhost.").unwrap();
        for (flaw, why) in [
            (CertificateError::UnknownIssuer, "by nobody whom this machine trusts: give --ca-file"),
            (names(&["DnsName(\"a.b\")", "c"]), "for another name (a.b, c): give --url with a name"),
            (names(&[]), "for another name (none): "),
            (
                CertificateError::ExpiredContext { time: now, not_after: then },
                "its certificate has expired: ",
            ),
            (CertificateError::NotValidYetContext { time: then, not_before: now }, "is not valid yet: "),
            (CertificateError::Revoked, "the peer's certificate is revoked"),
            (CertificateError::BadSignature, "by nobody whom this machine trusts: give --ca-file"),
        ] {
            let error = io::Error::new(ErrorKind::InvalidData, Error::InvalidCertificate(flaw));
            let said = terms.words(&error).to_string();
            assert!(said.starts_with("no TLS with localhost: ") && said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_host_that_no_certificate_can_be_for_is_no_good_for_tls() {
        assert!(matches!(Terms::new(Trust::Anybody, "a b"), Err(Failure::Usage(_))));
    }
}
