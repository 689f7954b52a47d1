//! Opens what is listened on: an address, a Unix socket, or a socket that another process has opened. Every failure is
//! one line that names the act, the place and the remedy.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf, absolute};

use log::info;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use thiserror::Error;

use crate::server::address::{Address, reachable};
use crate::server::exhaustion::mend;
use crate::server::socket_file::{SocketFile, remove_abandoned};

/// This bounds the kernel memory for a client that never reads; measured: 164 kB. An idle client costs none of it.
pub(super) const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// How much of that may be unsent when the kernel takes more: with less, it shows sooner that a slow peer takes some.
const UNSENT_BYTES: u32 = 16 * 1024;

/// How often another port is tried for a name of several addresses.
const PORTS_TRIED: u32 = 16;

/// The mode of a Unix socket: everyone who may reach its folder may connect, as with uvicorn.
pub const FOR_EVERYONE: u32 = 0o666;

/// The mode of a Unix socket for operators: its owner and its group may connect.
pub const FOR_OPERATORS: u32 = 0o660;

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
        address: Address,
        /// What the kernel said.
        why: io::Error,
        /// What to do.
        mend: &'static str,
    },
    /// A descriptor that was handed over is not what is needed.
    #[error("cannot listen on descriptor {fd}: {why}; hand over one listening stream socket")]
    Inherited {
        /// Its number.
        fd: i32,
        /// What it is instead.
        why: String,
    },
}

/// A listening socket, or one for each address of a name. Its file, if it has one, goes with it.
#[derive(Debug)]
pub struct BoundSocket {
    /// Non-blocking.
    sockets: Vec<Socket>,
    /// In the same order.
    addresses: Vec<Address>,
    /// Whether others may listen on the same addresses.
    is_shared: bool,
    file: Option<SocketFile>,
}

impl BoundSocket {
    /// Binds an address, or all those of a name, and listens. `shared` lets further sockets of this user listen on the same
    /// addresses, each with its own queue (SO_REUSEPORT, socket(7)).
    ///
    /// # Errors
    /// When there is no such address, or it cannot be had.
    pub fn bind(host: &str, port: u16, backlog: u16, shared: bool) -> Result<Self, ListenError> {
        Self::bind_all(&resolve(host, port)?, backlog, shared)
    }

    /// Binds those of these addresses that this machine has, and listens. If the first has port 0, all get the port that it
    /// takes.
    ///
    /// # Errors
    /// When this machine has none of them, or one cannot be had.
    pub fn bind_all(addresses: &[SocketAddr], backlog: u16, shared: bool) -> Result<Self, ListenError> {
        let mut tries_left = PORTS_TRIED;
        loop {
            match Self::try_all(addresses, backlog, shared) {
                // The port that was free on the first address is taken on another.
                Err(ListenError::Address { why, .. })
                    if why.kind() == ErrorKind::AddrInUse && addresses[0].port() == 0 && tries_left > 0 =>
                {
                    tries_left -= 1;
                }
                bound => return bound,
            }
        }
    }

    fn try_all(addresses: &[SocketAddr], backlog: u16, shared: bool) -> Result<Self, ListenError> {
        let mut bound: Option<Self> = None;
        let mut absent = vec![];
        let is_only = addresses.len() == 1;
        for mut address in addresses.iter().copied() {
            let taken = bound.as_ref().and_then(|bound| bound.address().ip());
            address.set_port(taken.map_or(address.port(), |taken| taken.port()));
            // A shared socket would silently join those of another server.
            let is_free = if shared { Self::probe(address, is_only) } else { Ok(()) };
            match is_free.and_then(|()| Self::at(address, backlog, shared, is_only)) {
                Ok(next) => bound = Self::join(bound.into_iter().chain([next])),
                Err(why) if is_absent(&why) => absent.push((address, why)),
                Err(why) => return Err(refused(Address::Ip(address), why)),
            }
        }
        let mut absent = absent.into_iter();
        let Some(bound) = bound else {
            let (address, why) = absent.next().expect("an address is bound or absent");
            return Err(refused(Address::Ip(address), why));
        };
        absent.for_each(|(address, why)| info!("Not listening on {address}: {why}"));
        if let [first, others @ ..] = bound.addresses() {
            others.iter().for_each(|other| info!("Listening on {other}, too, as on {first}"));
        }
        Ok(bound)
    }

    /// Makes one of several that belong to the same server.
    pub fn join(several: impl IntoIterator<Item = Self>) -> Option<Self> {
        several.into_iter().reduce(|mut one, other| {
            one.sockets.extend(other.sockets);
            one.addresses.extend(other.addresses);
            one
        })
    }

