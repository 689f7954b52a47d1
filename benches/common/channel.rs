//! What a client's octets travel over: a socket, or what is spoken on one. Nothing blocks.

use std::io::{Read, Write};

use mio::net::TcpStream;

/// The one or the other. As of a socket, a read of less than there is room for says that nothing more is there for now.
pub trait Channel: Read + Write {
    /// What it takes to open one.
    type Terms;

    /// Over a socket that is connected or will be.
    fn over(socket: TcpStream, terms: &Self::Terms) -> Self;

    /// What there is to be watched.
    fn socket(&mut self) -> &mut TcpStream;

    /// How many octets have come over the socket, where they are others than those that were read.
    fn taken(&self) -> Option<u64>;
}

impl Channel for TcpStream {
    type Terms = ();

    fn over(socket: TcpStream, (): &()) -> Self {
        socket
    }

    fn socket(&mut self) -> &mut TcpStream {
        self
    }

    fn taken(&self) -> Option<u64> {
        None
    }
}
