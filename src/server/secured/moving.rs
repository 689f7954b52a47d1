//! TLS on a socket as it is handed over to another process, and as one that was handed over goes on.
//!
//! Invariant: no number of a record is used twice with the same keys, or whoever hears both could read them (RFC 8446 §5.3). What is
//! packed is a copy. The process that has written it encrypts nothing before it knows that nobody else goes on with that, and the one
//! that has read it nothing before all is its own: only `write`, `finish` and `receive` encrypt, and those wait on both sides until
//! then, as they have to without TLS.

use super::encrypted::Encrypted;
use super::{Ahead, Layer, Secured};
use crate::server::socket::Received;
use crate::wire::handover::Damaged;
use crate::wire::handover::message::decode;
use crate::wire::handover::secured::{Open, Tls};
use crate::wire::octets::Octets;
use crate::wire::tls::{Session, State};

/// A session without what has come of a record.
const SESSION_BYTES: usize = 512;

impl<S> Secured<S> {
    /// One whose two sides have agreed on keys in another process.
    ///
    /// # Errors
    /// When it cannot stand so.
    pub fn go_on(socket: S, open: Open) -> Result<Self, Damaged> {
        let Open { session, unsent, owes_byte, ciphertext, plaintext } = open;
        let session = Session::import(&decode(&session)?).map_err(|_| Damaged)?;
        let has_ahead = !ciphertext.is_empty() || !plaintext.is_empty();
        let ahead = has_ahead.then(|| Box::new(Ahead { ciphertext, plaintext: plaintext[..].into() }));
        // Whether that has been noted, the other process alone has known. It may be said again.
        let next = (session.state() == State::PeerClosed).then_some(Received::Finished);
        let (layer, beneath) =
            (Layer::Session(Box::new(session)), Encrypted { socket, unsent: unsent[..].into() });
        Ok(Self { beneath, layer, owes_byte, ahead, next, is_emptied: false })
    }

    /// Whether another process can go on with it: it is open, or it has not begun. In a handshake both sides know more than can be
    /// written.
    pub(super) fn can_be_packed(&self) -> bool {
        match &self.layer {
            Layer::Awaited(_) => self.ahead.is_none(),
            Layer::Preamble(..) => true,
            Layer::Session(session) => session.agreed().is_some(),
            Layer::Plain | Layer::Over(_) => false,
        }
    }

    pub(super) fn packed(&self) -> Option<Tls> {
        match &self.layer {
            Layer::Awaited(_) => Some(Tls::Awaited),
            Layer::Preamble(said, _) => Some(Tls::Preamble { said: said.clone() }),
            Layer::Session(session) => {
                let session = session.export()?;
                let (ciphertext, plaintext) = match self.ahead.as_deref() {
                    Some(Ahead { ciphertext, plaintext }) => (ciphertext.clone(), plaintext.to_vec()),
                    None => (vec![], vec![]),
                };
                Some(Tls::Open(Open {
                    session: Octets::encode(&session, SESSION_BYTES + session.held.len()),
                    unsent: self.beneath.unsent.to_vec(),
                    owes_byte: self.owes_byte,
                    ciphertext,
                    plaintext,
                }))
            }
            Layer::Plain | Layer::Over(_) => None,
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        let ahead = self.ahead.as_ref().map_or(0, |ahead| ahead.ciphertext.len() + ahead.plaintext.len());
        let held = if let Layer::Session(session) = &self.layer { session.held_bytes() } else { 0 };
        self.beneath.unsent.len() + ahead + held
    }
}

#[cfg(test)]
#[path = "moving_tests.rs"]
mod tests;
