//! What a server leaves for its next start, while it is being put together: a channel that somebody keeps, with everything in it
//! but the connections, which wait in channels of their own within that one.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use log::warn;

use super::channel::Channel;
use super::memory::Draft;
use super::offer::Offer;
use crate::server::socket::Stream;
use crate::server::transport::Transport;
use crate::server::turn::Turn;
use crate::wire::handover::message::MAX_DESCRIPTORS;
use crate::wire::handover::parked::{Parked, Part};
use crate::wire::handover::times::Moment;

/// How long a service manager that has answered may take to close what it had no room for (systemd from 254 on does so beside
/// all else).
const CLOSING: Duration = Duration::from_millis(30);

/// Messages of a channel beside those with connections.
const OTHERS: usize = 8;

/// Where something is kept while no server runs. Who that is, is not known here.
pub trait Store {
    /// Has it kept from now on, also when this process has ended. Whoever does that may have no room, and says nothing of it:
    /// then nobody has the descriptor any more but this process.
    ///
    /// # Errors
    /// When nobody does, or it is not known in time.
    fn keep(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()>;

    /// Has it kept no longer.
    fn forget(&mut self);
}

/// It can be gone on with once it is complete, and not before.
#[derive(Debug)]
pub struct Bundle {
    channel: Channel,
    rest: Draft,
}

impl Bundle {
    /// An empty one, which is kept there from now on: beyond the limit on descriptors in flight it could not be sent there any
    /// more.
    ///
    /// # Errors
    /// When nobody keeps it.
    pub fn kept_by(store: &mut dyn Store) -> io::Result<Self> {
        let (channel, kept) = Channel::pair()?;
        let rest = Draft::new()?;
        let kept_by_store = store.keep(kept.as_fd());
        drop(kept);
        let is_kept = kept_by_store.and_then(|()| match channel.is_abandoned_within(CLOSING) {
            true => Err(ErrorKind::BrokenPipe.into()),
            false => Ok(()),
        });
        is_kept.map(|()| Self { channel, rest }).map_err(explained).inspect_err(|_| store.forget())
    }

    /// Puts in what is listened on, and so many channels for connections: gives back their other ends.
    ///
    /// # Errors
    /// When there is no room for all of it.
    pub fn fill(&self, offer: &Offer<'_>, format: u32, parts: usize) -> io::Result<Vec<Channel>> {
        self.put_in(offer, format, parts).map_err(explained)
    }

    fn put_in(&self, offer: &Offer<'_>, format: u32, parts: usize) -> io::Result<Vec<Channel>> {
        for (sockets, descriptors) in offer.messages(format, None) {
            self.channel.send(&Parked::Server(sockets), &descriptors)?;
        }
        self.channel.send(&Parked::Image, &[self.rest.as_fd()])?;
        let pairs = (0..parts).map(|_| Channel::pair()).collect::<io::Result<Vec<_>>>()?;
        let (ends, theirs): (Vec<Channel>, Vec<OwnedFd>) = pairs.into_iter().unzip();
        for some in theirs.chunks(MAX_DESCRIPTORS) {
            let descriptors: Vec<BorrowedFd<'_>> = some.iter().map(AsFd::as_fd).collect();
            let count = u32::try_from(some.len()).map_err(|_| ErrorKind::InvalidInput)?;
            self.channel.send(&Parked::Parts { count }, &descriptors)?;
        }
        Ok(ends)
    }

