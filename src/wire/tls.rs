//! TLS 1.2 and 1.3 for one connection: what has come in, what is to go out. The sockets and the configuration are others', and so
//! are the clock and the randomness, which rustls has its own of.
//!
//! A server's side is rustls' during the handshake only. From then on it has but keys, and records of its own: a tenth of the memory,
//! and another process can go on with it. A client's side stays with rustls.
//!
//! Invariant: an idle session holds no buffer. What cannot be used yet is a part of one record at most, or of one message of the
//! handshake.
//!
//! Source: RFC 8446 and RFC 5246. Deliberately absent: early data, which whoever has recorded it could send again;
//! renegotiation; records of kernels.

mod client_terms;
mod error;
mod exported;
mod handshake;
mod held;
mod keys;
mod machine;
mod message;
mod records;
mod side;
mod suite;
mod terms;
mod tickets;

use std::io::IoSlice;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;

pub use client_terms::{Authorities, ClientTerms};
pub use error::TlsError;
pub use exported::{Direction, Exported};
use handshake::Handshake;
use held::{Held, Taken};
use machine::Stop;
pub use side::Agreed;
use side::Side;
pub use terms::{ServerTerms, TermsError};
pub use tickets::Tickets;

/// What a server's session holds of what has come, at most: a record, or the records of one message.
pub const SERVER_HELD_BYTES: usize = held::RECORD_BYTES;

/// The same of a client's. A server's certificates may be longer than a record; rustls itself takes messages up to this length.
pub const CLIENT_HELD_BYTES: usize = 64 * 1024;

/// What encrypting adds to a record at most: its header, a nonce of its own, a checksum and the inner type.
pub const RECORD_OVERHEAD_BYTES: u32 = 5 + 8 + 16 + 1;

/// What is taken of a peer at most until the two have agreed on keys: more than any honest one needs.
pub const HANDSHAKE_BYTES: usize = 64 * 1024;

/// One side of one connection.
pub struct Session {
    side: Side,
    held: Held,
    peer: Peer,
    own: Own,
    /// What has come of the handshake.
    handshake_bytes: u32,
}

/// What has come of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Silent,
    Heard,
    Closed,
}

/// Whether this side may still send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    Open,
    Closed,
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The two agree on keys. Nothing can be sent yet.
    Handshaking,
    /// Both sides may send.
    Open,
    /// The peer has said that it sends nothing more, and ignores whatever comes behind that. This side may go on.
    PeerClosed,
}

/// What has become of what was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// All of it is encrypted.
    Whole,
    /// Nothing: the handshake has to end first.
    NotYet,
}

impl Session {
    /// The server's side, for a client that has connected.
    ///
    /// # Errors
    /// When the configuration contradicts itself.
    pub fn accept(terms: &ServerTerms) -> Result<Self, TlsError> {
        debug_assert_eq!(terms.0.max_early_data_size, 0, "early data can be replayed");
        Ok(Self::new(Side::Server(Box::new(Handshake::new(terms)?))))
    }

