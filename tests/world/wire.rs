//! Any socket that a process has: a client's, or its end of the pair.

use std::io::{self, IoSlice, Read, Write};
use std::net::IpAddr;

use slackwater::server::socket::Socket;

use crate::pipe::PipeEnd;
use crate::socket::VirtualSocket;

/// Any socket that a worker has.
#[derive(Debug)]
pub enum Wire {
    Client(VirtualSocket),
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
        Ok(())
    }
}

impl Socket for Wire {
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
