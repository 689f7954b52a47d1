//! TLS on a socket: ciphertext to the one side, plaintext to the other. Knows no peers and no poll.
//!
//! Invariant: of what has been encrypted, the last byte counts as written only once the socket has taken all of it. So whoever writes
//! has something left as long as the peer has, and its limits hold.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use bytes::{Buf, BytesMut};

use crate::server::socket::{Agreed, Handshake, Received, Socket};
use crate::wire::handover::secured::Tls;
use crate::wire::proxy_protocol::{self, Preamble};
use crate::wire::tls::{
    RECORD_OVERHEAD_BYTES, SERVER_HELD_BYTES, Sent, ServerTerms, Session, State, TlsError,
};

use encrypted::{Encrypted, agreed, chunk};

pub(super) mod encrypted;
mod moving;

/// The least that a buffer has to be to be decrypted into at once: what a session holds, and as much again to be read.
const DIRECT_BYTES: usize = 2 * SERVER_HELD_BYTES;

/// A socket, and what is spoken over it.
pub struct Secured<S> {
    beneath: Encrypted<S>,
    layer: Layer,
    /// The last byte that was encrypted does not count as written yet.
    owes_byte: bool,
    /// What was read too early. Boxed: that is rare.
    ahead: Option<Box<Ahead>>,
    /// What the next read brings, whatever the socket has.
    next: Option<Received>,
    /// The last read has shown that there is no more for now.
    is_emptied: bool,
}

/// How far it is.
enum Layer {
    /// A proxy says first, in plain, who has connected; what has come of that.
    Preamble(Vec<u8>, ServerTerms),
    /// Nothing has come: it costs no memory yet.
    Awaited(ServerTerms),
    Session(Box<Session>),
    /// The client speaks HTTP without TLS, and is answered so.
    Plain,
    /// What the client sends means nothing any more, and it understands nothing, for this reason.
    Over(TlsError),
}

/// What was read and could not be handed on yet.
#[derive(Default)]
struct Ahead {
    /// Behind a proxy's words.
    ciphertext: Vec<u8>,
    /// Of which there was more than room.
    plaintext: BytesMut,
}

impl<S> std::fmt::Debug for Secured<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secured").field("unsent", &self.beneath.unsent.len()).finish_non_exhaustive()
    }
}

impl<S> Secured<S> {
    /// For a client that has connected.
    pub fn new(socket: S, terms: ServerTerms) -> Self {
        Self {
            beneath: Encrypted { socket, unsent: BytesMut::new() },
            layer: Layer::Awaited(terms),
            owes_byte: false,
            ahead: None,
            next: None,
            is_emptied: false,
        }
    }

    /// The socket beneath.
    pub fn socket(&self) -> &S {
        &self.beneath.socket
    }

    /// The socket beneath.
    pub fn socket_mut(&mut self) -> &mut S {
        &mut self.beneath.socket
    }

    /// Takes what has come from the front of `back`, and puts what it means into `front`. What that is, if it is anything.
    fn take(&mut self, front: &mut [u8], back: &mut [u8]) -> Option<Received> {
        if let Layer::Preamble(..) = self.layer {
            return Some(self.take_preamble(front, back));
        }
        if let Layer::Awaited(terms) = &self.layer {
            match Session::accept(terms) {
                Ok(session) => self.layer = Layer::Session(Box::new(session)),
                Err(why) => return Some(self.give_up(why)),
            }
        }
        let Layer::Session(session) = &mut self.layer else { return Some(Received::Bytes(back.len())) };
        let most = front.len();
        let mut room = front;
        let outcome = session.receive(back, &mut room, &mut self.beneath.unsent);
        let count = most - room.len();
        self.next = match outcome {
            Ok(State::Handshaking | State::Open) => None,
            Ok(State::PeerClosed) => Some(Received::Finished),
            Err(TlsError::PlainHttp) => {
                self.layer = Layer::Plain;
                Some(Received::PlainHttp { head_only: back.starts_with(b"HEAD ") })
            }
            Err(why) => Some(self.give_up(why)),
        };
        match count {
            0 => self.next.take(),
            _ => Some(Received::Bytes(count)),
        }
    }