    /// The client's side, for a server of this name. What it says first is appended to `out`.
    ///
    /// # Errors
    /// When the configuration contradicts itself, or there is no randomness.
    pub fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        out: &mut BytesMut,
    ) -> Result<Self, TlsError> {
        let machine = UnbufferedClientConnection::new(config, name).map_err(|e| TlsError::of(&e))?;
        let mut session = Self::new(Side::Client(Box::new(machine)));
        session.read(&mut [], &mut BytesMut::new(), out)?;
        Ok(session)
    }

    /// Goes on with one that another process had. That one must not go on with it: what the two would say next could be decrypted by
    /// whoever hears both.
    ///
    /// # Errors
    /// When it is damaged, or of a suite that is not spoken here.
    pub fn import(exported: &Exported) -> Result<Self, TlsError> {
        exported::import(exported).ok_or(TlsError::Internal("what was handed over is damaged"))
    }

    /// What another process needs to go on with it; none during the handshake, of a client's, and once it is over. It stays as it is, so
    /// that whoever exports it may go on with it if nobody else does.
    pub fn export(&self) -> Option<Exported> {
        exported::export(self)
    }

    fn new(side: Side) -> Self {
        Self { side, held: Held::default(), peer: Peer::Silent, own: Own::Open, handshake_bytes: 0 }
    }

    /// How far it is.
    pub fn state(&self) -> State {
        match (&self.side, self.peer) {
            (_, Peer::Closed) => State::PeerClosed,
            (Side::Broken(_, state), _) => *state,
            (side, _) if side.is_handshaking() => State::Handshaking,
            _ => State::Open,
        }
    }

    /// The application protocol that was agreed on, if one was (RFC 7301). Not before the handshake has ended.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.side.alpn()
    }

    /// What was agreed on, once the handshake has ended.
    pub fn agreed(&self) -> Option<Agreed> {
        self.side.agreed()
    }

    /// How many bytes it holds because the rest of a record or a message has not come.
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Takes what has come, all of it. It is decrypted where it is: the octets mean nothing afterwards. What the peer has sent within
    /// goes to `plaintext`, which needs room for as much as `ciphertext` and what is held together. What the peer is to be
    /// answered is appended to `out`, an alert included, and is to be sent also if there is an error. The cost is linear in the
    /// input, however it is cut.
    ///
    /// # Errors
    /// When the connection is over: each further call says the same. What was decrypted before that is in `plaintext`. There is no
    /// alert for plain HTTP, for an alert, and once our side is closed.
    pub fn receive(
        &mut self,
        ciphertext: &mut [u8],
        plaintext: &mut impl BufMut,
        out: &mut BytesMut,
    ) -> Result<State, TlsError> {
        if let Side::Broken(error, _) = self.side {
            return Err(error);
        }
        let end = out.len();
        let outcome = self.take(ciphertext, plaintext, out);
        if self.own == Own::Closed {
            out.truncate(end);
        }
        if self.peer == Peer::Closed {
            self.held = Held::default();
        }
        self.settle(outcome)?;
        Ok(self.state())
    }

    /// The peer's side of the stream beneath has ended.
    ///
    /// # Errors
    /// When it was not said that it would: somebody else may have cut off what was still to come (RFC 8446 §6.1).
    pub fn receive_end(&self) -> Result<(), TlsError> {
        match (self.peer, &self.side) {
            (Peer::Closed, _) => Ok(()),
            (_, Side::Broken(error, _)) => Err(*error),
            _ => Err(TlsError::Truncated),
        }
    }

    /// Encrypts the pieces, in as few records as they fit into, and appends those to `out`: all of them, so the caller decides how
    /// much is taken from what waits.
    ///
    /// # Errors
    /// When the connection is over or our side is closed. If it is over only now, the end of our side is in `out`.
    pub fn send(&mut self, pieces: &[IoSlice<'_>], out: &mut BytesMut) -> Result<Sent, TlsError> {
        if self.own == Own::Closed && !matches!(self.side, Side::Broken(..)) {
            return Err(TlsError::Closed);
        }
        let outcome = self.side.send(pieces, self.held.bytes_mut(), out);
        self.settle(outcome)
    }

    /// Closes our side: the peer is told that nothing more follows, unless it knows no keys yet. It may still send. A second call
    /// does nothing, nor does one after an error.
    pub fn close(&mut self, out: &mut BytesMut) {
        if self.own == Own::Closed {
            return;
        }
        self.own = Own::Closed;
        let outcome = self.side.close(self.held.bytes_mut(), out);
        // The error is said to whoever calls next.
        let _ = self.settle(outcome);
    }

    /// Remembers an error, and forgets the keys.
    fn settle<T>(&mut self, outcome: Result<T, TlsError>) -> Result<T, TlsError> {
        outcome.inspect_err(|error| {
            self.held = Held::default();
            if !matches!(self.side, Side::Broken(..)) {
                self.side = Side::Broken(*error, self.state());
            }
        })
    }

    /// Looks at the first octet there is: each request of HTTP begins with a letter (RFC 9110 §9.1), and no record does.
    fn meet(&mut self, input: &[u8]) -> Result<(), TlsError> {
        let (Peer::Silent, Some(first)) = (self.peer, input.first()) else { return Ok(()) };
        self.peer = Peer::Heard;
        match self.side {
            Side::Server(_) if first.is_ascii_alphabetic() => Err(TlsError::PlainHttp),
            _ => Ok(()),
        }
    }

    /// Reads as far as it can be read; how much that is.
    fn read(
        &mut self,
        input: &mut [u8],
        plaintext: &mut impl BufMut,
        out: &mut BytesMut,
    ) -> Result<usize, TlsError> {
        match self.side.read(input, plaintext, out)? {
            (used_bytes, Stop::NeedsInput) => Ok(used_bytes),
            (_, Stop::PeerClosed) => {
                self.peer = Peer::Closed;
                Ok(input.len())
            }
        }
    }

    fn take(
        &mut self,
        mut input: &mut [u8],
        plaintext: &mut impl BufMut,
        out: &mut BytesMut,
    ) -> Result<(), TlsError> {
        self.meet(input)?;
        while !input.is_empty() && self.peer != Peer::Closed {
            if self.side.is_handshaking() {
                self.shake_hands(&mut input, plaintext, out)?;
            } else if self.held.is_empty() {
                let unfinished_from = held::unfinished_from(input);
                let used_bytes = self.read(input, plaintext, out)?;
                let rest = input.split_off_mut(used_bytes..).unwrap_or_default();
                input = &mut [];
                let kept =
                    self.held.keep(rest, unfinished_from.saturating_sub(used_bytes), SERVER_HELD_BYTES);
                self.take_held(kept, SERVER_HELD_BYTES, plaintext, out)?;
            } else {
                let taken = self.held.take(&mut input, SERVER_HELD_BYTES);
                self.take_held(taken, SERVER_HELD_BYTES, plaintext, out)?;
            }
        }
        Ok(())
    }

    /// Takes one record of the handshake, or a piece of one: what is behind the last one is not for rustls.
    fn shake_hands(
        &mut self,
        input: &mut &mut [u8],
        plaintext: &mut impl BufMut,
        out: &mut BytesMut,
    ) -> Result<(), TlsError> {
        let most_bytes =
            if matches!(self.side, Side::Client(_)) { CLIENT_HELD_BYTES } else { SERVER_HELD_BYTES };
        let there_bytes = input.len();
        let taken = self.held.take(input, most_bytes);
        let taken_bytes = u32::try_from(there_bytes - input.len()).unwrap_or(u32::MAX);
        self.handshake_bytes = self.handshake_bytes.saturating_add(taken_bytes);
        if self.handshake_bytes as usize > HANDSHAKE_BYTES {
            return Err(self.side.refuse(TlsError::TooLong(HANDSHAKE_BYTES), out));
        }
        self.take_held(taken, most_bytes, plaintext, out)?;
        self.side.leave_rustls(!self.held.is_empty(), out)
    }

    fn take_held(
        &mut self,
        taken: Taken,
        most_bytes: usize,
        plaintext: &mut impl BufMut,
        out: &mut BytesMut,
    ) -> Result<(), TlsError> {
        match taken {
            Taken::TooMuch => return Err(self.side.refuse(TlsError::TooLong(most_bytes), out)),
            Taken::Part => {}
            Taken::Something => {
                let mut held = std::mem::take(&mut self.held);
                let used_bytes = self.read(held.bytes_mut(), plaintext, out)?;
                held.discard(used_bytes);
                self.held = held;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "tls/exchange_tests.rs"]
mod exchange;

#[cfg(test)]
#[path = "tls/hostile_tests.rs"]
mod hostile;

#[cfg(test)]
#[path = "tls/judge_tests.rs"]
mod judge;

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
