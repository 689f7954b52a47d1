//! A certificate authority of this run's own, and what it has signed: the files that servers are started with.

use std::fs;
use std::path::{Path, PathBuf};

use pem::Pem;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize,
};
use tempfile::TempDir;

use super::secured::NAME;

/// What a certificate's key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    P256,
    Rsa2048,
}

impl KeyKind {
    pub const ALL: [Self; 2] = [Self::P256, Self::Rsa2048];

    pub fn name(self) -> &'static str {
        match self {
            Self::P256 => "ECDSA P-256",
            Self::Rsa2048 => "RSA-2048",
        }
    }

    fn stem(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::Rsa2048 => "rsa2048",
        }
    }

    fn generate(self) -> KeyPair {
        let key = match self {
            Self::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Self::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        };
        key.expect("there is randomness")
    }
}

/// The files, for as long as this lives.
pub struct Credentials(TempDir);

impl Credentials {
    /// One certificate of each kind, signed by one authority.
    pub fn issue() -> Self {
        let folder = tempfile::tempdir().expect("there can be a temporary directory");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("there is randomness"))
                .expect("an authority can sign itself");
        let credentials = Self(folder);
        write(&credentials.authority(), &text("CERTIFICATE", authority.der()));
        for kind in KeyKind::ALL {
            let key = kind.generate();
            let params = CertificateParams::new([NAME.to_owned()]).expect("it is a name");
            let certificate = params.signed_by(&key, &authority).expect("it can be signed");
            let (certificate, key) =
                (text("CERTIFICATE", certificate.der()), text("PRIVATE KEY", key.serialized_der()));
            write(&credentials.certificate(kind), &certificate);
            write(&credentials.key(kind), &key);
            write(&credentials.both(kind), &(certificate + &key));
        }
        credentials
    }

    /// Whom clients trust.
    pub fn authority(&self) -> PathBuf {
        self.folder().join("authority.pem")
    }

    pub fn certificate(&self, kind: KeyKind) -> PathBuf {
        self.folder().join(format!("{}.pem", kind.stem()))
    }

    pub fn key(&self, kind: KeyKind) -> PathBuf {
        self.folder().join(format!("{}.key", kind.stem()))
    }

    /// The certificate and its key in one file.
    pub fn both(&self, kind: KeyKind) -> PathBuf {
        self.folder().join(format!("{}.both.pem", kind.stem()))
    }

    /// Where others may put theirs.
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// What the server is started with.
    pub fn flags(&self, kind: KeyKind) -> String {
        let (certificate, key) = (self.certificate(kind), self.key(kind));
        format!("--ssl-certfile {} --ssl-keyfile {}", certificate.display(), key.display())
    }
}

fn text(tag: &str, der: &[u8]) -> String {
    pem::encode(&Pem::new(tag, der))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file can be written");
}