    /// What a proxy says is read by others: it is handed on as it is. TLS begins behind it.
    fn take_preamble(&mut self, front: &mut [u8], back: &[u8]) -> Received {
        let Layer::Preamble(said, terms) = &mut self.layer else { return Received::Nothing };
        let before = said.len();
        said.extend_from_slice(back);
        let bytes = match proxy_protocol::read(said) {
            Ok(Preamble::Header { bytes, .. }) => {
                let ciphertext = said.split_off(bytes);
                self.layer = Layer::Awaited(terms.clone());
                if !ciphertext.is_empty() {
                    self.ahead.get_or_insert_default().ciphertext = ciphertext;
                }
                bytes - before
            }
            Ok(Preamble::More) | Err(_) => back.len(),
        };
        front[..bytes].copy_from_slice(&back[..bytes]);
        Received::Bytes(bytes)
    }

    fn give_up(&mut self, why: TlsError) -> Received {
        self.layer = Layer::Over(why);
        Received::Broken
    }

    /// What was decrypted before, as far as there is room.
    fn take_plaintext(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let ahead = self.ahead.as_mut().filter(|ahead| !ahead.plaintext.is_empty())?;
        let count = buffer.len().min(ahead.plaintext.len());
        ahead.plaintext.split_to(count).copy_to_slice(&mut buffer[..count]);
        self.ahead.take_if(|ahead| ahead.plaintext.is_empty() && ahead.ciphertext.is_empty());
        Some(count)
    }
}

impl<S: Socket> Secured<S> {
    /// As `receive`, with less room than what has come may mean.
    fn receive_little(&mut self, buffer: &mut [u8]) -> Received {
        let mut room = vec![0; DIRECT_BYTES];
        let received = self.receive(&mut room);
        let Received::Bytes(count) = received else { return received };
        let taken = count.min(buffer.len());
        buffer[..taken].copy_from_slice(&room[..taken]);
        if taken < count {
            self.ahead.get_or_insert_default().plaintext = room[taken..count].into();
            self.is_emptied = false;
        }
        Received::Bytes(taken)
    }

    /// Reads what has come, or what was read of it before, into this room; the bytes there are.
    fn read_ciphertext(&mut self, room: &mut [u8]) -> Result<usize, Received> {
        if let Some(ahead) = self.ahead.as_mut().filter(|ahead| !ahead.ciphertext.is_empty()) {
            let count = room.len().min(ahead.ciphertext.len());
            room[..count].copy_from_slice(&ahead.ciphertext[..count]);
            ahead.ciphertext.drain(..count);
            self.is_emptied = false;
            return Ok(count);
        }
        self.ahead = None;
        match self.beneath.socket.receive(room) {
            Received::Bytes(count) => {
                self.is_emptied = count < room.len() && self.beneath.socket.is_emptied_by_short_reads();
                Ok(count)
            }
            other => Err(other),
        }
    }
}

impl<S: Socket> Read for Secured<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.receive(buffer) {
            Received::Bytes(count) => Ok(count),
            Received::Finished => Ok(0),
            Received::Nothing => Err(ErrorKind::WouldBlock.into()),
            Received::Failed => Err(ErrorKind::ConnectionReset.into()),
            Received::PlainHttp { .. } | Received::Broken => Err(ErrorKind::InvalidData.into()),
        }
    }
}

impl<S: Socket> Write for Secured<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let session = match &mut self.layer {
            Layer::Session(session) => session,
            Layer::Plain => return self.beneath.socket.write_vectored(slices),
            Layer::Preamble(..) | Layer::Awaited(_) | Layer::Over(_) => return Ok(whole(slices)),
        };
        self.beneath.push()?;
        if std::mem::take(&mut self.owes_byte) {
            return Ok(1);
        }
        let (chunk, count) = chunk(slices);
        match session.send(&chunk, &mut self.beneath.unsent) {
            Ok(Sent::Whole) => {}
            Ok(Sent::NotYet) => return Ok(whole(slices)),
            Err(e) => return Err(io::Error::other(e)),
        }
        match self.beneath.push() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.owes_byte = true;
                if count == 1 { Err(e) } else { Ok(count - 1) }
            }
            pushed => pushed.map(|()| count),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.beneath.push()
    }
}

