//! The sockets by which peers come in, for a server that is about to begin: opened, inherited or taken over by whoever starts it.
//! Nobody accepts from them here.

use crate::server::bound_socket::BoundSocket;

/// The sockets by which peers come in, by door.
#[derive(Debug)]
pub struct Entrances {
    /// For clients.
    pub public: BoundSocket,
    /// For operators, if they have a door of their own.
    pub admin: Option<BoundSocket>,
    /// For those who are redirected to HTTPS, if anybody is.
    pub redirect: Option<BoundSocket>,
}

impl From<BoundSocket> for Entrances {
    /// There is no other door.
    fn from(public: BoundSocket) -> Self {
        Self { public, admin: None, redirect: None }
    }
}