    /// Each of the sockets by itself, without a file.
    pub fn apart(self) -> impl Iterator<Item = Self> {
        let is_shared = self.is_shared;
        let both = self.sockets.into_iter().zip(self.addresses);
        both.map(move |(socket, address)| Self::one(socket, address, is_shared, None))
    }

    /// Listens once more on addresses that were bound to be shared.
    ///
    /// # Errors
    /// When the machine is out of something.
    pub fn bind_again(&self, backlog: u16) -> Result<Self, ListenError> {
        let again = self.addresses.iter().filter_map(Address::ip).map(|address| {
            Self::at(address, backlog, true, self.addresses.len() == 1)
                .map_err(|why| refused(Address::Ip(address), why))
        });
        let again: Vec<Self> = again.collect::<Result<_, _>>()?;
        Ok(Self::join(again).expect("what was bound has an address"))
    }

    /// The same sockets, with the same queues.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn share(&self) -> Result<Self, ListenError> {
        let sockets = self.sockets.iter().map(Socket::try_clone).collect::<Result<_, _>>();
        let sockets = sockets.map_err(|why| refused(self.address().clone(), why))?;
        Ok(Self { sockets, addresses: self.addresses.clone(), is_shared: self.is_shared, file: None })
    }

    /// Listens on a Unix socket of this mode. A file that is left from a process that has ended is replaced.
    ///
    /// # Errors
    /// When the path cannot be had.
    pub fn bind_path(path: &Path, mode: u32, backlog: u16) -> Result<Self, ListenError> {
        Self::bind_path_for(Type::STREAM, path, mode, backlog)
    }

    /// As `bind_path`, for sockets of another type.
    ///
    /// # Errors
    /// When the path cannot be had.
    pub fn bind_path_for(kind: Type, path: &Path, mode: u32, backlog: u16) -> Result<Self, ListenError> {
        let bind = || {
            let socket = Socket::new(Domain::UNIX, kind.nonblocking(), None)?;
            let name = SockAddr::unix(path)?;
            remove_abandoned(kind, path, &name);
            socket.bind(&name)?;
            let file = SocketFile::of(path)?;
            fs::set_permissions(path, Permissions::from_mode(mode))?;
            socket.listen(backlog.into())?;
            // The name itself is as it was given, since it may not be long (unix(7)).
            Ok(Self::one(socket, Address::Unix(absolute(path)?), false, Some(file)))
        };
        bind().map_err(|why| refused(Address::Unix(path.to_owned()), why))
    }

    /// Listens on a socket that was handed over, under this number.
    ///
    /// # Errors
    /// When it is no listening stream socket.
    pub fn inherit(socket: Socket, fd: i32) -> Result<Self, ListenError> {
        let address = listens_on(&socket, fd)?;
        socket.set_nonblocking(true).map_err(|why| ListenError::Inherited { fd, why: why.to_string() })?;
        // Options that cannot be set are left as whoever opened it has set them.
        let _ = prepare(&socket);
        Ok(Self::one(socket, address, false, None))
    }

    /// Listens on what another process listens on as well, at this path if it is a Unix socket. Its file stays that one's until
    /// `own_file`.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn adopt(socket: Socket, path: Option<PathBuf>, is_shared: bool) -> Result<Self, ListenError> {
        let fd = socket.as_raw_fd();
        let address = match (listens_on(&socket, fd)?, path) {
            // The system knows the path as it was given, which may be relative to another working directory.
            (Address::Unix(_), Some(path)) => Address::Unix(path),
            (address, _) => address,
        };
        socket.set_nonblocking(true).map_err(|why| ListenError::Inherited { fd, why: why.to_string() })?;
        Ok(Self::one(socket, address, is_shared, None))
    }

    /// From now on its file goes with it.
    pub fn own_file(&mut self) {
        if let Address::Unix(path) = self.address() {
            self.file = SocketFile::of(path).ok();
        }
    }

    /// From now on this file goes with those of these sockets that it is the name of; whether there are any.
    pub fn own_file_of<'a>(all: impl Iterator<Item = &'a mut Self>, file: &Path) -> bool {
        let is_its = |bound: &&mut Self| matches!(bound.address(), Address::Unix(path) if path == file);
        all.filter(is_its).map(Self::own_file).count() > 0
    }

    /// Whether its file goes with it: nobody has put another in its place.
    pub fn owns_file(&self) -> bool {
        self.file.as_ref().is_some_and(SocketFile::is_there)
    }

    /// Leaves its file to another process that listens there from now on.
    pub fn bequeath(mut self) {
        if let Some(file) = self.file.take() {
            std::mem::forget(file);
        }
    }

    /// Where it listens, with the port that was taken for port 0. Of several addresses it is the first that other machines
    /// can reach, if there is one.
    pub fn address(&self) -> &Address {
        reachable(&self.addresses)
    }

    /// Everywhere that it listens.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The sockets themselves.
    pub fn sockets(&self) -> &[Socket] {
        &self.sockets
    }

    /// Whether further sockets may listen on its addresses.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    fn one(socket: Socket, address: Address, is_shared: bool, file: Option<SocketFile>) -> Self {
        Self { sockets: vec![socket], addresses: vec![address], is_shared, file }
    }

    fn at(address: SocketAddr, backlog: u16, is_shared: bool, is_only: bool) -> io::Result<Self> {
        let socket = Self::bound(address, is_shared, is_only)?;
        socket.listen(backlog.into())?;
        let address = Address::Ip(socket.local_addr()?.as_socket().unwrap_or(address));
        Ok(Self::one(socket, address, is_shared, None))
    }

    fn probe(address: SocketAddr, is_only: bool) -> io::Result<()> {
        if address.port() == 0 { Ok(()) } else { Self::bound(address, false, is_only).map(drop) }
    }

    /// Binds an address and does not listen. `is_only` is for the only address of a server.
    pub(super) fn bound(address: SocketAddr, is_shared: bool, is_only: bool) -> io::Result<Socket> {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(is_shared)?;
        if address.is_ipv6() && !is_only {
            // Otherwise it would take the same port of all IPv4 addresses as well (ipv6(7)).
            socket.set_only_v6(true)?;
        }
        prepare(&socket)?;
        socket.bind(&address.into())?;
        Ok(socket)
    }
}

