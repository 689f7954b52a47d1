//! What the bytes of a peer travel over: a socket, or TLS on one. Nobody beyond this knows which it is, but for how a handshake is
//! spoken of.

use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use mio::event::Source;
use mio::{Interest, Registry, Token};

use crate::config::ssl::TicketSecret;
use crate::server::certificate::{CertificateFile, ServerTerms};
#[cfg(feature = "tls")]
use crate::server::secured::Secured;
use crate::server::socket::{Agreed, Handshake, Received, Socket, Stream};
#[cfg(feature = "tls")]
use crate::server::tls_client::TlsClient;
use crate::wire::handover::secured::Tls;

/// How a peer is connected. Without TLS it is its socket, and costs nothing.
#[derive(Debug)]
pub enum Transport<S> {
    /// By its socket alone.
    Plain(S),
    /// By TLS. Boxed: most of a connection's memory, where there is any.
    #[cfg(feature = "tls")]
    Tls(Box<Secured<S>>),
    /// By TLS, whose server the other end is: not a client, but an engine.
    #[cfg(feature = "tls")]
    TlsClient(Box<TlsClient<S>>),
}

/// What is spoken with those who come in.
#[derive(Debug, Clone, Default)]
pub struct Security {
    tls: Option<ServerTerms>,
    /// By what session tickets are made, unless it is in a file.
    tickets: Option<TicketSecret>,
}

/// TLS with this certificate.
impl From<&CertificateFile> for Security {
    fn from(file: &CertificateFile) -> Self {
        Self { tls: Some(file.terms()), tickets: file.ticket_secret().cloned() }
    }
}

impl Security {
    /// TLS, on these terms.
    #[cfg(feature = "tls")]
    pub fn tls(terms: ServerTerms) -> Self {
        Self { tls: Some(terms), tickets: None }
    }

    /// How one travels who has come in by this socket.
    pub fn apply<S>(&self, socket: S) -> Transport<S> {
        #[cfg(feature = "tls")]
        if let Some(terms) = &self.tls {
            return Transport::Tls(Box::new(Secured::new(socket, terms.clone())));
        }
        #[cfg(not(feature = "tls"))]
        debug_assert!(self.tls.is_none(), "nothing is shown without TLS");
        Transport::Plain(socket)
    }

    /// By what session tickets are made, for a successor, unless that has it from a file.
    pub fn ticket_secret(&self) -> Option<&TicketSecret> {
        self.tickets.as_ref()
    }

    /// How one travels who has come in to another process, which has handed it over: with the session that it had, whatever is spoken
    /// with newcomers; only who has said nothing yet is one of those.
    ///
    /// # Errors
    /// When there is no such session, or this program knows no TLS.
    pub fn go_on<S: Socket>(&self, socket: S, tls: Option<Tls>) -> io::Result<Transport<S>> {
        match tls {
            None => Ok(Transport::Plain(socket)),
            Some(Tls::Awaited) => Ok(self.apply(socket)),
            Some(Tls::Preamble { said }) => {
                let mut transport = self.apply(socket);
                transport.expect_preamble(said);
                Ok(transport)
            }
            #[cfg(feature = "tls")]
            Some(Tls::Open(open)) => {
                let secured = Secured::go_on(socket, open).map_err(io::Error::other)?;
                Ok(Transport::Tls(Box::new(secured)))
            }
            #[cfg(not(feature = "tls"))]
            Some(Tls::Open(_)) => {
                Err(io::Error::other("there are connections over TLS, and this program was built without it"))
            }
        }
    }
}

/// Does the same with either.
macro_rules! with {
    ($transport:expr, $socket:ident => $act:expr) => {
        match $transport {
            Transport::Plain($socket) => $act,
            #[cfg(feature = "tls")]
            Transport::Tls($socket) => $act,
            #[cfg(feature = "tls")]
            Transport::TlsClient($socket) => $act,
        }
    };
}

impl<S> Transport<S> {
    /// The socket beneath.
    pub fn socket(&self) -> &S {
        match self {
            Self::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Self::Tls(secured) => secured.socket(),
            #[cfg(feature = "tls")]
            Self::TlsClient(client) => client.socket(),
        }
    }

    fn socket_mut(&mut self) -> &mut S {
        match self {
            Self::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Self::Tls(secured) => secured.socket_mut(),
            #[cfg(feature = "tls")]
            Self::TlsClient(client) => client.socket_mut(),
        }
    }
}

impl From<Stream> for Transport<Stream> {
    fn from(socket: Stream) -> Self {
        Self::Plain(socket)
    }
}

impl<S: AsFd> AsFd for Transport<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

impl<S: Socket> Read for Transport<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        with!(self, socket => socket.read(buffer))
    }
}

impl<S: Socket> Write for Transport<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        with!(self, socket => socket.write(bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        with!(self, socket => socket.write_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        with!(self, socket => socket.flush())
    }
}

impl<S: Socket> Socket for Transport<S> {
    fn receive(&mut self, buffer: &mut [u8]) -> Received {
        with!(self, socket => socket.receive(buffer))
    }

    fn is_emptied_by_short_reads(&self) -> bool {
        with!(self, socket => socket.is_emptied_by_short_reads())
    }

    fn has_unsent(&self) -> bool {
        with!(self, socket => socket.has_unsent())
    }

    fn handshake(&self) -> Handshake {
        with!(self, socket => socket.handshake())
    }

    fn agreed(&self) -> Option<Agreed> {
        with!(self, socket => socket.agreed())
    }

    fn trouble(&self) -> Option<String> {
        with!(self, socket => socket.trouble())
    }

    fn expect_preamble(&mut self, said: Vec<u8>) {
        with!(self, socket => socket.expect_preamble(said));
    }

    fn can_move(&self) -> bool {
        with!(self, socket => socket.can_move())
    }

    fn pack(&self) -> Option<Tls> {
        with!(self, socket => socket.pack())
    }

    fn has_read_ahead(&self) -> bool {
        with!(self, socket => socket.has_read_ahead())
    }

    fn bytes_to_move(&self) -> usize {
        with!(self, socket => socket.bytes_to_move())
    }

    fn finish(&mut self) -> io::Result<()> {
        with!(self, socket => socket.finish())
    }

    fn abort(&mut self) {
        self.socket_mut().abort();
    }

    fn bequeath(&mut self) {
        self.socket_mut().bequeath();
    }

    fn peer_address(&self) -> io::Result<Option<IpAddr>> {
        self.socket().peer_address()
    }

    fn peer(&self) -> io::Result<Option<SocketAddr>> {
        self.socket().peer()
    }

    fn is_dead(&self) -> bool {
        self.socket().is_dead()
    }

    fn unacknowledged_bytes(&self) -> u32 {
        with!(self, socket => socket.unacknowledged_bytes())
    }

    fn overhead_bytes(&self) -> u32 {
        with!(self, socket => socket.overhead_bytes())
    }
}

impl<S: Source> Source for Transport<S> {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket_mut().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket_mut().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket_mut().deregister(registry)
    }
}
