//! Makes tokens, for which `token` is the other half. The clock is the caller's, and so is the text of the key.

use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;
use serde_json::json;
use thiserror::Error;

use crate::http::keys::VerifyingKeys;
use crate::policy::topic::Filter;

/// Why there is no key to sign by in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[allow(missing_docs)] // Each says what it is.
pub enum SigningKeyError {
    #[error("it holds no private key in PEM")]
    NoPem,
    #[error("it holds a public key: give the private one")]
    Public,
    #[error("it holds a certificate: give the private key that belongs to it, and nothing else")]
    Certificate,
    #[error("it holds more than one key in PEM")]
    Several,
    #[error("its key has a passphrase: take that away with 'openssl pkcs8 -topk8 -nocrypt'")]
    Encrypted,
    #[error("its key is not in PKCS #8: write it so with 'openssl pkcs8 -topk8 -nocrypt'")]
    Sec1,
    #[error("it is no key of RSA with 2048 to 4096 bits, of P-256 or P-384, or of Ed25519")]
    Unusable,
}

/// What a token says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// Whose it is.
    pub subject: Option<String>,
    /// What may be heard.
    pub subscribe: Vec<Filter>,
    /// What may be published to.
    pub publish: Vec<Filter>,
    /// Whom it is for.
    pub audience: Option<String>,
    /// Who has issued it.
    pub issuer: Option<String>,
    /// For how long it counts; `None` for ever.
    pub lifetime: Option<Duration>,
}

/// What tokens are signed by. Its algorithm is its own.
#[derive(Debug, Clone)]
pub struct SigningKey {
    algorithm: Algorithm,
    key: EncodingKey,
    id: Option<String>,
}

impl SigningKey {
    /// A secret that is shared with the server: HS256.
    pub fn of_secret(secret: &[u8]) -> Self {
        Self { algorithm: Algorithm::HS256, key: EncodingKey::from_secret(secret), id: None }
    }

    /// Reads a private key in PEM. What can be verified by no server is refused.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn read(pem: &str) -> Result<Self, SigningKeyError> {
        if pem.contains("-----BEGIN CERTIFICATE-----") {
            return Err(SigningKeyError::Certificate);
        }
        match pem.matches("-----BEGIN ").count() {
            0 => return Err(SigningKeyError::NoPem),
            1 => {}
            // OpenSSL writes the curve in front of a key that is not in PKCS #8.
            _ if pem.contains("-----BEGIN EC PRIVATE KEY-----") => return Err(SigningKeyError::Sec1),
            _ => return Err(SigningKeyError::Several),
        }
        for (mark, why) in [
            ("PUBLIC KEY-----", SigningKeyError::Public),
            ("ENCRYPTED", SigningKeyError::Encrypted),
            ("-----BEGIN EC PRIVATE KEY-----", SigningKeyError::Sec1),
        ] {
            if pem.contains(mark) {
                return Err(why);
            }
        }
        let octets = pem.as_bytes();
        let readings = [
            (EncodingKey::from_ed_pem(octets), &[Algorithm::EdDSA][..]),
            (EncodingKey::from_ec_pem(octets), &[Algorithm::ES256, Algorithm::ES384]),
            // The crate's private operations tell by their time something of the key (RUSTSEC-2023-0071). Nobody can ask this
            // program for signatures by the thousand: it makes one for whoever has the key anyway.
            (EncodingKey::from_rsa_pem(octets), &[Algorithm::RS256]),
        ];
        let keys = readings.into_iter().filter_map(|(key, algorithms)| Some((key.ok()?, algorithms)));
        let mut keys = keys.flat_map(|(key, algorithms)| {
            algorithms.iter().map(move |algorithm| Self { algorithm: *algorithm, key: key.clone(), id: None })
        });
        keys.find(|key| key.verifying_keys().is_some()).ok_or(SigningKeyError::Unusable)
    }

    /// The same key, by this name (`kid`).
    pub fn named(self, id: Option<String>) -> Self {
        Self { id, ..self }
    }

    /// What a server has that verifies by it; `None` where none could.
    pub fn verifying_keys(&self) -> Option<VerifyingKeys> {
        if self.algorithm == Algorithm::HS256 {
            return Some(VerifyingKeys::of_secret(self.key.as_bytes()));
        }
        let public = Jwk::from_encoding_key(&self.key, self.algorithm).ok()?;
        VerifyingKeys::read(&json!({ "keys": [public] }).to_string()).ok()
    }
}

/// Makes a token. It expires with a whole second.
///
/// # Errors
/// When nothing can be signed by the key after all.
pub fn mint(grant: &Grant, key: &SigningKey, now: Timestamp) -> Result<String, jsonwebtoken::errors::Error> {
    let seconds = |lifetime: Duration| i64::try_from(lifetime.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
    let patterns = |filters: &[Filter]| filters.iter().map(|filter| filter.as_str().to_owned()).collect();
    let claims = Claims {
        iss: grant.issuer.as_deref(),
        sub: grant.subject.as_deref(),
        aud: grant.audience.as_deref(),
        iat: now.as_second(),
        exp: grant.lifetime.map(|lifetime| now.as_second().saturating_add(seconds(lifetime))),
        slackwater: Rights { subscribe: patterns(&grant.subscribe), publish: patterns(&grant.publish) },
    };
    let header = Header { kid: key.id.clone(), ..Header::new(key.algorithm) };
    encode(&header, &claims, &key.key)
}

#[derive(Serialize)]
struct Claims<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    slackwater: Rights,
}

