//! Where connections come from: many addresses of the loopback network, so that ports do not run out while the kernel
//! keeps those of closed connections for a minute (TIME_WAIT).

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// Source addresses that are used one after the other. Each has some 28,000 ports.
pub const ADDRESSES: u8 = 64;

/// The addresses, and whose turn it is.
#[derive(Debug, Default)]
pub struct Sources {
    next: u8,
}

impl Sources {
    /// A socket that is bound to the next address and not connected yet.
    pub fn socket(&mut self, kind: Type) -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, kind, Some(Protocol::TCP))?;
        let address = Ipv4Addr::new(127, 0, 0, 2 + self.next);
        self.next = (self.next + 1) % ADDRESSES;
        socket.bind(&SocketAddr::from((address, 0)).into())?;
        Ok(socket)
    }
}
