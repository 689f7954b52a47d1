//! What a connection needs of a socket, and the one that the server has: a stream, over TCP or on this machine.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// What a connection needs of a socket: in the server a `Stream`, anything in tests.
pub trait Socket: Read + Write {
    /// Whether a read of fewer bytes than there was room for means that there are no more (epoll(7): so it is with
    /// streams, unless the peer has ended its side).
    fn is_emptied_by_short_reads(&self) -> bool {
        false
    }

    /// Ends our side of the stream behind what was written.
    ///
    /// # Errors
    /// As `shutdown(2)`; a peer that is gone is no news.
    fn finish(&mut self) -> io::Result<()>;
}

/// A connected stream socket of any family, non-blocking. Edge-triggered once registered.
#[derive(Debug)]
pub struct Stream(socket2::Socket);

impl From<socket2::Socket> for Stream {
    fn from(socket: socket2::Socket) -> Self {
        Self(socket)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for Stream {
    fn is_emptied_by_short_reads(&self) -> bool {
        true
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).deregister(registry)
    }
}
