//! What a connection needs of a socket, so that the simulation can hand it one that is as stingy as it likes.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

/// What a connection needs of a socket: in the server TCP, anything in tests.
pub trait Socket: Read + Write {
    /// Ends our side of the stream behind what was written.
    ///
    /// # Errors
    /// As `shutdown(2)`; a peer that is gone is no news.
    fn finish(&mut self) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}
