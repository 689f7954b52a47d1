//! A connection to a server, by its socket alone or by TLS, on which every wait ends at one time.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use super::bounded::Bounded;
#[cfg(feature = "tls")]
use super::trust::in_words;

/// A connection.
#[derive(Debug)]
pub(in crate::process::commands) enum Line {
    Plain(Bounded),
    #[cfg(feature = "tls")]
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, Bounded>>),
}

/// What is read from and written to.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

impl Line {
    /// From now on every wait ends then.
    pub(in crate::process::commands) fn wait_until(&mut self, until: Instant) {
        match self {
            Self::Plain(socket) => socket.until = until,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.sock.until = until,
        }
    }

    fn stream(&mut self) -> &mut dyn Stream {
        match self {
            Self::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => &mut **stream,
        }
    }
}

impl Read for Line {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self.stream().read(room) {
            // What is spoken within says where it ends, so nobody gains by cutting TLS off.
            Err(why) if why.kind() == ErrorKind::UnexpectedEof => Ok(0),
            read => read.map_err(in_words),
        }
    }
}

impl Write for Line {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.stream().write(octets).map_err(in_words)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream().flush().map_err(in_words)
    }
}

#[cfg(not(feature = "tls"))]
fn in_words(why: io::Error) -> io::Error {
    why
}
