//! The cipher suites that a connection can go on with after its handshake: all that rustls' provider speaks. What each is called, what
//! it encrypts with and for how long one key may do that.

use aws_lc_rs::{aead, hkdf};

/// Which version of TLS, as far as records differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Tls12,
    Tls13,
}

impl Version {
    /// As nginx and OpenSSL call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }
}

/// One cipher suite.
pub struct Suite {
    /// As it is registered at IANA.
    pub number: u16,
    /// As nginx and OpenSSL call it.
    pub name: &'static str,
    pub version: Version,
    pub aead: &'static aead::Algorithm,
    /// By which the next keys are derived. Only TLS 1.3 does that.
    pub hkdf: hkdf::Algorithm,
    /// How many octets a traffic secret has.
    pub secret_bytes: usize,
    /// The octets of the nonce that each record carries (RFC 5288 §3).
    pub explicit_bytes: usize,
    /// How many records may be encrypted with one key: fewer than the 2^24.5 of RFC 8446 §5.5, and so many that nobody counts to it.
    pub most_records: u64,
}

impl Suite {
    /// The one of this number.
    pub fn of(number: u16) -> Option<&'static Self> {
        SUITES.iter().find(|suite| suite.number == number)
    }

    const fn tls13(number: u16, name: &'static str, cipher: Cipher) -> Self {
        Self { version: Version::Tls13, explicit_bytes: 0, ..Self::tls12(number, name, cipher) }
    }

    const fn tls12(number: u16, name: &'static str, cipher: Cipher) -> Self {
        let (aead, explicit_bytes, most_records) = match cipher {
            Cipher::Aes128Gcm => (&aead::AES_128_GCM, 8, 1 << 24),
            Cipher::Aes256Gcm => (&aead::AES_256_GCM, 8, 1 << 24),
            Cipher::ChaCha20Poly1305 => (&aead::CHACHA20_POLY1305, 0, 1 << 60),
        };
        let (hkdf, secret_bytes) = match cipher {
            Cipher::Aes256Gcm => (hkdf::HKDF_SHA384, 48),
            Cipher::Aes128Gcm | Cipher::ChaCha20Poly1305 => (hkdf::HKDF_SHA256, 32),
        };
        let version = Version::Tls12;
        Self { number, name, version, aead, hkdf, secret_bytes, explicit_bytes, most_records }
    }
}

#[derive(Clone, Copy)]
enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

static SUITES: [Suite; 9] = [
    Suite::tls13(0x1301, "TLS_AES_128_GCM_SHA256", Cipher::Aes128Gcm),
    Suite::tls13(0x1302, "TLS_AES_256_GCM_SHA384", Cipher::Aes256Gcm),
    Suite::tls13(0x1303, "TLS_CHACHA20_POLY1305_SHA256", Cipher::ChaCha20Poly1305),
    Suite::tls12(0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256", Cipher::Aes128Gcm),
    Suite::tls12(0xc02c, "ECDHE-ECDSA-AES256-GCM-SHA384", Cipher::Aes256Gcm),
    Suite::tls12(0xcca9, "ECDHE-ECDSA-CHACHA20-POLY1305", Cipher::ChaCha20Poly1305),
    Suite::tls12(0xc02f, "ECDHE-RSA-AES128-GCM-SHA256", Cipher::Aes128Gcm),
    Suite::tls12(0xc030, "ECDHE-RSA-AES256-GCM-SHA384", Cipher::Aes256Gcm),
    Suite::tls12(0xcca8, "ECDHE-RSA-CHACHA20-POLY1305", Cipher::ChaCha20Poly1305),
];

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;

    use super::*;

    #[test]
    fn each_suite_that_rustls_speaks_is_known() {
        for suite in ALL_CIPHER_SUITES {
            let known = Suite::of(suite.suite().into()).expect("it is known");
            let is_tls13 = suite.tls13().is_some();
            assert_eq!(known.version == Version::Tls13, is_tls13, "{}", known.name);
        }
        assert_eq!(ALL_CIPHER_SUITES.len(), SUITES.len());
    }
}
