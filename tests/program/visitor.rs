//! A client of TLS that asks for one page at a time, and remembers the tickets that it is given.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::CertifiedKey;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use support::PATIENCE;

/// What both are named.
pub const NAME: &str = "slackwater.test";

/// One that trusts a certificate that it has made.
pub struct Visitor(Arc<ClientConfig>);

/// Makes a certificate and its key, and writes them to `cert.pem` and `key.pem` in this folder.
pub fn issue(folder: &Path) -> CertificateDer<'static> {
    issue_for(folder, NAME)
}

/// The same for a server of another name.
pub fn issue_for(folder: &Path, name: &str) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    for (name, tag, der) in [
        ("cert.pem", "CERTIFICATE", &cert.der()[..]),
        ("key.pem", "PRIVATE KEY", signing_key.serialized_der()),
    ] {
        std::fs::write(folder.join(name), pem::encode(&pem::Pem::new(tag, der))).unwrap();
    }
    cert.der().clone()
}

/// The flags for such a certificate.
pub fn flags(folder: &Path) -> String {
    let folder = folder.display();
    format!("--ssl-certfile {folder}/cert.pem --ssl-keyfile {folder}/key.pem")
}

impl Visitor {
    /// One that trusts this certificate, and none else.
    pub fn trusting(certificate: CertificateDer<'static>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        Self(config.with_root_certificates(roots).with_no_client_auth().into())
    }

    /// Speaks TLS on this.
    pub fn secure(&self, socket: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
        let client = ClientConnection::new(self.0.clone(), NAME.try_into().unwrap()).unwrap();
        StreamOwned::new(client, socket)
    }

    /// Asks for this and is answered: how the two have agreed on keys.
    pub fn visit(&self, address: SocketAddr, path: &str) -> (HandshakeKind, String) {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = self.secure(socket);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = vec![];
        stream.read_to_end(&mut answer).unwrap();
        (stream.conn.handshake_kind().unwrap(), String::from_utf8(answer).unwrap())
    }

    /// Whether it has come back by a ticket.
    pub fn resumes(&self, address: SocketAddr) -> bool {
        self.visit(address, "/healthz").0 == HandshakeKind::Resumed
    }
}
