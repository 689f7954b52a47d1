//! What a client holds of each server that it connects to: whom it trusts to vouch for one, which versions it speaks, and the
//! certificate that it shows where it is asked for one. Where these are kept is for others.

use std::sync::Arc;

use bytes::BytesMut;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use super::terms::TermsError;
use super::{Session, TlsError};

/// Who vouches for servers, one at least.
#[derive(Debug, Clone)]
pub struct Authorities(Arc<RootCertStore>);

impl Authorities {
    /// Of certificates, those that are of no kind that is known left out; `None` if that leaves none.
    pub fn new(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Option<Self> {
        let mut store = RootCertStore::empty();
        let (known, _) = store.add_parsable_certificates(certificates);
        (known > 0).then(|| Self(Arc::new(store)))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// What is the same for all servers that a client connects to.
#[derive(Debug, Clone)]
pub struct ClientTerms(Arc<ClientConfig>);

impl ClientTerms {
    /// Of those who vouch for servers, and of the client's own certificate with those that vouch for it, its own first, and its key.
    ///
    /// # Errors
    /// When these two do not belong together, or one of them is of a kind that is not known.
    pub fn new(
        authorities: Authorities,
        own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> Result<Self, TermsError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|e| TermsError::of(&e))?
            .with_root_certificates(authorities.0);
        let mut config = match own {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain, key).map_err(|e| TermsError::of(&e))?
            }
            None => builder.with_no_client_auth(),
        };
        // A session that is resumed shows no certificate, which may have expired meanwhile.
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }

    /// Begins a session with a server of this name. What is said first is appended to `out`.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn connect(&self, name: ServerName<'static>, out: &mut BytesMut) -> Result<Session, TlsError> {
        Session::connect(self.0.clone(), name, out)
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    #[test]
    fn those_that_are_no_certificates_vouch_for_nobody() {
        let certified = rcgen::generate_simple_self_signed(["engine.test".to_owned()]).unwrap();
        let garbage = CertificateDer::from(vec![1, 2, 3]);
        let both = Authorities::new([garbage.clone(), certified.cert.der().clone()]);
        assert_eq!((both.map(|both| both.count()), Authorities::new([garbage]).is_none()), (Some(1), true));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let [one, other] = ["one.test", "other.test"]
            .map(|name| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap());
        let chain = vec![one.cert.der().clone()];
        let with = |key: &rcgen::KeyPair| {
            let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
            ClientTerms::new(Authorities::new(chain.clone()).unwrap(), Some((chain.clone(), key))).err()
        };
        assert_eq!((with(&one.signing_key), with(&other.signing_key)), (None, Some(TermsError::Apart)));
    }
}
