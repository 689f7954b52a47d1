//! The keys by which tokens are verified, each with its one algorithm: what a token's header says of it is compared, never
//! followed. Reads them from text; from where that comes is not known here.

use std::fmt;
use std::ops::RangeInclusive;

use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use thiserror::Error;

/// The modulus of RSA, in bytes: the least by RFC 7518 §3.3, the most that the crate verifies by.
const RSA_BYTES: RangeInclusive<usize> = 256..=512;

/// A public key of Ed25519 (RFC 8032 §5.1.5).
const ED25519_BYTES: usize = 32;

/// Why there is no key in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[allow(missing_docs)] // Each says what it is.
pub enum KeyError {
    #[error("it holds neither a public key in PEM nor a JWKS")]
    Neither,
    #[error("it holds a private key: give the public one, as 'openssl pkey -pubout' prints it")]
    Private,
    #[error("it holds more than one key in PEM: give a JWKS")]
    SeveralPem,
    #[error("it is no key of RSA with 2048 to 4096 bits, of P-256 or P-384, or of Ed25519")]
    Unusable,
    #[error("its JWKS has no public key by which signatures could be verified")]
    NoneUsable,
}

/// One key.
#[derive(Debug, Clone)]
pub(super) struct VerifyingKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
    id: Option<String>,
}

/// All that are known. At least one.
#[derive(Debug, Clone)]
pub struct VerifyingKeys {
    keys: Vec<VerifyingKey>,
    /// How many beside them cannot verify a signature.
    passed_by: usize,
}

impl VerifyingKeys {
    /// A secret that is shared with whoever issues tokens: HS256.
    pub fn of_secret(secret: &[u8]) -> Self {
        let key = DecodingKey::from_secret(secret);
        Self::of_one(VerifyingKey { algorithm: Algorithm::HS256, key, id: None })
    }

    fn of_one(key: VerifyingKey) -> Self {
        Self { keys: vec![key], passed_by: 0 }
    }

    /// Reads a public key in PEM, or a JWKS (RFC 7517 §5). Of the latter's keys those count that can verify a signature.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let text = text.trim_start_matches('\u{feff}').trim_start();
        if text.starts_with('{') { Self::read_jwks(text) } else { read_pem(text).map(Self::of_one) }
    }

    fn read_jwks(text: &str) -> Result<Self, KeyError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_str(text).map_err(|_| KeyError::Neither)?;
        let all = set.keys.len();
        let keys = set.keys.into_iter().filter_map(|key| read_jwk(&serde_json::from_value(key).ok()?));
        let keys: Vec<VerifyingKey> = keys.collect();
        if keys.is_empty() {
            return Err(KeyError::NoneUsable);
        }
        Ok(Self { passed_by: all - keys.len(), keys })
    }

    /// Whether they come from a JWKS, as issuers publish it for all whom they make tokens for.
    pub fn are_a_set(&self) -> bool {
        self.keys.len() > 1 || self.keys.iter().any(|key| key.id.is_some())
    }

    /// How many count, if not all that were there do.
    pub fn tally(&self) -> Option<String> {
        let (count, all) = (self.keys.len(), self.keys.len() + self.passed_by);
        (self.passed_by > 0)
            .then(|| format!("{count} of {all} keys count: the others verify no signatures here"))
    }

    /// Whether a token that gives this name has to be signed by one of the candidates: names mean nothing where no key has one.
    pub(super) fn know(&self, id: Option<&str>) -> bool {
        id.is_none()
            || self.keys.iter().any(|key| key.id.as_deref() == id)
            || self.keys.iter().all(|key| key.id.is_none())
    }

    /// The keys of the name that a token gives, or else those without one. A token that gives none may be for an only key. Several
    /// may have the same name (RFC 7517 §4.5), as they do in some rotations.
    pub(super) fn candidates(&self, id: Option<&str>) -> impl Iterator<Item = &VerifyingKey> {
        let is_only = id.is_none() && self.keys.len() == 1;
        let wanted = id.filter(|id| self.keys.iter().any(|key| key.id.as_deref() == Some(id)));
        self.keys.iter().filter(move |key| is_only || key.id.as_deref() == wanted)
    }
}

/// The algorithm of each and its name, if it has one.
impl fmt::Display for VerifyingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, key) in self.keys.iter().enumerate() {
            let separator = if number > 0 { ", " } else { "" };
            write!(f, "{separator}{:?}", key.algorithm)?;
            key.id.iter().try_for_each(|id| write!(f, " ({id:?})"))?;
        }
        Ok(())
    }
}

