//! TLS 1.2 and 1.3 for one connection: what has come in, what is to go out. The sockets and the configuration are others', and so
//! are the clock and the randomness, which rustls has its own of.
//!
//! Invariant: an idle session holds no buffer. What cannot be used yet is a part of one record at most, or of one message of the
//! handshake.
//!
//! Source: RFC 8446 and RFC 5246, by rustls. Deliberately absent: early data, which whoever has recorded it could send again;
//! renegotiation; records of kernels.

mod error;
mod held;
mod machine;
mod terms;

use std::io::IoSlice;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;

pub use error::TlsError;
use held::{Held, Taken};
use machine::Stop;
pub use terms::ServerTerms;

/// What a server's session holds of what has come, at most: a record, or the records of one message.
pub const SERVER_HELD_BYTES: usize = held::RECORD_BYTES;

/// The same of a client's. A server's certificates may be longer than a record; rustls itself takes messages up to this length.
pub const CLIENT_HELD_BYTES: usize = 64 * 1024;

/// One side of one connection. Some kilobytes: to be boxed where most have none.
pub struct Session {
    side: Side,
    held: Held,
    peer: Peer,
    own: Own,
}

enum Side {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
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
    /// Nor receive.
    Broken(TlsError),
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

/// Does the same with either side.
macro_rules! with {
    ($side:expr, $machine:ident => $act:expr) => {
        match $side {
            Side::Server($machine) => $act,
            Side::Client($machine) => $act,
        }
    };
}

impl Session {
    /// The server's side, for a client that has connected.
    ///
    /// # Errors
    /// When the configuration contradicts itself.
    pub fn accept(terms: &ServerTerms) -> Result<Self, TlsError> {
        debug_assert_eq!(terms.0.max_early_data_size, 0, "early data can be replayed");
        let machine = UnbufferedServerConnection::new(terms.0.clone()).map_err(|e| TlsError::of(&e))?;
        Ok(Self::new(Side::Server(machine)))
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
        let mut session = Self::new(Side::Client(machine));
        session.read(&mut [], &mut BytesMut::new(), out)?;
        Ok(session)
    }

    fn new(side: Side) -> Self {
        Self { side, held: Held::default(), peer: Peer::Silent, own: Own::Open }
    }

    /// How far it is.
    pub fn state(&self) -> State {
        match self.peer {
            Peer::Closed => State::PeerClosed,
            _ if with!(&self.side, machine => machine.is_handshaking()) => State::Handshaking,
            _ => State::Open,
        }
    }

    /// The application protocol that was agreed on, if one was (RFC 7301). Not before the handshake has ended.
    pub fn alpn(&self) -> Option<&[u8]> {
        with!(&self.side, machine => machine.alpn_protocol())
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
    /// alert for plain HTTP, for what is too long, for what only somebody hostile does, and once our side is closed.
    pub fn receive(
        &mut self,
        ciphertext: &mut [u8],
        plaintext: &mut impl BufMut,
        out: &mut BytesMut,
    ) -> Result<State, TlsError> {
        if let Own::Broken(error) = self.own {
            return Err(error);
        }
        let end = out.len();
        let outcome = self.take(ciphertext, plaintext, out);
        if self.own == Own::Closed {
            out.truncate(end);
        }
        if self.peer == Peer::Closed || outcome.is_err() {
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
        match (self.peer, self.own) {
            (Peer::Closed, _) => Ok(()),
            (_, Own::Broken(error)) => Err(error),
            _ => Err(TlsError::Truncated),
        }
    }

    /// Encrypts the pieces, in as few records as they fit into, and appends those to `out`: all of them, so the caller decides how
    /// much is taken from what waits.
    ///
    /// # Errors
    /// When the connection is over or our side is closed. If it is over only now, the end of our side is in `out`.
    pub fn send(&mut self, pieces: &[IoSlice<'_>], out: &mut BytesMut) -> Result<Sent, TlsError> {
        match self.own {
            Own::Open => {}
            Own::Closed => return Err(TlsError::Closed),
            Own::Broken(error) => return Err(error),
        }
        if with!(&self.side, machine => machine.is_handshaking()) {
            return Ok(Sent::NotYet);
        }
        let mut joined = Vec::new();
        let plaintext = match pieces {
            [piece] => &piece[..],
            _ => {
                joined.reserve_exact(pieces.iter().map(|piece| piece.len()).sum());
                pieces.iter().for_each(|piece| joined.extend_from_slice(piece));
                &joined
            }
        };
        let held = self.held.bytes_mut();
        let outcome = with!(&mut self.side, machine => machine::encrypt(machine, held, plaintext, out));
        self.settle(outcome.map_err(|e| TlsError::of(&e)))?;
        Ok(Sent::Whole)
    }

    /// Closes our side: the peer is told that nothing more follows, unless it knows no keys yet. It may still send. A second call
    /// does nothing, nor does one after an error.
    pub fn close(&mut self, out: &mut BytesMut) {
        if self.own != Own::Open {
            return;
        }
        self.own = Own::Closed;
        let held = self.held.bytes_mut();
        let outcome = with!(&mut self.side, machine => machine::close(machine, held, out));
        // The error is said to whoever calls next.
        let _ = self.settle(outcome.map_err(|e| TlsError::of(&e)));
    }

    /// Remembers an error.
    fn settle(&mut self, outcome: Result<(), TlsError>) -> Result<(), TlsError> {
        outcome.inspect_err(|error| self.own = Own::Broken(*error))
    }

    fn most_held_bytes(&self) -> usize {
        match &self.side {
            Side::Client(machine) if machine.is_handshaking() => CLIENT_HELD_BYTES,
            _ => SERVER_HELD_BYTES,
        }
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
        match with!(&mut self.side, machine => machine::read(machine, input, plaintext, out)) {
            Ok((used_bytes, Stop::NeedsInput)) => Ok(used_bytes),
            Ok((_, Stop::PeerClosed)) => {
                self.peer = Peer::Closed;
                Ok(input.len())
            }
            Err(error) => Err(TlsError::of(&error)),
        }
    }

    fn take(
        &mut self,
        mut input: &mut [u8],
        plaintext: &mut impl BufMut,
        out: &mut BytesMut,
    ) -> Result<(), TlsError> {
        self.meet(input)?;
        let most_bytes = self.most_held_bytes();
        while !input.is_empty() && self.peer != Peer::Closed {
            let taken = if self.held.is_empty() {
                let unfinished_from = held::unfinished_from(input);
                let used_bytes = self.read(input, plaintext, out)?;
                let rest = input.split_off_mut(used_bytes..).unwrap_or_default();
                input = &mut [];
                self.held.keep(rest, unfinished_from.saturating_sub(used_bytes), most_bytes)
            } else {
                self.held.take(&mut input, most_bytes)
            };
            match taken {
                Taken::TooMuch => return Err(TlsError::TooLong(most_bytes)),
                Taken::Part => {}
                Taken::Something => {
                    let mut held = std::mem::take(&mut self.held);
                    let used_bytes = self.read(held.bytes_mut(), plaintext, out)?;
                    held.discard(used_bytes);
                    self.held = held;
                }
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
