//! A socket, and what is encrypted for it and not taken yet: what both sides of TLS have in common beneath their sessions.

use std::io::{self, ErrorKind, IoSlice};

use bytes::{Buf, BytesMut};

use crate::server::socket::{Agreed, Socket};
use crate::wire::tls::Session;

/// How much is encrypted before the socket is asked to take it: one record (RFC 8446 §5.1).
pub(in crate::server) const CHUNK_BYTES: usize = 16 * 1024;

/// A socket, and what it has still to take.
pub(in crate::server) struct Encrypted<S> {
    pub(in crate::server) socket: S,
    /// Encrypted, and not taken by the socket yet.
    pub(in crate::server) unsent: BytesMut,
}

impl<S> Encrypted<S> {
    pub(in crate::server) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }
}

impl<S: Socket> Encrypted<S> {
    /// Has the socket take what is encrypted.
    ///
    /// # Errors
    /// Those of the socket; `WouldBlock` when it takes no more now.
    pub(in crate::server) fn push(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.unsent.advance(count),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.unsent = BytesMut::new();
        Ok(())
    }

    /// Ends our side of both: the session's, and behind all of that the socket's.
    ///
    /// # Errors
    /// Those of the socket; `WouldBlock` when it takes no more now.
    pub(in crate::server) fn finish(&mut self, session: Option<&mut Session>) -> io::Result<()> {
        if let Some(session) = session {
            session.close(&mut self.unsent);
        }
        self.push()?;
        self.socket.finish()
    }

    pub(in crate::server) fn unacknowledged_bytes(&self) -> u32 {
        let unsent = u32::try_from(self.unsent.len()).unwrap_or(u32::MAX);
        self.socket.unacknowledged_bytes().saturating_add(unsent)
    }
}

/// What a session's two sides have agreed on, as far as sockets tell of it.
pub(in crate::server) fn agreed(session: &Session) -> Option<Agreed> {
    session.agreed().map(|agreed| Agreed { version: agreed.version, is_resumed: agreed.is_resumed })
}

/// What comes first of these, up to as much as is encrypted at once; how much that is. It does not end behind the first byte of a
/// slice: that byte might be owed then, and the slice, of which nothing would count as written, be dropped.
pub(in crate::server) fn chunk<'a>(slices: &'a [IoSlice<'_>]) -> (Vec<IoSlice<'a>>, usize) {
    let mut left = CHUNK_BYTES;
    let chunk = slices.iter().map_while(|slice| {
        let taken = slice.len().min(left);
        let is_enough = taken > 1 || taken == slice.len() && taken > 0;
        left = if is_enough { left - taken } else { 0 };
        is_enough.then(|| IoSlice::new(&slice[..taken]))
    });
    let chunk: Vec<_> = chunk.collect();
    let count = chunk.iter().map(|slice| slice.len()).sum();
    (chunk, count)
}
