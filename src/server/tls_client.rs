//! A client's side of TLS on a socket: ciphertext to the one side, plaintext to the other. Knows no poll, and not what is said.
//!
//! Invariant: what is written before the two have agreed on keys is not taken: it waits where it is. No event announces that it may be
//! written: the read that has ended the handshake does, or `flush` that has sent what stood before it.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use bytes::{Buf, BytesMut};
use rustls::AlertDescription;
use rustls::pki_types::ServerName;

use crate::server::secured::encrypted::{Encrypted, agreed, chunk};
use crate::server::socket::{Agreed, Handshake, Socket};
use crate::wire::tls::{ClientTerms, Sent, Session, State, TlsError};

/// A socket, and what is spoken over it. Meant for a few connections: it keeps a buffer.
pub struct TlsClient<S> {
    beneath: Encrypted<S>,
    session: Session,
    /// Whom the server has to show that it is.
    name: ServerName<'static>,
    /// Decrypted, and not read yet.
    unread: BytesMut,
    /// Why nothing follows what is unread.
    fault: Option<TlsError>,
}

impl<S> std::fmt::Debug for TlsClient<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsClient").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<S> TlsClient<S> {
    /// To a server of this name, by a socket that is connected or will be.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new(socket: S, terms: &ClientTerms, name: ServerName<'static>) -> Result<Self, TlsError> {
        let mut unsent = BytesMut::new();
        let session = terms.connect(name.clone(), &mut unsent)?;
        let beneath = Encrypted { socket, unsent };
        Ok(Self { beneath, session, name, unread: BytesMut::new(), fault: None })
    }

    /// The socket beneath.
    pub fn socket(&self) -> &S {
        &self.beneath.socket
    }

    /// The socket beneath.
    pub fn socket_mut(&mut self) -> &mut S {
        &mut self.beneath.socket
    }

    fn is_agreeing(&self) -> bool {
        self.session.state() == State::Handshaking
    }

    /// As whoever has configured this understands it.
    fn words(&self, fault: TlsError) -> io::Error {
        let words = match fault {
            TlsError::NotTls => "it answers with something that is not TLS".to_owned(),
            TlsError::Truncated if self.is_agreeing() => {
                "it has closed the connection in the handshake of TLS: is TLS spoken there?".to_owned()
            }
            TlsError::Certificate("for another name") => {
                format!("the peer's certificate is for another name than {}", self.name.to_str())
            }
            TlsError::PeerSays(AlertDescription::CertificateRequired) => {
                format!("{fault} (--engine-cert)")
            }
            fault => fault.to_string(),
        };
        io::Error::other(words)
    }
}

impl<S: Socket> TlsClient<S> {
    /// Has the socket take what is encrypted. Later will do as well.
    fn push_some(&mut self) -> io::Result<()> {
        match self.beneath.push() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
            pushed => pushed,
        }
    }
}

impl<S: Socket> Read for TlsClient<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.unread.is_empty() {
                let count = buffer.len().min(self.unread.len());
                self.unread.split_to(count).copy_to_slice(&mut buffer[..count]);
                return Ok(count);
            }
            if let Some(fault) = self.fault {
                return Err(self.words(fault));
            }
            if self.session.state() == State::PeerClosed {
                return Ok(0);
            }
            let count = match self.beneath.socket.read(buffer) {
                // It has not listened to all that was said, as an end that understood nothing of it.
                Err(e) if e.kind() == ErrorKind::ConnectionReset && self.is_agreeing() => 0,
                read => read?,
            };
            if count == 0 {
                match self.session.state() {
                    State::Handshaking => self.fault = self.session.receive_end().err(),
                    // What is spoken within says where it ends, so nobody gains by cutting it off.
                    State::Open | State::PeerClosed => return Ok(0),
                }
                continue;
            }
            let taken =
                self.session.receive(&mut buffer[..count], &mut self.unread, &mut self.beneath.unsent);
            self.fault = taken.err();
            // Why it is over says more than that nothing can be sent any more.
            let pushed = self.push_some();
            if self.fault.is_none() {
                pushed?;
            }
        }
    }
}

impl<S: Socket> Write for TlsClient<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // So no more is encrypted than one chunk ahead of what the socket takes.
        self.flush()?;
        let (chunk, count) = chunk(slices);
        match self.session.send(&chunk, &mut self.beneath.unsent) {
            Ok(Sent::Whole) => self.push_some().map(|()| count),
            Ok(Sent::NotYet) => Err(ErrorKind::WouldBlock.into()),
            Err(fault) => Err(self.words(fault)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.beneath.push()
    }
}

/// Whether the other end is gone, and who it is, `Transport` asks the socket itself.
impl<S: Socket> Socket for TlsClient<S> {
    fn has_unsent(&self) -> bool {
        self.beneath.has_unsent()
    }

    fn handshake(&self) -> Handshake {
        match self.session.state() {
            State::Handshaking => Handshake::UnderWay,
            State::Open | State::PeerClosed => Handshake::None,
        }
    }

    fn agreed(&self) -> Option<Agreed> {
        agreed(&self.session)
    }

    fn can_move(&self) -> bool {
        false
    }

    fn finish(&mut self) -> io::Result<()> {
        self.beneath.finish(Some(&mut self.session))
    }

    fn abort(&mut self) {
        self.beneath.socket.abort();
    }

    fn unacknowledged_bytes(&self) -> u32 {
        self.beneath.unacknowledged_bytes()
    }
}

#[cfg(test)]
#[path = "tls_client_tests.rs"]
mod tests;
