//! What a process that hands over listens on, as it offers that to the next.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use super::channel::Channel;
use crate::config::ssl::TicketSecret;
use crate::http::door::Door;
use crate::server::address::Address;
use crate::server::bound_socket::BoundSocket;
use crate::server::doors::Doors;
use crate::wire::handover::message::{Kind, Listening, MAX_DESCRIPTORS, Sockets, TicketKey, ToSuccessor};

/// What is offered.
#[derive(Debug, Default)]
pub struct Offer<'a> {
    listening: Vec<(Listening, BorrowedFd<'a>)>,
    tickets: Option<TicketKey>,
}

impl<'a> Offer<'a> {
    /// What one process listens on.
    pub(in crate::server) fn of(doors: &'a Doors, path: Option<&'a BoundSocket>) -> Self {
        let mut offer = Self::default();
        for (door, bound) in doors.listening() {
            let kind = match door {
                Door::Public => Kind::Public,
                Door::Admin => Kind::Admin,
                Door::Redirect => Kind::Redirect,
            };
            offer.add(kind, bound, 0, bound.owns_file());
        }
        path.into_iter().for_each(|path| offer.add(Kind::Handover, path, 0, path.owns_file()));
        offer.with_tickets(doors.security().ticket_secret())
    }

    /// With that by which session tickets are made, if it is in no file.
    #[must_use]
    pub fn with_tickets(self, secret: Option<&TicketSecret>) -> Self {
        Self { tickets: secret.map(|secret| TicketKey(secret.0.to_vec())), ..self }
    }

    /// Adds what is listened on here for this, in the place of this worker; its file goes with it, or not.
    pub fn add(&mut self, kind: Kind, bound: &'a BoundSocket, slot: u32, owns_file: bool) {
        for (address, socket) in bound.addresses().iter().zip(bound.sockets()) {
            let path = match address {
                // The other process may have another working directory.
                Address::Unix(path) => Some(path.as_os_str().as_bytes().to_vec()),
                Address::Ip(_) => None,
            };
            let said = Listening { kind, is_shared: bound.is_shared(), owns_file, slot, path };
            self.listening.push((said, socket.as_fd()));
        }
    }

    /// Sends all of it, in this format and on behalf of so many workers, in as many messages as that takes.
    ///
    /// # Errors
    /// As `Channel::send_by`.
    pub fn send(
        &self,
        channel: &Channel,
        deadline: Instant,
        format: u32,
        workers: Option<u32>,
    ) -> io::Result<()> {
        self.messages(format, workers).try_for_each(|(sockets, descriptors)| {
            channel.send_by(deadline, &ToSuccessor::Sockets(sockets), &descriptors)
        })
    }

    /// All of it, in as many messages as that takes, each with its descriptors.
    pub fn messages(
        &self,
        format: u32,
        workers: Option<u32>,
    ) -> impl Iterator<Item = (Sockets, Vec<BorrowedFd<'a>>)> {
        let tickets = self.tickets.clone();
        let last = self.listening.chunks(MAX_DESCRIPTORS).count().saturating_sub(1);
        self.listening.chunks(MAX_DESCRIPTORS).enumerate().map(move |(nth, some)| {
            let (listening, descriptors) = some.iter().cloned().unzip();
            let (version, pid) = (env!("CARGO_PKG_VERSION").to_owned(), std::process::id());
            let (has_more, tickets) = (nth < last, tickets.clone());
            (Sockets { format, version, pid, listening, workers, has_more, tickets }, descriptors)
        })
    }
}
