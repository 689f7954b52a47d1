//! TLS as a client's channel, by rustls' client. It verifies the server's certificate unless its terms say otherwise.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use mio::net::TcpStream;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use slackwater::wire::tls::{Sent, Session, State};

use crate::common::channel::Channel;

/// How much is read at once. What is more than that is read at once, too, piece by piece.
const PIECE_BYTES: usize = 32 * 1024;

/// No answer of a server's is longer until the two have agreed.
const HANDSHAKE_BYTES: usize = 8 * 1024;

/// Whom the certificates are for.
pub const NAME: &str = "localhost";

/// A client's side of TLS, and its socket.
pub struct Secured {
    socket: TcpStream,
    session: Session,
    /// Encrypted, and not taken by the socket yet.
    unsent: BytesMut,
    taken: u64,
}

impl Secured {
    /// Goes on until both have agreed.
    ///
    /// # Errors
    /// `WouldBlock`, as long as the server has to speak first.
    pub fn shake_hands(&mut self) -> io::Result<()> {
        self.push()?;
        let mut piece = [0; HANDSHAKE_BYTES];
        while self.session.state() == State::Handshaking {
            let mut plaintext = BytesMut::new();
            self.take(&mut piece, &mut plaintext)?;
            assert!(plaintext.is_empty(), "nothing is said before a request");
        }
        Ok(())
    }

    /// Whether a ticket has spared them the certificate.
    pub fn is_resumed(&self) -> bool {
        self.session.agreed().expect("the two have agreed").is_resumed
    }

    /// Says that nothing more is sent.
    pub fn close(&mut self) -> io::Result<()> {
        self.session.close(&mut self.unsent);
        self.push()
    }

    /// Reads once, into this piece, and decrypts it: how many octets came.
    fn take(&mut self, piece: &mut [u8], plaintext: &mut impl bytes::BufMut) -> io::Result<usize> {
        let count = self.socket.read(piece)?;
        if count == 0 {
            self.session.receive_end().map_err(|e| io::Error::new(ErrorKind::UnexpectedEof, e))?;
        }
        self.taken += count as u64;
        let received = self.session.receive(&mut piece[..count], plaintext, &mut self.unsent);
        received.map_err(io::Error::other)?;
        self.push()?;
        Ok(count)
    }

    fn push(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            let count = self.socket.write(&self.unsent)?;
            self.unsent.advance(count);
        }
        Ok(())
    }
}

impl Channel for Secured {
    type Terms = Arc<ClientConfig>;

    fn over(socket: TcpStream, terms: &Self::Terms) -> Self {
        let name = ServerName::try_from(NAME).expect("it is a name");
        let mut unsent = BytesMut::new();
        let session = Session::connect(Arc::clone(terms), name, &mut unsent).expect("the terms can be kept");
        Self { socket, session, unsent, taken: 0 }
    }

    fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    fn taken(&self) -> Option<u64> {
        Some(self.taken)
    }
}

impl Read for Secured {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (mut front, piece) = buffer.split_at_mut(buffer.len() - PIECE_BYTES);
        let room = front.len();
        loop {
            let taken = match self.take(piece, &mut front) {
                // What was read before is told first.
                Err(e) if e.kind() == ErrorKind::WouldBlock && front.len() < room => 0,
                taken => taken?,
            };
            let count = room - front.len();
            // Nothing, where a ticket has come.
            if taken < piece.len() && (count > 0 || self.session.state() == State::PeerClosed) {
                return Ok(count);
            }
            assert!(front.len() >= 2 * PIECE_BYTES, "the buffer has room for all that comes");
        }
    }
}

impl Write for Secured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.shake_hands()?;
        match self.session.send(&[IoSlice::new(bytes)], &mut self.unsent) {
            Ok(Sent::Whole) => {}
            Ok(Sent::NotYet) => return Err(ErrorKind::WouldBlock.into()),
            Err(e) => return Err(io::Error::other(e)),
        }
        self.push().expect("a socket takes a request");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push()
    }
}
