//! TLS on a virtual connection: what is spoken with newcomers who speak it, and the client's side of it. It answers as soon as something
//! reaches it, whether the client reads or not.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::sync::{Arc, LazyLock};

use bytes::BytesMut;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore};
use slackwater::server::transport::Security;
use slackwater::wire::tls::{Sent, ServerTerms, Session, TlsError};

const NAME: &str = "slackwater.test";

static CONFIGS: LazyLock<(ServerTerms, Arc<ClientConfig>)> = LazyLock::new(|| {
    let certified = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("the name is one");
    let certificate = certified.cert.der();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("it is a certificate");
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has what they need")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let tickets = Ticketer::new().expect("there is randomness");
    let terms = ServerTerms::new(vec![certificate.clone()], key, tickets).expect("it is its key");
    (terms, client.into())
});

/// What is spoken with those who speak TLS.
pub fn security() -> Security {
    Security::tls(CONFIGS.0.clone())
}

/// The client's side.
pub struct Layer {
    session: Session,
    /// How it begins, until it does.
    hello: BytesMut,
    /// What it is to say once there are keys.
    waiting: Vec<u8>,
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Layer")
    }
}

impl Layer {
    /// Shakes hands once it has something to say.
    pub fn new() -> Self {
        let (name, mut hello) = (NAME.try_into().expect("it is one"), BytesMut::new());
        let session = Session::connect(CONFIGS.1.clone(), name, &mut hello).expect("there is randomness");
        Self { session, hello, waiting: vec![] }
    }

    /// Says this, now or once there are keys.
    pub fn send(&mut self, plaintext: &[u8], out: &mut VecDeque<u8>) {
        self.waiting.extend(plaintext);
        let mut said = self.hello.split();
        match self.session.send(&[IoSlice::new(&self.waiting)], &mut said) {
            Ok(Sent::Whole) => self.waiting.clear(),
            Ok(Sent::NotYet) => {}
            Err(why) => panic!("it cannot say anything any more: {why}"),
        }
        out.extend(&said);
    }

    /// What this means that has come.
    pub fn hear(&mut self, ciphertext: &[u8], out: &mut VecDeque<u8>) -> Result<Vec<u8>, TlsError> {
        let (mut plaintext, mut said) = (vec![], BytesMut::new());
        self.session.receive(&mut ciphertext.to_vec(), &mut plaintext, &mut said)?;
        out.extend(&said);
        if !self.waiting.is_empty() {
            self.send(&[], out);
        }
        Ok(plaintext)
    }

    /// Says that nothing follows.
    pub fn close(&mut self, out: &mut VecDeque<u8>) {
        let mut said = BytesMut::new();
        self.session.close(&mut said);
        out.extend(&said);
    }
}
