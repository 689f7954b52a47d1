//! Who has to vouch for the server: those whom the system trusts, or those in a file.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{Failure, Line};

/// What TLS is spoken with.
#[derive(Debug)]
pub(super) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Trusts whoever is in this file, or else whom the system trusts.
    pub(super) fn open(file: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match file {
            Some(path) => {
                let read =
                    |why: &dyn std::fmt::Display| format!("cannot read --ca-file {}: {why}", path.display());
                let certificates = CertificateDer::pem_file_iter(path).map_err(|why| read(&why))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|why| read(&why))?;
                    roots.add(certificate).map_err(|why| read(&why))?;
                }
                if roots.is_empty() {
                    return Err(read(&"there is no certificate in it"));
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(
                        "the system trusts nobody, so that no server can be verified: install ca-certificates, or give --ca-file"
                            .to_owned(),
                    );
                }
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(|why| why.to_string())?;
        Ok(Self(Arc::new(builder.with_root_certificates(roots).with_no_client_auth())))
    }

    /// Speaks TLS, and goes on once both have agreed.
    pub(super) fn secure(&self, stream: TcpStream, host: &str) -> Result<Line, Failure> {
        let name = ServerName::try_from(host.strip_suffix('.').unwrap_or(host).to_owned());
        let name =
            name.map_err(|_| Failure::Usage(format!("no certificate can be for a host of the name {host}")))?;
        let session = ClientConnection::new(Arc::clone(&self.0), name)
            .map_err(|why| Failure::Refused(why.to_string()))?;
        let mut stream = StreamOwned::new(session, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|why| match why.kind() {
                // To ask again would bring the same certificate.
                ErrorKind::InvalidData => Failure::Refused(format!("no TLS with {host}: {why}")),
                _ => Failure::Unreachable(format!("no TLS with {host}: {why}")),
            })?;
        }
        Ok(Line::Tls(Box::new(stream)))
    }
}
