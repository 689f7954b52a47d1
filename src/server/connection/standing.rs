//! Whose a connection is, and whether it is counted, where addresses are. How many one may have is not decided here.

use std::net::IpAddr;

use super::{Connection, Phase};
use crate::server::socket::Socket;

/// Who has connected, where addresses are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Sender {
    /// Whoever asks.
    Client,
    /// A proxy that is believed: each request may be another's. Without an address if it has come by a Unix socket.
    Proxy(Option<IpAddr>),
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

impl<S: Socket> Connection<S> {
    /// The address of whoever has connected, if it has one.
    pub(in crate::server) fn peer_address(&self) -> Option<IpAddr> {
        self.socket.peer_address()
    }

    /// Who says whose its requests are.
    pub(in crate::server) fn sender(&self) -> Sender {
        match self.phase {
            Phase::Request { sender, .. } => sender,
            _ => Sender::Client,
        }
    }

    /// It is a proxy that has connected.
    pub(in crate::server) fn is_sent_by(&mut self, proxy: Option<IpAddr>) {
        if let Phase::Request { sender, .. } = &mut self.phase {
            *sender = Sender::Proxy(proxy);
        }
    }

    /// Lets nothing be left of it once it is dropped.
    pub(in crate::server) fn abort(&mut self) {
        self.socket.abort();
    }
}