/// Whether the other end is gone, and who it is, `Transport` asks the socket itself.
impl<S: Socket> Socket for Secured<S> {
    fn receive(&mut self, buffer: &mut [u8]) -> Received {
        if let Some(count) = self.take_plaintext(buffer) {
            return Received::Bytes(count);
        }
        if let Some(next) = self.next.take() {
            return next;
        }
        if matches!(self.layer, Layer::Plain | Layer::Over(_)) {
            return self.beneath.socket.receive(buffer);
        }
        if buffer.len() < DIRECT_BYTES {
            return self.receive_little(buffer);
        }
        let middle = (buffer.len() + SERVER_HELD_BYTES) / 2;
        loop {
            let (front, back) = buffer.split_at_mut(middle);
            let count = match self.read_ciphertext(back) {
                Ok(count) => count,
                Err(other) => return other,
            };
            if let Some(received) = self.take(front, &mut back[..count]) {
                self.is_emptied &= self.next.is_none() && self.ahead.is_none();
                return received;
            }
        }
    }

    fn is_emptied_by_short_reads(&self) -> bool {
        self.is_emptied
    }

    fn has_unsent(&self) -> bool {
        self.beneath.has_unsent()
    }

    fn handshake(&self) -> Handshake {
        match &self.layer {
            Layer::Preamble(..) | Layer::Awaited(_) => Handshake::Awaited,
            Layer::Session(session) if session.state() == State::Handshaking => Handshake::UnderWay,
            Layer::Session(_) | Layer::Plain | Layer::Over(_) => Handshake::None,
        }
    }

    fn agreed(&self) -> Option<Agreed> {
        let Layer::Session(session) = &self.layer else { return None };
        agreed(session)
    }

    fn trouble(&self) -> Option<String> {
        match self.layer {
            Layer::Over(why) => Some(why.to_string()),
            _ => None,
        }
    }

    fn expect_preamble(&mut self, said: Vec<u8>) {
        if let Layer::Awaited(terms) = &self.layer {
            self.layer = Layer::Preamble(said, terms.clone());
        }
    }

    fn can_move(&self) -> bool {
        self.can_be_packed()
    }

    fn pack(&self) -> Option<Tls> {
        self.packed()
    }

    fn bytes_to_move(&self) -> usize {
        self.held_bytes()
    }

    fn has_read_ahead(&self) -> bool {
        self.ahead.is_some() || self.next.is_some()
    }

    fn finish(&mut self) -> io::Result<()> {
        let session = match &mut self.layer {
            Layer::Session(session) => Some(&mut **session),
            Layer::Preamble(..) | Layer::Awaited(_) => {
                // There is nothing to agree on any more: what a client says from now on is not answered.
                self.layer = Layer::Over(TlsError::Closed);
                None
            }
            Layer::Plain | Layer::Over(_) => None,
        };
        self.beneath.finish(session)
    }

    fn abort(&mut self) {
        self.beneath.socket.abort();
    }

    fn unacknowledged_bytes(&self) -> u32 {
        self.beneath.unacknowledged_bytes()
    }

    fn overhead_bytes(&self) -> u32 {
        match self.layer {
            Layer::Session(_) => RECORD_OVERHEAD_BYTES,
            Layer::Preamble(..) | Layer::Awaited(_) | Layer::Plain | Layer::Over(_) => 0,
        }
    }
}

/// Before there are keys, or after, nobody could read it.
fn whole(slices: &[IoSlice<'_>]) -> usize {
    slices.iter().map(|slice| slice.len()).sum()
}

#[cfg(test)]
#[path = "secured_tests.rs"]
pub(super) mod tests;
