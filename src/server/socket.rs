//! What a connection needs of a socket, and the one that the server has: a stream, over TCP or on this machine.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::ffi;
use crate::wire::handover::secured::Tls;

/// How long the kernel keeps what was written and not taken when the process ends, while its peer takes none of it
/// (TCP_USER_TIMEOUT, tcp(7)). By itself it would for minutes, or as long as the peer says that it has no room.
const KERNEL_PATIENCE: Duration = Duration::from_secs(30);

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing more for now: an event announces what comes next.
    Nothing,
    /// The peer has ended its side.
    Finished,
    /// The socket is dead.
    Failed,
    /// The peer speaks HTTP where TLS is spoken. It can be answered so, without a body if it has asked for the head alone.
    PlainHttp {
        /// Whether it has.
        head_only: bool,
    },
    /// What the peer sends is not TLS, or breaks it. It is told so by `flush`, if it can be.
    Broken,
}

/// How far the two are that have still to agree on keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// They have, or need not.
    None,
    /// The peer has said nothing yet.
    Awaited,
    /// It has begun.
    UnderWay,
}

/// What the two have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// Whether it continues a session of before.
    pub is_resumed: bool,
}

/// What a connection needs of a socket: in the server a `Transport`, anything in tests.
pub trait Socket: Read + Write {
    /// Reads once; `Interrupted` is tried again.
    fn receive(&mut self, buffer: &mut [u8]) -> Received {
        loop {
            return match self.read(buffer) {
                Ok(0) => Received::Finished,
                Ok(count) => Received::Bytes(count),
                Err(e) if e.kind() == ErrorKind::WouldBlock => Received::Nothing,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(_) => Received::Failed,
            };
        }
    }

    /// Whether a read of fewer bytes than there was room for means that there are no more (epoll(7): so it is with
    /// streams, unless the peer has ended its side).
    fn is_emptied_by_short_reads(&self) -> bool {
        false
    }

    /// Whether `flush` has something to write of which nobody above knows: what belongs to TLS itself.
    fn has_unsent(&self) -> bool {
        false
    }

    /// How far the handshake is.
    fn handshake(&self) -> Handshake {
        Handshake::None
    }

    /// What the handshake has ended with.
    fn agreed(&self) -> Option<Agreed> {
        None
    }

    /// Why TLS is not spoken any more, in words.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// A proxy says first who has connected, whatever is spoken behind that, and has said this of it already.
    fn expect_preamble(&mut self, _said: Vec<u8>) {}

    /// Whether another process can go on with it.
    fn can_move(&self) -> bool {
        true
    }

    /// What that one needs beside the socket, if TLS is spoken on it. Takes nothing away. From then on nothing may be written or read
    /// here unless nobody else goes on with it.
    fn pack(&self) -> Option<Tls> {
        None
    }

    /// How many bytes of the connection's are in that.
    fn bytes_to_move(&self) -> usize {
        0
    }

    /// Whether a read brings something though the socket may have nothing.
    fn has_read_ahead(&self) -> bool {
        false
    }

    /// What it takes at most to send something, beside that.
    fn overhead_bytes(&self) -> u32 {
        0
    }

    /// Ends our side of the stream behind what was written.
    ///
    /// # Errors
    /// As `shutdown(2)`: the connection is dead. `WouldBlock`: not yet, so ask again once it takes more.
    fn finish(&mut self) -> io::Result<()>;

    /// Lets nothing be left of the connection once this is dropped: the peer finds it reset, and what it has not taken
    /// costs the kernel no memory any more.
    fn abort(&mut self);

    /// The process is about to end: the kernel is to deliver the rest, and not to keep it for ever.
    fn bequeath(&mut self) {}

    /// The address of the other end; `None` if it is of a kind that has none.
    ///
    /// # Errors
    /// As `getpeername(2)`: the other end is gone already.
    fn peer_address(&self) -> io::Result<Option<IpAddr>> {
        Ok(None)
    }

    /// The same with its port, where that is known.
    ///
    /// # Errors
    /// As `peer_address`.
    fn peer(&self) -> io::Result<Option<SocketAddr>> {
        Ok(self.peer_address()?.map(|address| SocketAddr::new(address, 0)))
    }

    /// Whether the connection is over for the system itself: reset, timed out, or ended by both sides with all of it taken.
    /// Reading does not always tell: behind the end of the peer's side it brings that end again, and no error.
    fn is_dead(&self) -> bool {
        false
    }

    /// Bytes that were written and that the other end has not acknowledged. The end of our side may count as one. Of a dead
    /// connection that is what there was when it died.
    fn unacknowledged_bytes(&self) -> u32 {
        0
    }
}

/// A connected stream socket of any family, non-blocking. Edge-triggered once registered.
#[derive(Debug)]
pub struct Stream(socket2::Socket);

impl From<socket2::Socket> for Stream {
    fn from(socket: socket2::Socket) -> Self {
        Self(socket)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
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

    fn abort(&mut self) {
        // SO_LINGER of zero, socket(7). A socket that takes no option is closed as any other.
        let _ = self.0.set_linger(Some(Duration::ZERO));
    }

    fn bequeath(&mut self) {
        // A Unix socket keeps nothing once it is closed, and says that it has no such option.
        let _ = self.0.set_tcp_user_timeout(Some(KERNEL_PATIENCE));
    }

    fn peer_address(&self) -> io::Result<Option<IpAddr>> {
        Ok(self.peer()?.map(|address| address.ip()))
    }

    fn peer(&self) -> io::Result<Option<SocketAddr>> {
        Ok(self.0.peer_addr()?.as_socket())
    }

    fn is_dead(&self) -> bool {
        // TCP has no peer any more; a Unix socket keeps its own, and tells of its end in other ways. SO_ERROR would tell it
        // once, and perhaps to somebody else.
        self.0.peer_addr().is_err_and(|e| e.kind() == ErrorKind::NotConnected)
    }

    fn unacknowledged_bytes(&self) -> u32 {
        ffi::unacknowledged_bytes(self.0.as_fd()).unwrap_or_default()
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
