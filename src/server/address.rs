//! Where a server listens.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Ip(SocketAddr),
    /// A Unix socket; one that was handed over may have no name.
    Unix(PathBuf),
}

impl Address {
    /// The address, if it is one of TCP.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Whether nothing but this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        self.ip().is_some_and(|address| address.ip().to_canonical().is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The first of several addresses that other machines can reach, if there is one.
pub(super) fn reachable(addresses: &[Address]) -> &Address {
    addresses.iter().find(|address| !address.is_loopback()).unwrap_or(&addresses[0])
}