    /// Has the rest written, with which it is complete.
    ///
    /// # Errors
    /// Those of `write`, and when the machine is out of something.
    pub fn complete(mut self, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<()> {
        self.rest.write(write)?;
        self.rest.seal().map(drop)
    }
}

/// Leaves the connections in such a channel, as many as there is room for: their keys.
///
/// # Errors
/// When there is room for none of them.
pub(in crate::server) fn leave(
    channel: &Channel,
    turn: &mut Turn<Transport<Stream>>,
    at: Moment,
    format: u32,
) -> io::Result<Vec<usize>> {
    let mut draft = Draft::new()?;
    let moved = draft.write(|file| turn.pack_part(at, format, usize::MAX, file))?.connections;
    channel.widen(moved.len().div_ceil(MAX_DESCRIPTORS) + OTHERS);
    channel.send(&Part::Image { connections: moved.len() as u64 }, &[draft.as_fd()])?;
    let descriptors: Vec<BorrowedFd<'_>> = turn.sockets(&moved).into_iter().map(AsFd::as_fd).collect();
    let moved = match send_all(channel, &descriptors)? {
        (_, None) => moved,
        (0, Some(why)) => return Err(io::Error::other(why)),
        (fitting, Some(why)) => {
            warn!("{} connections do not fit, and are let go: {why}", moved.len() - fitting);
            draft.write(|file| turn.pack_part(at, format, fitting, file))?.connections
        }
    };
    draft.seal()?;
    Ok(moved)
}

/// Sends connections that nobody takes yet: how many there was room for, and why no more.
fn send_all(channel: &Channel, descriptors: &[BorrowedFd<'_>]) -> io::Result<(usize, Option<&'static str>)> {
    let mut sent = 0;
    for batch in descriptors.chunks(MAX_DESCRIPTORS) {
        let connections = u32::try_from(batch.len()).map_err(|_| ErrorKind::InvalidInput)?;
        match channel.send(&Part::Batch { connections }, batch) {
            Ok(()) => sent += batch.len(),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                return Ok((sent, Some("the system has no more room for them (net.core.wmem_max)")));
            }
            Err(e) if is_crowded(&e) => return Ok((sent, Some(CROWDED))),
            Err(e) => return Err(e),
        }
    }
    Ok((sent, None))
}

const CROWDED: &str = "as many as the limit on open files wait somewhere already (LimitNOFILE=)";

const NOT_KEPT: &str = "the service manager has not kept them: FileDescriptorStoreMax= is used up";

/// Whether too many descriptors are in flight (unix(7), ETOOMANYREFS).
fn is_crowded(why: &io::Error) -> bool {
    why.raw_os_error() == Some(libc::ETOOMANYREFS)
}

/// The same, as operators understand it.
#[must_use]
pub fn explained(why: io::Error) -> io::Error {
    match why.kind() {
        _ if is_crowded(&why) => io::Error::other(CROWDED),
        // Nobody has the other end.
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => io::Error::other(NOT_KEPT),
        _ => why,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;

    use nix::sys::socket::setsockopt;
    use nix::sys::socket::sockopt::SndBuf;

    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_not_left_and_what_is_left_is_whole() {
        let (channel, kept) = Channel::pair().unwrap();
        setsockopt(&channel, SndBuf, &4096).unwrap();
        let socket = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let many = vec![socket.as_fd(); 100 * MAX_DESCRIPTORS + 7];
        let (sent, why) = send_all(&channel, &many).unwrap();
        assert!(sent > 0 && sent < many.len() && sent % MAX_DESCRIPTORS == 0 && why.is_some(), "{sent}");
        drop(channel);
        let (kept, mut received) = (Channel::from(kept), 0);
        while let Some(batch) = kept.receive().unwrap() {
            received += batch.descriptors.len();
        }
        assert_eq!(received, sent);
    }

    #[test]
    fn a_channel_that_nobody_keeps_is_seen_to_be_abandoned() {
        let (channel, kept) = Channel::pair().unwrap();
        assert!(!channel.is_abandoned_within(Duration::ZERO));
        drop(kept);
        assert!(channel.is_abandoned_within(Duration::ZERO));
    }

    #[test]
    fn there_is_room_for_many_connections_by_default() {
        let (channel, _kept) = Channel::pair().unwrap();
        let socket = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let many = vec![socket.as_fd(); 50_000];
        channel.widen(many.len() / MAX_DESCRIPTORS);
        assert_eq!(send_all(&channel, &many).unwrap(), (many.len(), None));
    }
}
