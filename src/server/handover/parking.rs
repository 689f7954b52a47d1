//! A server that parks its connections: all of them wait in one channel, which the service manager keeps until its next start.
//! When, is decided in `policy::parking`.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};

use log::{info, warn};
use mio::event::Source;

use super::channel::Channel;
use super::memory::Draft;
use super::offer::Offer;
use crate::policy::drain::Drain;
use crate::policy::parking::{LEFT_BEHIND, Parking, Step};
use crate::server::Server;
use crate::server::clock::Now;
use crate::wire::handover::FORMATS;
use crate::wire::handover::message::MAX_DESCRIPTORS;
use crate::wire::handover::parked::Parked;

/// Messages beside those with connections.
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

/// How far parking is, and where.
#[derive(Default)]
pub(in crate::server) struct Park {
    pub(in crate::server) state: Parking,
    store: Option<Box<dyn Store>>,
}

/// What was parked.
pub(in crate::server) struct Parted {
    /// Connections that wait for the next start.
    pub(in crate::server) parked: usize,
    /// Those that are still here.
    pub(in crate::server) left: usize,
}

impl Server {
    /// Parks all connections there once it is told to leave by SIGTERM.
    pub fn park_in(&mut self, store: Box<dyn Store>) {
        self.controls.park_at_signal();
        self.park.store = Some(store);
    }

    /// Parks everything if it is time for that.
    pub(in crate::server) fn park(&mut self) -> Option<Parted> {
        let (now, is_leaving) = (self.turn.now().instant, self.turn.is_leaving());
        match self.park.state.poll(now, is_leaving, || self.turn.is_asked())? {
            Step::Insist => {
                if !is_leaving {
                    self.turn.leave();
                }
                self.turn.leave();
                None
            }
            Step::Park => {
                let parted = self.park_all();
                if let Err(why) = &parted {
                    warn!("Not parking the connections: {why}");
                    self.turn.leave();
                }
                parted.ok()
            }
        }
    }

    fn park_all(&mut self) -> io::Result<Parted> {
        let (channel, kept) = Channel::pair()?;
        channel.widen(self.turn.connections().div_ceil(MAX_DESCRIPTORS) + OTHERS);
        let draft = Draft::new()?;
        let store = self.park.store.as_mut().ok_or(ErrorKind::NotFound)?;
        // Ahead of what it is to hold: beyond the limit on descriptors in flight it could not be sent any more.
        let kept_by_store = store.keep(kept.as_fd());
        drop(kept);
        let moved = match kept_by_store {
            Ok(()) if channel.is_abandoned() => Err(io::Error::other(
                "the service manager has not kept them: FileDescriptorStoreMax= is used up",
            )),
            Ok(()) => self.leave_all(&channel, draft),
            Err(why) => Err(why),
        };
        match moved {
            Ok(moved) => Ok(self.part_with_parked(&moved)),
            Err(why) => {
                self.park.store.iter_mut().for_each(|store| store.forget());
                Err(why)
            }
        }
    }

    /// Leaves everything in the channel. The keys of the connections that are in it.
    fn leave_all(&mut self, channel: &Channel, mut draft: Draft) -> io::Result<Vec<usize>> {
        let (at, format) = (Now::moment(), *FORMATS.end());
        let packed = draft.write(|file| self.turn.pack_to_leave(at, format, usize::MAX, file))?;
        let moved = packed.connections;
        for (sockets, descriptors) in Offer::of(&self.doors, None).messages(format, None) {
            channel.send(&Parked::Server(sockets), &descriptors)?;
        }
        channel.send(&Parked::Image { connections: moved.len() as u64 }, &[draft.as_fd()])?;
        let descriptors: Vec<BorrowedFd<'_>> =
            self.turn.sockets(&moved).into_iter().map(AsFd::as_fd).collect();
        let moved = match leave(channel, &descriptors)? {
            (_, None) => moved,
            (0, Some(why)) => return Err(io::Error::other(why)),
            (fitting, Some(why)) => {
                warn!("{} connections do not fit, and are let go: {why}", moved.len() - fitting);
                draft.write(|file| self.turn.pack_to_leave(at, format, fitting, file))?.connections
            }
        };
        draft.seal()?;
        Ok(moved)
    }

    /// These are the next start's, and so is all else. Who is left has a moment.
    fn part_with_parked(&mut self, moved: &[usize]) -> Parted {
        let registry = self.poll.registry();
        for key in moved {
            // The channel has them, too: to close them here would not end their events.
            let _ = self.turn.socket(*key).map(|socket| socket.deregister(registry));
        }
        self.doors.bequeath(registry);
        self.succession.close_path();
        // In case that what is kept gets lost.
        if let (Some(file), Some(snapshot)) = (self.state_file.take(), self.turn.snapshot_at_cut()) {
            file.leave_behind(&snapshot);
        }
        self.turn.part_with(moved, Drain::new(LEFT_BEHIND, LEFT_BEHIND));
        let (parked, left) = (moved.len(), self.turn.connections());
        info!(
            "Parked {parked} connections with the service manager until the next start; {left} could not be parked"
        );
        Parted { parked, left }
    }
}

/// Sends connections that nobody takes yet: how many there was room for, and why no more.
fn leave(channel: &Channel, descriptors: &[BorrowedFd<'_>]) -> io::Result<(usize, Option<&'static str>)> {
    let mut sent = 0;
    for batch in descriptors.chunks(MAX_DESCRIPTORS) {
        let connections = u32::try_from(batch.len()).map_err(|_| ErrorKind::InvalidInput)?;
        match channel.send(&Parked::Batch { connections }, batch) {
            Ok(()) => sent += batch.len(),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                return Ok((sent, Some("the system has no more room for them (net.core.wmem_max)")));
            }
            Err(e) if e.raw_os_error() == Some(libc::ETOOMANYREFS) => {
                return Ok((
                    sent,
                    Some("as many as the limit on open files wait somewhere already (LimitNOFILE=)"),
                ));
            }
            Err(e) => return Err(e),
        }
    }
    Ok((sent, None))
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
        let (sent, why) = leave(&channel, &many).unwrap();
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
        assert!(!channel.is_abandoned());
        drop(kept);
        assert!(channel.is_abandoned());
    }

    #[test]
    fn there_is_room_for_many_connections_by_default() {
        let (channel, _kept) = Channel::pair().unwrap();
        let socket = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let many = vec![socket.as_fd(); 50_000];
        channel.widen(many.len() / MAX_DESCRIPTORS);
        assert_eq!(leave(&channel, &many).unwrap(), (many.len(), None));
    }
}
