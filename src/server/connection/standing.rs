//! Whose a connection is, and whether it is counted, where addresses are. How many one may have is not decided here.

use std::io;
use std::net::IpAddr;

use super::{Connection, Phase};
use crate::policy::addresses::Address;
use crate::server::socket::Socket;

/// Who has connected, where that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Sender {
    /// Whoever asks.
    Client,
    /// A proxy that is believed: each request may be another's. Without an address if it has come by a Unix socket.
    Proxy(Option<IpAddr>),
    /// A proxy that is believed, and has still to say who has connected to it.
    Unannounced(Option<IpAddr>),
}

/// Whether a connection is counted among those of its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Standing {
    /// Nobody counts it.
    Uncounted,
    /// It is one of those that are open.
    Counted,
    /// It is one too many, and is to be told so.
    Refused,
    /// The last request of a proxy's connection is to be told that there are too many; nobody counts it.
    RefusedRequest,
}

/// Whose a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Owner {
    pub(in crate::server) sender: Sender,
    pub(in crate::server) address: Option<Address>,
    pub(in crate::server) standing: Standing,
}

impl Owner {
    /// That of a connection which counts for nobody, or for nobody yet.
    pub(in crate::server) fn nobody(sender: Sender) -> Self {
        Self { sender, address: None, standing: Standing::Uncounted }
    }
}

impl<S: Socket> Connection<S> {
    /// The address of whoever has connected; `None` if it has come by a Unix socket.
    ///
    /// # Errors
    /// When it is gone already.
    pub(in crate::server) fn peer_address(&self) -> io::Result<Option<IpAddr>> {
        self.socket.peer_address()
    }

    /// Who says whose its requests are.
    pub(in crate::server) fn sender(&self) -> Sender {
        match self.phase {
            Phase::Request { sender, .. } => sender,
            _ => Sender::Client,
        }
    }

    /// It is known whose it is.
    pub(in crate::server) fn belongs_to(&mut self, owner: Owner) {
        (self.address, self.standing) = (owner.address, owner.standing);
        if let Phase::Request { sender, .. } = &mut self.phase {
            *sender = owner.sender;
        }
    }

    /// Lets nothing be left of it once it is dropped.
    pub(in crate::server) fn abort(&mut self) {
        self.socket.abort();
    }
}