fn read_pem(text: &str) -> Result<VerifyingKey, KeyError> {
    match text.matches("-----BEGIN ").count() {
        0 => return Err(KeyError::Neither),
        _ if text.contains("PRIVATE KEY-----") => return Err(KeyError::Private),
        1 => {}
        _ => return Err(KeyError::SeveralPem),
    }
    let octets = text.as_bytes();
    let readings = [
        (DecodingKey::from_rsa_pem(octets), &[Algorithm::RS256][..]),
        (DecodingKey::from_ec_pem(octets), &[Algorithm::ES256, Algorithm::ES384]),
        (DecodingKey::from_ed_pem(octets), &[Algorithm::EdDSA]),
    ];
    let keys = readings.into_iter().filter_map(|(key, algorithms)| Some((key.ok()?, algorithms)));
    let mut usable = keys.filter_map(|(key, algorithms)| {
        let algorithm = *algorithms.iter().find(|algorithm| is_usable(&key, **algorithm))?;
        Some(VerifyingKey { algorithm, key, id: None })
    });
    usable.next().ok_or(KeyError::Unusable)
}

fn read_jwk(jwk: &Jwk) -> Option<VerifyingKey> {
    let is_for_signatures = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let algorithms = match (&jwk.algorithm, jwk.common.key_algorithm) {
        // A secret is no public key, and not what is expected in a file that others may read.
        (AlgorithmParameters::OctetKey(_), _) => return None,
        (_, Some(algorithm)) => &[named(algorithm)?][..],
        (AlgorithmParameters::RSA(_), None) => &[Algorithm::RS256],
        (AlgorithmParameters::EllipticCurve(_), None) => &[Algorithm::ES256, Algorithm::ES384],
        (AlgorithmParameters::OctetKeyPair(_), None) => &[Algorithm::EdDSA],
        _ => return None,
    };
    let key = DecodingKey::from_jwk(jwk).ok().filter(|_| is_for_signatures)?;
    let algorithm = *algorithms.iter().find(|algorithm| is_usable(&key, **algorithm))?;
    Some(VerifyingKey { algorithm, key, id: jwk.common.key_id.clone() })
}

fn named(algorithm: KeyAlgorithm) -> Option<Algorithm> {
    Some(match algorithm {
        KeyAlgorithm::RS256 => Algorithm::RS256,
        KeyAlgorithm::RS384 => Algorithm::RS384,
        KeyAlgorithm::RS512 => Algorithm::RS512,
        KeyAlgorithm::PS256 => Algorithm::PS256,
        KeyAlgorithm::PS384 => Algorithm::PS384,
        KeyAlgorithm::PS512 => Algorithm::PS512,
        KeyAlgorithm::ES256 => Algorithm::ES256,
        KeyAlgorithm::ES384 => Algorithm::ES384,
        KeyAlgorithm::EdDSA => Algorithm::EdDSA,
        _ => return None,
    })
}

