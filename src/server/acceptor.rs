//! Accepts with a budget, and says when descriptors have run out. Decides nothing about who is accepted.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;

use log::{error, info};
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::server::bound_socket::BoundSocket;
use crate::server::exhaustion::with_mend;
use crate::server::socket::Stream;

/// What accepting brought.
#[derive(Debug)]
pub(super) enum Accepted<P> {
    /// A peer.
    Peer(P),
    /// Nobody else waits; an event announces the next one.
    Nobody,
    /// The round is over; somebody may still wait.
    Enough,
    /// The process or the machine has run out of something, or there were only errors. Those who wait go on waiting.
    Exhausted(io::Error),
}

/// A limited number of attempts to accept; an error counts as much as a peer.
#[derive(Debug)]
pub(super) struct Round {
    left: usize,
    has_brought_somebody: bool,
    failed: Option<io::Error>,
}

impl Round {
    pub(super) fn of(most: usize) -> Self {
        Self { left: most, has_brought_somebody: false, failed: None }
    }

    /// Accepts one peer, and skips those that were gone before they were accepted.
    fn next<P>(&mut self, mut accept: impl FnMut() -> io::Result<P>) -> Accepted<P> {
        while self.left > 0 {
            self.left -= 1;
            match accept() {
                Ok(peer) => {
                    self.has_brought_somebody = true;
                    return Accepted::Peer(peer);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Accepted::Nobody,
                Err(e) if is_about_the_peer(&e) => self.failed = Some(e),
                Err(e) => return Accepted::Exhausted(e),
            }
        }
        match self.failed.take() {
            Some(e) if !self.has_brought_somebody => Accepted::Exhausted(e),
            _ => Accepted::Enough,
        }
    }
}

/// Listening sockets, registered for as long as they live.
#[derive(Debug)]
pub(super) struct Acceptor {
    bound: BoundSocket,
    /// Which of the sockets is asked first.
    turn: usize,
    /// Whether somebody may be waiting that no event will announce.
    pub(super) has_waiting: bool,
    /// Whether accepting is paused because something ran out.
    is_paused: bool,
}

impl Acceptor {
    /// Starts to accept.
    pub(super) fn new(bound: BoundSocket, registry: &Registry, token: Token) -> io::Result<Self> {
        for socket in bound.sockets() {
            SourceFd(&socket.as_raw_fd()).register(registry, token, Interest::READABLE)?;
        }
        Ok(Self { bound, turn: 0, has_waiting: true, is_paused: false })
    }

    /// Stops accepting, and gives back the sockets. Another process may share one, and then closing it here does not remove
    /// it from the poll.
    pub(super) fn close(self, registry: &Registry) -> BoundSocket {
        for socket in self.bound.sockets() {
            let _ = SourceFd(&socket.as_raw_fd()).deregister(registry);
        }
        self.bound
    }

    /// What is listened on.
    pub(super) fn bound(&self) -> &BoundSocket {
        &self.bound
    }

    /// What is listened on.
    pub(super) fn bound_mut(&mut self) -> &mut BoundSocket {
        &mut self.bound
    }

    /// Somebody is waiting. While paused, only the timer tries again.
    pub(super) fn on_waiting(&mut self) {
        self.has_waiting |= !self.is_paused;
    }

    /// The pause is over, or at least accepting is tried again.
    pub(super) fn try_again(&mut self) {
        self.has_waiting = true;
    }

    /// Something has run out. That is logged once, until everybody who waited has been accepted.
    pub(super) fn begin_pause(&mut self, why: &io::Error) {
        self.has_waiting = false;
        if !std::mem::replace(&mut self.is_paused, true) {
            error!("Accepting connections paused: {}", with_mend(why));
        }
    }

    /// Nobody waits any more.
    pub(super) fn end_pause(&mut self) {
        if std::mem::take(&mut self.is_paused) {
            info!("Accepting connections again");
        }
    }

    /// Goes on with a round of accepting.
    pub(super) fn accept(&mut self, round: &mut Round) -> Accepted<Stream> {
        let sockets = self.bound.sockets();
        let accept = |nth: usize| sockets[nth].accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
        let accepted = round.next(|| any(sockets.len(), &mut self.turn, accept));
        match accepted {
            Accepted::Peer((socket, _)) => Accepted::Peer(socket.into()),
            Accepted::Nobody => {
                self.has_waiting = false;
                Accepted::Nobody
            }
            Accepted::Enough => {
                // A crowd at one address must not keep others waiting at another.
                self.turn += 1;
                Accepted::Enough
            }
            Accepted::Exhausted(e) => Accepted::Exhausted(e),
        }
    }
}

/// Accepts from the first socket where anybody waits, beginning with the one whose turn it is. It stays that socket's turn
/// for as long as it brings somebody.
fn any<P>(count: usize, turn: &mut usize, accept: impl Fn(usize) -> io::Result<P>) -> io::Result<P> {
    for _ in 1..count {
        match accept(*turn % count) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => *turn = (*turn + 1) % count,
            accepted => return accepted,
        }
    }
    accept(*turn % count)
}

/// Errors that accept(2) passes on from a connection that has failed already, and an interrupted call: one is to try again.
/// Any other error means that something has run out.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a round of this size brings, and how often it asks, of a source that answers with these codes in turn for ever;
    /// 0 is a peer.
    fn round(most: usize, codes: &[i32]) -> (Vec<Accepted<()>>, usize) {
        let mut asked = 0;
        let mut source = codes.iter().cycle().map(|code| match code {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(*code)),
        });
        let mut round = Round::of(most);
        let mut brought = vec![];
        loop {
            brought.push(round.next(|| {
                asked += 1;
                source.next().expect("for ever")
            }));
            if !matches!(brought.last(), Some(Accepted::Peer(()))) {
                return (brought, asked);
            }
        }
    }

    #[test]
    fn errors_about_the_peer_use_up_the_round_and_alone_they_pause_accepting() {
        for code in [libc::EPERM, libc::ECONNABORTED, libc::ENETDOWN, libc::EINTR] {
            let (brought, asked) = round(64, &[code]);
            assert_eq!(asked, 64);
            assert!(matches!(&brought[..], [Accepted::Exhausted(e)] if e.raw_os_error() == Some(code)));
        }
    }

    #[test]
    fn an_error_among_peers_is_passed_over() {
        let (brought, asked) = round(9, &[0, libc::ECONNABORTED, 0]);
        assert_eq!((brought.len(), asked), (7, 9));
        assert!(matches!(brought.last(), Some(Accepted::Enough)));
        let (brought, asked) = round(9, &[libc::ECONNABORTED, libc::EAGAIN]);
        assert!(matches!(&brought[..], [Accepted::Nobody]) && asked == 2);
    }

    #[test]
    fn nobody_waits_only_if_nobody_waits_at_any_socket() {
        let waiting = std::cell::RefCell::new([0, 2, 1]);
        let accept = |nth: usize| match &mut waiting.borrow_mut()[nth] {
            0 => Err(io::Error::from(ErrorKind::WouldBlock)),
            count => {
                *count -= 1;
                Ok(nth)
            }
        };
        let mut turn = 0;
        let accepted: Vec<usize> = std::iter::from_fn(|| any(3, &mut turn, accept).ok()).collect();
        assert_eq!(accepted, [1, 1, 2]);
    }

    #[test]
    fn running_out_of_something_ends_the_round_at_once() {
        let (brought, asked) = round(9, &[0, libc::EMFILE]);
        assert_eq!((brought.len(), asked), (2, 2));
        assert!(matches!(brought.last(), Some(Accepted::Exhausted(_))));
    }
}