/// Where a socket listens that was handed over, under this number. Changes nothing about it.
///
/// # Errors
/// When it is no listening stream socket.
pub(super) fn listens_on(socket: &Socket, fd: i32) -> Result<Address, ListenError> {
    let inherited = |why| ListenError::Inherited { fd, why };
    let failed = |why: io::Error| inherited(why.to_string());
    let is_of_a_kind = [Type::STREAM, Type::SEQPACKET].contains(&socket.r#type().map_err(failed)?);
    if !is_of_a_kind || !socket.is_listener().unwrap_or(false) {
        return Err(inherited("it does not listen".to_owned()));
    }
    let name = socket.local_addr().map_err(failed)?;
    Ok(match (name.as_socket(), name.as_pathname()) {
        (Some(address), _) => Address::Ip(address),
        (None, path) => Address::Unix(path.unwrap_or(Path::new("")).to_owned()),
    })
}

/// An address, or all those of a name. At least one.
pub(crate) fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ListenError> {
    let found = (host, port).to_socket_addrs().and_then(|all| {
        let mut found: Vec<SocketAddr> = vec![];
        for address in all {
            if !found.contains(&address) {
                found.push(address);
            }
        }
        if found.is_empty() { Err(ErrorKind::NotFound.into()) } else { Ok(found) }
    });
    found.map_err(|why| ListenError::Host { host: host.to_owned(), why })
}

/// Whether the error means that this machine does not have the address.
pub(super) fn is_absent(why: &io::Error) -> bool {
    why.kind() == ErrorKind::AddrNotAvailable || why.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

/// Sets the options that accepted sockets inherit (tcp(7), socket(7)). Unix sockets have no delays to switch off.
fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    if socket.domain()? == Domain::UNIX {
        return Ok(());
    }
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    socket.set_tcp_nodelay(true)
}

pub(super) fn refused(address: Address, why: io::Error) -> ListenError {
    let mend = match (&address, why.kind()) {
        _ if !mend(&why).is_empty() => mend(&why),
        (Address::Ip(_), ErrorKind::AddrInUse) => {
            "stop the program that listens there, or choose another port with --port"
        }
        (Address::Ip(_), ErrorKind::PermissionDenied) => {
            "choose a port from 1024 on with --port, or grant CAP_NET_BIND_SERVICE"
        }
        (Address::Ip(_), ErrorKind::AddrNotAvailable) => {
            "give an address of this machine with --host, such as 127.0.0.1 or 0.0.0.0"
        }
        (Address::Ip(_), _) => "choose another address with --host and --port",
        (Address::Unix(_), ErrorKind::AddrInUse) => {
            "stop the program that listens there, take the file away, or choose another path with --uds"
        }
        (Address::Unix(_), _) => "choose another path with --uds, in a folder that may be written to",
    };
    ListenError::Address { address, why, mend }
}

#[cfg(test)]
#[path = "bound_socket_tests.rs"]
mod tests;