/// Whether signatures can be verified with it. The crate reads a key of RSA only when it verifies, and panics on one of Ed25519
/// that is too short.
fn is_usable(key: &DecodingKey, algorithm: Algorithm) -> bool {
    use jsonwebtoken::DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
    let is_modulus =
        |modulus: &[u8]| RSA_BYTES.contains(&modulus.iter().skip_while(|octet| **octet == 0).count());
    let has_its_size = match (key.family(), key.kind()) {
        (AlgorithmFamily::Rsa, RsaModulusExponent { n, .. }) => is_modulus(n),
        (AlgorithmFamily::Rsa, SecretOrDer(der)) => {
            let read = (DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key)(der);
            read.is_ok_and(|(modulus, _)| is_modulus(&modulus))
        }
        (AlgorithmFamily::Ed, SecretOrDer(octets)) => octets.len() == ED25519_BYTES,
        _ => true,
    };
    has_its_size && (DEFAULT_PROVIDER.verifier_factory)(&algorithm, key).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn algorithm(text: &str) -> Result<Algorithm, KeyError> {
        VerifyingKeys::read(text).map(|keys| keys.keys[0].algorithm)
    }

    /// The algorithms of the keys by which a token of this name may be signed.
    fn found(keys: &VerifyingKeys, id: Option<&str>) -> Vec<Algorithm> {
        keys.candidates(id).map(|key| key.algorithm).collect()
    }

    #[test]
    fn a_public_key_decides_its_algorithm() {
        for (pem, expected) in [
            (include_str!("../../tests/keys/rsa.pub.pem"), Algorithm::RS256),
            (include_str!("../../tests/keys/ec.pub.pem"), Algorithm::ES256),
            (include_str!("../../tests/keys/ed.pub.pem"), Algorithm::EdDSA),
        ] {
            assert_eq!(algorithm(pem), Ok(expected));
            assert_eq!(algorithm(&format!("\u{feff}\n# a comment\n{pem}")), Ok(expected));
        }
    }

    #[test]
    fn what_is_no_public_key_is_told_apart() {
        let ec = include_str!("../../tests/keys/ec.pub.pem");
        let broken = ec.replace('M', "N");
        let two = ec.repeat(2);
        for (text, why) in [
            ("", KeyError::Neither),
            ("sesame", KeyError::Neither),
            ("{\"keys\":", KeyError::Neither),
            ("{}", KeyError::Neither),
            (include_str!("../../tests/keys/ec.pem"), KeyError::Private),
            (include_str!("../../tests/keys/rsa.pem"), KeyError::Private),
            (include_str!("../../tests/keys/rsa1024.pub.pem"), KeyError::Unusable),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", KeyError::Unusable),
            (&broken, KeyError::Unusable),
            (&two, KeyError::SeveralPem),
            (r#"{"keys":[]}"#, KeyError::NoneUsable),
            (r#"{"keys":[{"kty":"oct","k":"AAAA","alg":"HS256"},{"kty":"new"},7]}"#, KeyError::NoneUsable),
        ] {
            assert_eq!(algorithm(text), Err(why), "{text}");
        }
    }

    #[test]
    fn a_key_of_another_size_than_its_kind_has_is_passed_by() {
        for x in
            ["", "QyqGXWNvqdlnxm_XshjieJbUHj6u1j39YAb4j0zsC5", "QyqGXWNvqdlnxm_XshjieJbUHj6u1j39YAb4j0zsC5YA"]
        {
            let jwks = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}]}}"#);
            assert_eq!(algorithm(&jwks), Err(KeyError::NoneUsable), "{x}");
        }
        for (letters, accepted) in [(341, false), (342, true), (683, true), (684, false)] {
            let n = format!("z{}", "A".repeat(letters - 1));
            let jwks = format!(r#"{{"keys":[{{"kty":"RSA","n":"{n}","e":"AQAB"}}]}}"#);
            assert_eq!(algorithm(&jwks).is_ok(), accepted, "{letters}");
        }
    }

    #[test]
    fn of_a_jwks_those_count_that_verify_and_each_is_found_by_its_id() {
        let jwks = include_str!("../../tests/keys/jwks.json");
        let keys = VerifyingKeys::read(jwks).unwrap();
        assert_eq!(found(&keys, Some("rsa")), [Algorithm::RS256]);
        assert_eq!(found(&keys, Some("ec")), [Algorithm::ES256]);
        let tally = "3 of 5 keys count: the others verify no signatures here";
        assert_eq!((keys.tally().as_deref(), keys.keys.len()), (Some(tally), 3));
        // Without an id, or by one that is not there, it can only be the one that has none.
        for id in [None, Some("enc"), Some("x"), Some("")] {
            assert_eq!(found(&keys, id), [Algorithm::EdDSA], "{id:?}");
        }
        let named =
            VerifyingKeys::read(&jwks.replace(r#""crv": "Ed25519", "#, r#""crv": "Ed25519", "kid": "ed", "#));
        let named = named.unwrap();
        for (id, algorithms) in [(None, &[][..]), (Some("enc"), &[]), (Some("ed"), &[Algorithm::EdDSA])] {
            assert_eq!(found(&named, id), algorithms, "{id:?}");
        }
    }

    #[test]
    fn several_keys_may_have_the_same_name_or_none() {
        let jwks = include_str!("../../tests/keys/jwks.json");
        let twice = VerifyingKeys::read(&jwks.replace(r#""kid": "rsa""#, r#""kid": "ec""#)).unwrap();
        assert_eq!(found(&twice, Some("ec")), [Algorithm::RS256, Algorithm::ES256]);
        let nameless = VerifyingKeys::read(&jwks.replace(r#""kid": "#, r#""other": "#)).unwrap();
        let all = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
        assert_eq!((found(&nameless, None), found(&nameless, Some("x"))), (all.to_vec(), all.to_vec()));
        let is_known = |keys: &VerifyingKeys| [None, Some("ec"), Some("x")].map(|id| keys.know(id));
        assert_eq!((is_known(&twice), is_known(&nameless)), ([true, true, false], [true; 3]));
    }

    #[test]
    fn an_only_key_with_an_id_is_for_tokens_that_name_none_and_for_no_others() {
        let jwks: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/keys/jwks.json")).unwrap();
        let one = serde_json::json!({ "keys": [jwks["keys"][2]] }).to_string();
        let keys = VerifyingKeys::read(&one).unwrap();
        assert_eq!(keys.tally(), None);
        for (id, count) in [(None, 1), (Some("ec"), 1), (Some("rsa"), 0)] {
            assert_eq!(found(&keys, id).len(), count, "{id:?}");
        }
    }

    #[test]
    fn keys_are_not_shown() {
        let shown = format!("{:?}", VerifyingKeys::of_secret(b"sesame sesame"));
        assert!(!shown.contains("sesame") && !shown.contains("115"), "{shown}");
    }
}
