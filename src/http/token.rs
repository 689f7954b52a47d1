//! Verifies tokens (JWT, RFC 7519): who somebody is, until when, and what it may. The clock is the caller's. Why a token is
//! refused is said by the name of the check, with nothing of the token.

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::{Header, crypto, decode_header};
use serde::Deserialize;
use thiserror::Error;

use crate::http::keys::VerifyingKeys;
use crate::policy::rights::Rights;
use crate::policy::topic::Filter;
use crate::wire::object::FromObject;

/// The longest token.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// How far ahead of this machine's clock `nbf` may be: it is mostly the moment of issue, and clocks differ. `exp` is not
/// stretched, so that a token is accepted exactly as long as it says.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(60);

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its name to whoever has issued the token.
    pub subject: Option<String>,
    /// From then on it is nobody any more.
    pub expires: Option<Timestamp>,
    /// What it may.
    pub rights: Rights,
}

/// Whether a text is made as JWTs are, which have three parts (RFC 7515 §3.1).
pub fn is_shaped_as_jwt(token: &str) -> bool {
    token.split('.').count() == 3
}

/// Which check a token has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[allow(missing_docs)] // Each says what it is.
pub enum Fault {
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    #[error("the token is no JWT, which has three parts with dots between them: eyJ….eyJ….c2ln…")]
    NoJwt,
    #[error("the token demands an extension (crit) that is not known here")]
    Critical,
    #[error("the token names no key (kid) that is known here")]
    Key,
    #[error("the token is signed by another algorithm (alg) than that of the key")]
    Algorithm,
    #[error("the token's signature is wrong")]
    Signature,
    #[error(
        "the token's claims are not of the right kind: exp and nbf are numbers, sub and iss strings, aud is a string or a list of \
         them, and slackwater is as {{\"subscribe\":[\"orders/*\"],\"publish\":[\"chat/7\"]}}"
    )]
    Claims,
    #[error("the token has expired (exp)")]
    Expired,
    #[error("the token is not valid yet (nbf)")]
    TooEarly,
    #[error("the token is not for this server (aud), which expects the audience of --auth-audience")]
    Audience,
    #[error("the token is not by the issuer (iss) that is expected")]
    Issuer,
    #[error("the token grants what is neither a topic, as orders/7, nor a pattern, as orders/* (slackwater)")]
    Pattern,
}

/// What tokens are held against.
#[derive(Debug, Clone)]
pub struct Verifier {
    keys: VerifyingKeys,
    audience: Option<String>,
    issuer: Option<String>,
}

impl Verifier {
    /// By these keys; for this audience and by this issuer, if they are named.
    pub fn new(keys: VerifyingKeys, audience: Option<String>, issuer: Option<String>) -> Self {
        Self { keys, audience, issuer }
    }

    /// Verifies by other keys from now on.
    pub fn replace_keys(&mut self, keys: VerifyingKeys) {
        self.keys = keys;
    }

    /// Who bears this token.
    ///
    /// # Errors
    /// The first check that it fails.
    pub fn verify(&self, token: &[u8], now: Timestamp) -> Result<Identity, Fault> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Fault::TooLong);
        }
        let text = str::from_utf8(token).map_err(|_| Fault::NoJwt)?;
        let (message, signature) = text.rsplit_once('.').ok_or(Fault::NoJwt)?;
        let header = decode_header(token).map_err(|_| Fault::NoJwt)?;
        if header.crit.is_some() {
            return Err(Fault::Critical);
        }
        self.check_signature(&header, message.as_bytes(), signature)?;
        let claims = insecure_decode_claims::<FromObject<Claims>>(token).map_err(|_| Fault::Claims)?;
        self.judge(claims.0, now)
    }

    /// Whether one of the keys that a token may be for has signed it. Each verifies by its own algorithm, and is passed over where
    /// the header says another.
    fn check_signature(&self, header: &Header, message: &[u8], signature: &str) -> Result<(), Fault> {
        let id = header.kid.as_deref();
        let mut candidates = self.keys.candidates(id).peekable();
        let mut fault = if candidates.peek().is_none() { Fault::Key } else { Fault::Algorithm };
        for key in candidates.filter(|key| key.algorithm == header.alg) {
            // Not by the crate's `decode`: it reads the header twice more, and the claims for checks that are all made here.
            if crypto::verify(signature, message, &key.key, key.algorithm).unwrap_or(false) {
                return Ok(());
            }
            fault = Fault::Signature;
        }
        // Its own key is missing, whatever else keys without a name say of it.
        Err(if self.keys.know(id) { fault } else { Fault::Key })
    }

    fn judge(&self, claims: Claims, now: Timestamp) -> Result<Identity, Fault> {
        let expires = claims.exp.map(timestamp);
        if expires.is_some_and(|expires| expires <= now) {
            return Err(Fault::Expired);
        }
        if claims.nbf.is_some_and(|begins| timestamp(begins).duration_since(now) > CLOCK_SKEW) {
            return Err(Fault::TooEarly);
        }
        // Who is addressed must be named (RFC 7519 §4.1.3), also where no audience is expected.
        let is_addressed = match (&self.audience, &claims.aud) {
            (Some(own), Some(Audience::One(named))) => own == named,
            (Some(own), Some(Audience::Several(named))) => named.contains(own),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !is_addressed {
            return Err(Fault::Audience);
        }
        if self.issuer.is_some() && self.issuer != claims.iss {
            return Err(Fault::Issuer);
        }
        let grants = claims.slackwater.map(|grants| grants.0).unwrap_or_default();
        let rights = Rights::new(patterns(&grants.subscribe)?, patterns(&grants.publish)?);
        Ok(Identity { subject: claims.sub, expires, rights })
    }
}

/// The claims that mean something here.
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    aud: Option<Audience>,
    iss: Option<String>,
    slackwater: Option<FromObject<Grants>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Grants {
    subscribe: Vec<String>,
    publish: Vec<String>,
}

fn patterns(names: &[String]) -> Result<Vec<Filter>, Fault> {
    names.iter().map(|name| Filter::parse(name).map_err(|_| Fault::Pattern)).collect()
}

/// Seconds since 1970 as a time, to the nearest millisecond; beyond all times, the first or the last one.
#[allow(clippy::cast_possible_truncation)] // A number beyond the bounds becomes the bound.
fn timestamp(seconds: f64) -> Timestamp {
    let last = if seconds > 0.0 { Timestamp::MAX } else { Timestamp::MIN };
    Timestamp::from_millisecond((seconds * 1000.0).round() as i64).unwrap_or(last)
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
