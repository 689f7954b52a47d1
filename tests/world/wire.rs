//! Any socket that a process has: a client's, or its end of the pair.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::IpAddr;

use slackwater::server::socket::{Handshake, Received, Socket};
use slackwater::server::transport::Transport;
use slackwater::wire::handover::secured::Tls;

use crate::pipe::PipeEnd;
use crate::socket::VirtualSocket;

/// Any socket that a worker has.
#[derive(Debug)]
pub enum Wire {
    Client(Transport<VirtualSocket>),
    Pipe(PipeEnd),
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Client(socket) => socket.read(buffer),
            Self::Pipe(end) => end.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Client(socket) => socket.write_vectored(slices),
            Self::Pipe(end) => end.write(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Client(socket) => socket.flush(),
            Self::Pipe(_) => Ok(()),
        }
    }
}

impl Wire {
    fn client(&self) -> Option<&Transport<VirtualSocket>> {
        match self {
            Self::Client(socket) => Some(socket),
            Self::Pipe(_) => None,
        }
    }
}

impl Socket for Wire {
    fn receive(&mut self, buffer: &mut [u8]) -> Received {
        match self {
            Self::Client(socket) => socket.receive(buffer),
            Self::Pipe(end) => match end.read(buffer) {
                Ok(0) => Received::Finished,
                Ok(count) => Received::Bytes(count),
                Err(e) if e.kind() == ErrorKind::WouldBlock => Received::Nothing,
                Err(e) => unreachable!("a pipe does not fail: {e}"),
            },
        }
    }

    fn has_unsent(&self) -> bool {
        self.client().is_some_and(Socket::has_unsent)
    }

    fn handshake(&self) -> Handshake {
        self.client().map_or(Handshake::None, Socket::handshake)
    }

    fn can_move(&self) -> bool {
        self.client().is_some_and(Socket::can_move)
    }

    fn pack(&self) -> Option<Tls> {
        self.client().and_then(Socket::pack)
    }

    fn bytes_to_move(&self) -> usize {
        self.client().map_or(0, Socket::bytes_to_move)
    }

    fn has_read_ahead(&self) -> bool {
        self.client().is_some_and(Socket::has_read_ahead)
    }

    fn overhead_bytes(&self) -> u32 {
        self.client().map_or(0, Socket::overhead_bytes)
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Client(socket) => socket.finish(),
            Self::Pipe(end) => {
                end.end();
                Ok(())
            }
        }
    }

    fn abort(&mut self) {
        match self {
            Self::Client(socket) => socket.abort(),
            Self::Pipe(_) => unreachable!("the pair is closed with the process"),
        }
    }

    fn peer_address(&self) -> io::Result<Option<IpAddr>> {
        match self {
            Self::Client(socket) => socket.peer_address(),
            Self::Pipe(_) => unreachable!("nobody connects by the pair"),
        }
    }

    fn is_emptied_by_short_reads(&self) -> bool {
        matches!(self, Self::Client(socket) if socket.is_emptied_by_short_reads())
    }

    fn is_dead(&self) -> bool {
        matches!(self, Self::Client(socket) if socket.is_dead())
    }

    fn unacknowledged_bytes(&self) -> u32 {
        match self {
            Self::Client(socket) => socket.unacknowledged_bytes(),
            Self::Pipe(_) => 0,
        }
    }
}
