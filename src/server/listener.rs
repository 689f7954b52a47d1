//! Accepts with a budget, and says when descriptors have run out. Decides nothing about who is accepted.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;

use log::{error, info};
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::server::listening::Listening;
use crate::server::socket::Stream;

/// What accepting brought.
#[derive(Debug)]
pub(super) enum Accepted {
    /// A peer.
    Peer(Stream),
    /// Nobody more waits: the next event announces one.
    Nobody,
    /// The process or the machine is out of something; those who wait go on waiting.
    Exhausted(io::Error),
}

/// A listening socket, registered for as long as it lives.
#[derive(Debug)]
pub(super) struct Listener {
    listening: Listening,
    /// Whether somebody may be waiting whom no event will announce.
    pub(super) has_waiting: bool,
    /// Whether accepting is paused because something ran out.
    is_paused: bool,
}

impl Listener {
    /// Accepts from now on.
    pub(super) fn new(listening: Listening, registry: &Registry, token: Token) -> io::Result<Self> {
        SourceFd(&listening.socket().as_raw_fd()).register(registry, token, Interest::READABLE)?;
        Ok(Self { listening, has_waiting: true, is_paused: false })
    }

    /// Stops listening. The socket may be another process's, too, so that closing it here announces nothing to the poll.
    pub(super) fn close(self, registry: &Registry) {
        let _ = SourceFd(&self.listening.socket().as_raw_fd()).deregister(registry);
    }

    /// Somebody is waiting. While paused, only the timer tries again.
    pub(super) fn on_waiting(&mut self) {
        self.has_waiting |= !self.is_paused;
    }

    /// Something has run out. Said once, until all who waited have been accepted.
    pub(super) fn begin_pause(&mut self, why: &io::Error) {
        self.has_waiting = false;
        if !std::mem::replace(&mut self.is_paused, true) {
            error!(
                "Accepting connections paused: {why}. Raise the limit on open files (ulimit -n) to serve more"
            );
        }
    }

    /// Nobody waits any more.
    pub(super) fn end_pause(&mut self) {
        if std::mem::take(&mut self.is_paused) {
            info!("Accepting connections again");
        }
    }

    /// Accepts one peer, past those that were gone before they were accepted.
    pub(super) fn accept(&mut self) -> Accepted {
        loop {
            return match self.listening.socket().accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) {
                Ok((socket, _)) => Accepted::Peer(socket.into()),
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
