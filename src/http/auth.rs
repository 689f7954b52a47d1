//! The door for those who show a token, and for those who do not: who may become a client, and who may publish beside the
//! operators. What a request may not is answered before it is anything else.

use jiff::Timestamp;

use crate::http::credentials;
use crate::http::keys::VerifyingKeys;
use crate::http::token::{Fault, Identity, Verifier};
use crate::policy::idempotency::Scope;
use crate::policy::rights::{Publisher, Rights};
use crate::policy::topic::Filter;
use crate::wire::request::Request;
use crate::wire::response::Response;
use crate::wire::subscriptions::Subscriptions;

/// Who may what, where tokens are expected.
#[derive(Debug, Clone)]
pub struct Auth {
    verifier: Verifier,
    anonymous: Rights,
}

impl Auth {
    /// By tokens that this verifies; without one, these may be heard.
    pub fn new(verifier: Verifier, anonymous: Vec<Filter>) -> Self {
        Self { verifier, anonymous: Rights::new(anonymous, vec![]) }
    }

    /// Verifies by other keys from now on.
    pub fn replace_keys(&mut self, keys: VerifyingKeys) {
        self.verifier.replace_keys(keys);
    }

    /// Who bears this token.
    ///
    /// # Errors
    /// The first check that it fails.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, Fault> {
        self.verifier.verify(token.as_bytes(), now)
    }

    /// What a client may, whether it has shown a token or not.
    pub fn rights_of<'a>(&'a self, identity: Option<&'a Identity>) -> &'a Rights {
        identity.map_or(&self.anonymous, |identity| &identity.rights)
    }

    /// Who a client is that may hear all that its request for a WebSocket names; nobody, without a token.
    ///
    /// # Errors
    /// What it is answered instead.
    pub fn admit(&self, request: &Request, now: Timestamp) -> Result<Option<Box<Identity>>, Response> {
        let token = credentials::listeners_token(request);
        let identity = token.map(|token| self.verify(&token, now)).transpose().map_err(bad_token)?;
        if identity.is_none() && !self.anonymous.hears_anything() {
            return Err(no_token("a token is needed"));
        }
        let rights = self.rights_of(identity.as_ref());
        let asked = Subscriptions::read(request);
        match asked.filters.iter().find(|filter| !rights.may_subscribe(filter)) {
            None => Ok(identity.map(Box::new)),
            Some(default) if asked.names_none => {
                let why = format!(
                    "{:?}, which is heard where no topic is named, may not be heard: name a topic",
                    default.as_str()
                );
                Err(if identity.is_none() { no_token(&(why + ", or show a token")) } else { forbidden(&why) })
            }
            Some(filter) if identity.is_none() => {
                Err(no_token(&format!("a token is needed to hear {:?}", filter.as_str())))
            }
            Some(filter) => {
                Err(forbidden(&format!("the token does not grant to hear {:?}", filter.as_str())))
            }
        }
    }

    /// Who publishes by this token, and what to.
    ///
    /// # Errors
    /// What it is answered instead.
    pub fn admit_publisher(&self, token: &str, now: Timestamp) -> Result<Publisher, Response> {
        let Identity { subject, rights, .. } = self.verify(token, now).map_err(bad_token)?;
        if rights.publishes_anything() {
            Ok(Publisher { rights, scope: Scope::of_subject(subject.as_deref()) })
        } else {
            Err(forbidden("the token does not grant to publish"))
        }
    }

    /// What whoever shows this token is answered that asks for what is for operators alone.
    pub fn refuse_as_operator(&self, token: &str, now: Timestamp) -> Response {
        match self.verify(token, now) {
            Ok(_) => forbidden("the token is a client's, and this is for operators"),
            Err(fault) => bad_token(fault),
        }
    }
}

/// Nothing was shown, so nothing is wrong with it: no error code (RFC 6750 §3.1).
pub(super) fn no_token(why: &str) -> Response {
    Response::error(401, why).with("WWW-Authenticate", "Bearer")
}

/// Something was shown that does not count (RFC 6750 §3.1).
pub(super) fn wrong_token(why: &str) -> Response {
    Response::error(401, why).with("WWW-Authenticate", "Bearer error=\"invalid_token\"")
}

fn bad_token(fault: Fault) -> Response {
    wrong_token(&fault.to_string())
}

/// A token is as it should be, and does not grant this.
pub fn forbidden(why: &str) -> Response {
    Response::error(403, why).with("WWW-Authenticate", "Bearer error=\"insufficient_scope\"")
}
