//! Accepts with a budget, and says when descriptors have run out. Decides nothing about who is accepted.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

/// What one client that never reads may cost in kernel memory; measured at 164 kB. An idle one costs none of it.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Why listening was not possible.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The host is neither an address nor a name that resolves.
    #[error(
        "cannot find --host {host}: {why}; give an address of this machine, such as 127.0.0.1 or 0.0.0.0"
    )]
    Host {
        /// As given.
        host: String,
        /// What the resolver said.
        why: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {why}; {mend}")]
    Address {
        /// As resolved.
        address: SocketAddr,
        /// What the kernel said.
        why: io::Error,
        /// What to do.
        mend: &'static str,
    },
}

/// What accepting brought.
#[derive(Debug)]
pub(super) enum Accepted {
    /// A peer.
    Peer(TcpStream),
    /// Nobody more waits: the next event announces one.
    Nobody,
    /// The process or the machine is out of something; those who wait go on waiting.
    Exhausted(io::Error),
}

/// A listening socket, registered for as long as it lives.
#[derive(Debug)]
pub(super) struct Listener {
    socket: TcpListener,
    /// Whether somebody may be waiting whom no event will announce.
    pub(super) has_waiting: bool,
    /// Whether accepting is paused because something ran out.
    pub(super) is_paused: bool,
}

impl Listener {
    /// Binds and listens. Accepted sockets inherit TCP_NODELAY and the send buffer's size (tcp(7), socket(7)).
    pub(super) fn bind(host: &str, port: u16, backlog: u16) -> Result<Self, ListenError> {
        let resolved = (host, port)
            .to_socket_addrs()
            .and_then(|mut addresses| addresses.next().ok_or_else(|| ErrorKind::NotFound.into()));
        let address = resolved.map_err(|why| ListenError::Host { host: host.to_owned(), why })?;
        let socket = listen(address, backlog).map_err(|why| ListenError::Address {
            address,
            mend: mend(&why),
            why,
        })?;
        Ok(Self { socket: TcpListener::from_std(socket.into()), has_waiting: true, is_paused: false })
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts one peer, past those that were gone before they were accepted.
    pub(super) fn accept(&mut self) -> Accepted {
        loop {
            return match self.socket.accept() {
                Ok((socket, _)) => Accepted::Peer(socket),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.has_waiting = false;
                    Accepted::Nobody
                }
                Err(e) if is_about_the_peer(&e) => continue,
                Err(e) => Accepted::Exhausted(e),
            };
        }
    }
}

fn listen(address: SocketAddr, backlog: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    socket.listen(backlog.into())?;
    Ok(socket)
}

fn mend(why: &io::Error) -> &'static str {
    match why.kind() {
        ErrorKind::AddrInUse => "stop the program that listens there, or choose another port with --port",
        ErrorKind::PermissionDenied => {
            "choose a port from 1024 on with --port, or grant CAP_NET_BIND_SERVICE"
        }
        ErrorKind::AddrNotAvailable => {
            "give an address of this machine with --host, such as 127.0.0.1 or 0.0.0.0"
        }
        _ => "choose another address with --host and --port",
    }
}

/// Errors that accept(2) passes on from a connection that has failed already, and an interrupted call: it says to
/// try again. Any other means that something has run out.
fn is_about_the_peer(error: &io::Error) -> bool {
    const TRY_AGAIN: [i32; 12] = [
        libc::EINTR,
        libc::ECONNABORTED,
        libc::EPERM,
        libc::EPROTO,
        libc::ENOPROTOOPT,
        libc::EOPNOTSUPP,
        libc::ENETDOWN,
        libc::ENETUNREACH,
        libc::ENONET,
        libc::EHOSTDOWN,
        libc::EHOSTUNREACH,
        libc::ETIMEDOUT,
    ];
    error.raw_os_error().is_some_and(|code| TRY_AGAIN.contains(&code))
}
