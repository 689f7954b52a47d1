//! A server's side until the two have agreed on keys: rustls' own, and what is needed to go on without it. Nothing here lasts longer
//! than the handshake.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::{BufMut, BytesMut};
use rustls::server::UnbufferedServerConnection;
use rustls::{AlertDescription, CommonState, HandshakeKind, KeyLog};

use super::keys::{Keys, Secret, secret};
use super::records::Records;
use super::suite::{Suite, Version};
use super::terms::ALPN;
use super::{ServerTerms, TlsError};

/// A handshake under way.
pub struct Handshake {
    pub machine: UnbufferedServerConnection,
    caught: Arc<Caught>,
}

impl Handshake {
    /// One that nothing has come of.
    pub fn new(terms: &ServerTerms) -> Result<Self, TlsError> {
        let caught = Arc::new(Caught::default());
        // Some references are counted, and nothing long is copied.
        let mut config = (*terms.0).clone();
        config.key_log = caught.clone();
        let machine = UnbufferedServerConnection::new(config.into()).map_err(|e| TlsError::of(&e))?;
        Ok(Self { machine, caught })
    }

    /// Goes on without rustls, which has said everything that it has to.
    pub fn end(self) -> Result<Records, TlsError> {
        const UNKNOWN: TlsError = TlsError::Internal("the keys of a handshake are not known");
        let suite = suite(&self.machine).ok_or(UNKNOWN)?;
        let is_alpn = self.machine.alpn_protocol() == Some(ALPN);
        let is_resumed = is_resumed(&self.machine);
        let (keys, _) = self.machine.dangerous_into_kernel_connection().map_err(|e| TlsError::of(&e))?;
        let secret = |caught: &OnceLock<Secret>| match suite.version {
            Version::Tls12 => Some(Secret::new([0; 48])),
            Version::Tls13 => caught.get().cloned(),
        };
        let rx = secret(&self.caught.client).and_then(|secret| Keys::extracted(keys.rx, secret));
        let tx = secret(&self.caught.server).and_then(|secret| Keys::extracted(keys.tx, secret));
        let mut records = Records::new(suite, rx.ok_or(UNKNOWN)?, tx.ok_or(UNKNOWN)?);
        (records.is_alpn, records.is_resumed) = (is_alpn, is_resumed);
        Ok(records)
    }

    /// Ends it with an alert, in the name of rustls, which has none for this. It is encrypted with what the server encrypts with by
    /// now (RFC 8446 §6). Those keys are not to be had where a session of TLS 1.2 is resumed, so nothing is said there.
    pub fn alert(&self, alert: AlertDescription, out: &mut BytesMut) {
        let suite = suite(&self.machine).filter(|suite| suite.version == Version::Tls13);
        match suite.zip(self.caught.server.get()) {
            Some((suite, secret)) => {
                let keys = Keys::of(suite, secret.clone());
                Records::new(suite, keys.clone(), keys).alert(alert, out);
            }
            None if is_resumed(&self.machine) => {}
            None => plain_alert(alert, out),
        }
    }
}

/// Appends a fatal alert as it is before there are keys.
pub fn plain_alert(alert: AlertDescription, out: &mut BytesMut) {
    out.put_slice(&[21, 3, 3, 0, 2, 2, alert.into()]);
}

/// What was agreed on.
pub fn suite(state: &CommonState) -> Option<&'static Suite> {
    Suite::of(state.negotiated_cipher_suite()?.suite().into())
}

/// Whether it continues a session of before.
pub fn is_resumed(state: &CommonState) -> bool {
    state.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// Catches the traffic secrets of one connection, which rustls gives only to who logs them.
#[derive(Default)]
struct Caught {
    client: OnceLock<Secret>,
    server: OnceLock<Secret>,
}

impl Caught {
    fn slot(&self, label: &str) -> Option<&OnceLock<Secret>> {
        match label {
            "CLIENT_TRAFFIC_SECRET_0" => Some(&self.client),
            "SERVER_TRAFFIC_SECRET_0" => Some(&self.server),
            _ => None,
        }
    }
}

impl KeyLog for Caught {
    fn log(&self, label: &str, _: &[u8], octets: &[u8]) {
        if let Some((slot, secret)) = self.slot(label).zip(secret(octets)) {
            // There is only one of each in a handshake.
            let _ = slot.set(secret);
        }
    }

    fn will_log(&self, label: &str) -> bool {
        self.slot(label).is_some()
    }
}

impl fmt::Debug for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Caught(..)")
    }
}