#[derive(Serialize)]
struct Rights {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscribe: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    publish: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::token::{Fault, Identity, Verifier};
    use crate::policy::rights;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn now() -> Timestamp {
        Timestamp::from_millisecond(1_000_000_250).unwrap()
    }

    fn filters(patterns: &str) -> Vec<Filter> {
        patterns.split_whitespace().map(|pattern| Filter::parse(pattern).unwrap()).collect()
    }

    fn grant() -> Grant {
        Grant {
            subject: Some("ada".to_owned()),
            subscribe: filters("orders/* news"),
            publish: filters("chat/7"),
            audience: Some("us".to_owned()),
            issuer: Some("we".to_owned()),
            lifetime: Some(Duration::from_millis(59_500)),
        }
    }

    fn verified(keys: VerifyingKeys, token: &str, now: Timestamp) -> Result<Identity, Fault> {
        Verifier::new(keys, Some("us".to_owned()), Some("we".to_owned())).verify(token.as_bytes(), now)
    }

    #[test]
    fn a_token_is_accepted_with_all_that_it_grants_until_it_expires() {
        let keys = [
            SigningKey::of_secret(SECRET),
            SigningKey::read(include_str!("../../tests/keys/ec.pem")).unwrap(),
            SigningKey::read(include_str!("../../tests/keys/ed.pem")).unwrap(),
            SigningKey::read(include_str!("../../tests/keys/rsa.pem")).unwrap(),
        ];
        let servers = [
            VerifyingKeys::of_secret(SECRET),
            VerifyingKeys::read(include_str!("../../tests/keys/ec.pub.pem")).unwrap(),
            VerifyingKeys::read(include_str!("../../tests/keys/ed.pub.pem")).unwrap(),
            VerifyingKeys::read(include_str!("../../tests/keys/rsa.pub.pem")).unwrap(),
        ];
        for (key, server) in keys.iter().zip(servers) {
            let token = mint(&grant(), key, now()).unwrap();
            let expires = Timestamp::from_second(1_000_060).unwrap();
            let expected = Identity {
                subject: Some("ada".to_owned()),
                expires: Some(expires),
                rights: rights::Rights::new(filters("orders/* news"), filters("chat/7")),
            };
            assert_eq!(verified(server.clone(), &token, now()), Ok(expected.clone()), "{key:?}");
            assert_eq!(verified(key.verifying_keys().unwrap(), &token, now()), Ok(expected), "{key:?}");
            assert_eq!(verified(server, &token, expires), Err(Fault::Expired), "{key:?}");
        }
    }

    #[test]
    fn what_is_not_named_is_not_claimed() {
        let token = mint(&Grant::default(), &SigningKey::of_secret(SECRET), now()).unwrap();
        let any = Verifier::new(VerifyingKeys::of_secret(SECRET), None, None);
        let nobody = Identity { subject: None, expires: None, rights: rights::Rights::default() };
        assert_eq!(any.verify(token.as_bytes(), now()), Ok(nobody));
        assert_eq!(verified(VerifyingKeys::of_secret(SECRET), &token, now()), Err(Fault::Audience));
    }

    #[test]
    fn a_key_of_a_jwks_is_found_by_its_name() {
        let jwks = VerifyingKeys::read(include_str!("../../tests/keys/jwks.json")).unwrap();
        let key = SigningKey::read(include_str!("../../tests/keys/ec.pem")).unwrap();
        let verified = |id: Option<&str>| {
            let key = key.clone().named(id.map(str::to_owned));
            verified(jwks.clone(), &mint(&grant(), &key, now()).unwrap(), now()).map(drop)
        };
        assert_eq!(verified(Some("ec")), Ok(()));
        assert_eq!(verified(Some("rsa")), Err(Fault::Algorithm));
        assert_eq!(verified(None), Err(Fault::Algorithm));
    }

    #[test]
    fn what_is_no_private_key_is_told_apart() {
        let ec = include_str!("../../tests/keys/ec.pem");
        let as_pem = |name: &str| format!("-----BEGIN {name}-----\nAAAA\n-----END {name}-----\n");
        for (text, why) in [
            (String::new(), SigningKeyError::NoPem),
            ("sesame".to_owned(), SigningKeyError::NoPem),
            (include_str!("../../tests/keys/jwks.json").to_owned(), SigningKeyError::NoPem),
            (include_str!("../../tests/keys/ec.pub.pem").to_owned(), SigningKeyError::Public),
            (as_pem("CERTIFICATE"), SigningKeyError::Certificate),
            (as_pem("CERTIFICATE") + ec, SigningKeyError::Certificate),
            (ec.repeat(2), SigningKeyError::Several),
            (ec.replace('M', "N"), SigningKeyError::Unusable),
            (as_pem("ENCRYPTED PRIVATE KEY"), SigningKeyError::Encrypted),
            (as_pem("EC PRIVATE KEY"), SigningKeyError::Sec1),
            (as_pem("EC PARAMETERS") + &as_pem("EC PRIVATE KEY"), SigningKeyError::Sec1),
            (as_pem("PRIVATE KEY"), SigningKeyError::Unusable),
        ] {
            assert_eq!(SigningKey::read(&text).map(drop), Err(why), "{text}");
        }
    }

    #[test]
    fn keys_are_not_shown() {
        let shown = format!("{:?}", SigningKey::of_secret(b"sesame sesame"));
        assert!(!shown.contains("sesame") && !shown.contains("115"), "{shown}");
    }
}
