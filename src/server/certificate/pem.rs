//! Certificates and private keys in PEM (RFC 7468), as certbot, OpenSSL and others write them: whatever stands between them is passed
//! over. Nothing of a key is shown.

use pem::Pem;
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;

const BEGIN: &[u8] = b"-----BEGIN ";

/// Of PBKDF2: a third of a second, and five hundred times what OpenSSL does unless it is told otherwise.
const MOST_ITERATIONS: u64 = 1_000_000;

/// Of scrypt, each of 128 bytes that are held in memory: half a second, and eight times what OpenSSL does.
const MOST_BLOCKS: u64 = 1 << 20;

/// What is wrong with a file, and the mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[allow(missing_docs)] // Each says what it is.
pub enum Flaw {
    #[error("it is empty")]
    Empty,
    #[error(
        "it is not in PEM: if it is in DER, convert it with 'openssl x509 -inform der' or 'openssl pkey -inform der', and \
         if it is a PKCS #12, with 'openssl pkcs12 -nodes'"
    )]
    NotPem,
    #[error("it is cut off or damaged: what begins with '-----BEGIN' does not end as it should")]
    Damaged,
    #[error(
        "there is no certificate in it: give a file with the server's, followed by those of the authorities in between"
    )]
    NoCertificate,
    #[error(
        "there is only a request for a certificate in it: give the certificate that the authority has made of it"
    )]
    Request,
    #[error(
        "there is no private key in it: give a file with one as --ssl-keyfile, or add it to the certificate's"
    )]
    NoKey,
    #[error("there is a public key in it, and no private one: give that")]
    PublicKey,
    #[error(
        "there is more than one private key in it: give a file with the one that belongs to the certificate"
    )]
    SeveralKeys,
    #[error("the private key in it is OpenSSH's: convert a copy with 'ssh-keygen -p -m PEM -f FILE'")]
    OpenSsh,
    #[error("the private key in it is encrypted: give the password in SLACKWATER_SSL_KEYFILE_PASSWORD")]
    NoPassword,
    #[error("the private key in it cannot be decrypted with the password")]
    WrongPassword,
    #[error(
        "decrypting the private key in it takes {given} {unit}, which would keep all clients waiting, and at most {most} are done \
         here: write it anew with 'openssl pkcs8 -topk8 -v2 aes-256-cbc -iter 100000 -in FILE -out OTHER', and give that"
    )]
    Costly { given: u64, unit: &'static str, most: u64 },
    #[error(
        "the private key in it is encrypted as it was done formerly ('Proc-Type: 4,ENCRYPTED'): write it anew with 'openssl \
         pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out OTHER', and give that"
    )]
    FormerEncryption,
    #[error(
        "the private key in it is encrypted in a way that is not known here: write it anew with 'openssl pkcs8 -topk8 -v2 \
         aes-256-cbc -in FILE -out OTHER', and give that"
    )]
    UnknownEncryption,
}

/// How a key is kept in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// As it is.
    None,
    /// Encrypted.
    Password,
}

/// The certificates in a file, in their order.
///
/// # Errors
/// When there are none.
pub fn chain(octets: &[u8]) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let sections = sections(octets)?;
    let is_request = sections.iter().any(|section| section.tag().ends_with("CERTIFICATE REQUEST"));
    let certificates = sections.into_iter().filter(|section| {
        // The latter is what OpenSSL has written once, and still reads.
        ["CERTIFICATE", "X509 CERTIFICATE"].contains(&section.tag())
    });
    let chain: Vec<_> = certificates.map(|section| section.into_contents().into()).collect();
    match chain.is_empty() {
        true if is_request => Err(Flaw::Request),
        true => Err(Flaw::NoCertificate),
        false => Ok(chain),
    }
}

/// The private key in a file, decrypted by the password if it has to be: in PKCS #8, PKCS #1 (RSA) or SEC 1 (elliptic curves).
///
/// # Errors
/// When there is not exactly one, or it cannot be decrypted.
pub fn private_key(
    octets: &[u8],
    password: Option<&[u8]>,
) -> Result<(PrivateKeyDer<'static>, Protection), Flaw> {
    let sections = sections(octets)?;
    let is_public = sections.iter().any(|section| section.tag().ends_with("PUBLIC KEY"));
    let mut keys = sections.into_iter().filter(|section| section.tag().ends_with("PRIVATE KEY"));
    let key = keys.next().ok_or(if is_public { Flaw::PublicKey } else { Flaw::NoKey })?;
    if keys.next().is_some() {
        return Err(Flaw::SeveralKeys);
    }
    if key.headers().get("Proc-Type").is_some_and(|how| how.contains("ENCRYPTED")) {
        return Err(Flaw::FormerEncryption);
    }
    let tag = key.tag().to_owned();
    let der = key.into_contents();
    Ok(match &*tag {
        "PRIVATE KEY" => (PrivateKeyDer::Pkcs8(der.into()), Protection::None),
        "RSA PRIVATE KEY" => (PrivateKeyDer::Pkcs1(der.into()), Protection::None),
        "EC PRIVATE KEY" => (PrivateKeyDer::Sec1(der.into()), Protection::None),
        "ENCRYPTED PRIVATE KEY" => {
            (decrypt(&der, password.ok_or(Flaw::NoPassword)?)?.into(), Protection::Password)
        }
        "OPENSSH PRIVATE KEY" => return Err(Flaw::OpenSsh),
        _ => return Err(Flaw::NoKey),
    })
}

/// RFC 5958 §3, by PBES2 (RFC 8018 §6.2).
fn decrypt(der: &[u8], password: &[u8]) -> Result<PrivatePkcs8KeyDer<'static>, Flaw> {
    let encrypted = EncryptedPrivateKeyInfo::try_from(der).map_err(|_| Flaw::UnknownEncryption)?;
    let scheme = encrypted.encryption_algorithm.pbes2().ok_or(Flaw::UnknownEncryption)?;
    affordable(&scheme.kdf)?;
    let plain = encrypted.decrypt(password).map_err(|_| Flaw::WrongPassword)?;
    // Of the wrong passwords one in 256 leaves octets that end as they should.
    PrivateKeyInfo::try_from(plain.as_bytes()).map_err(|_| Flaw::WrongPassword)?;
    Ok(plain.as_bytes().to_vec().into())
}

/// How long it takes to make a key of the password is in the file, and nobody is served meanwhile.
fn affordable(kdf: &Kdf<'_>) -> Result<(), Flaw> {
    let (given, unit, most) = match kdf {
        Kdf::Pbkdf2(params) => (params.iteration_count.into(), "iterations of PBKDF2", MOST_ITERATIONS),
        Kdf::Scrypt(params) => {
            let factors = [params.cost_parameter, params.block_size.into(), params.parallelization.into()];
            let blocks = factors.into_iter().fold(1, u64::saturating_mul);
            // Of none `pkcs5` would take a logarithm.
            if blocks == 0 {
                return Err(Flaw::UnknownEncryption);
            }
            (blocks, "blocks of scrypt (N \u{d7} r \u{d7} p)", MOST_BLOCKS)
        }
        _ => return Err(Flaw::UnknownEncryption),
    };
    if given > most { Err(Flaw::Costly { given, unit, most }) } else { Ok(()) }
}

fn sections(octets: &[u8]) -> Result<Vec<Pem>, Flaw> {
    if octets.trim_ascii().is_empty() {
        return Err(Flaw::Empty);
    }
    let begun = octets.windows(BEGIN.len()).filter(|window| *window == BEGIN).count();
    if begun == 0 {
        return Err(Flaw::NotPem);
    }
    let sections = pem::parse_many(octets).map_err(|_| Flaw::Damaged)?;
    // One that has no end is passed over.
    if sections.len() == begun { Ok(sections) } else { Err(Flaw::Damaged) }
}

#[cfg(test)]
#[path = "pem_tests.rs"]
mod tests;
