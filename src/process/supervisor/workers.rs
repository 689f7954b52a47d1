//! The processes of workers: how each is started, looked at and killed. When, the crew says.

use std::io;
use std::os::fd::OwnedFd;

use log::{debug, error};
use mio::{Interest, Token};

use super::{FIRST_WORKER, Supervisor};
use crate::policy::roster::{Exit, SlotId, WorkerId};
use crate::process::program::Started;
use crate::process::sight;
use crate::server::handover::Origin;
use crate::server::socket::Stream;
use crate::server::transport::Transport;

impl Supervisor {
    /// Starts one; what it finds in its files it cannot use, it is told as it was when that could last be done.
    pub(super) fn start(&mut self, worker: WorkerId, slot: SlotId) {
        let number = u32::try_from(slot + 1).unwrap_or(u32::MAX);
        let origin = self.origin_of(slot);
        let sockets = self.listeners.of(slot);
        let started =
            sockets.and_then(|sockets| self.program.start(number, sockets, origin?, self.keeper.last_good()));
        let admitted = started.and_then(|Started { child, link, line }| {
            let (mut socket, token) = (Stream::from(link), Token(FIRST_WORKER + worker as usize));
            debug!("Started worker {} as process {}", slot + 1, child.id());
            let pid = child.id();
            self.children.push((worker, child));
            self.lines.push((worker, line));
            self.poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
            self.crew.admit(worker, number, pid, Transport::Plain(socket));
            Ok(())
        });
        if let Err(why) = admitted {
            error!("cannot start {} as worker {}: {why}", self.program.path().display(), slot + 1);
            self.crew.on_exit(worker, Exit::NotStarted);
            self.has_lost_one = true;
        }
    }

    /// Where the connections come from that the worker in this slot takes up, before any of them serves.
    fn origin_of(&mut self, slot: SlotId) -> io::Result<Option<Origin<OwnedFd>>> {
        if let Some(taking) = &mut self.taking {
            return Ok(Some(Origin::Predecessor(taking.channels_of(slot))));
        }
        let taking_up = self.taking_up.as_ref();
        taking_up.map(|taking_up| Ok(Origin::Parked(taking_up.channels_of(slot)?))).transpose()
    }

    /// Looks at what a worker's process does.
    pub(super) fn look(&mut self, worker: WorkerId) {
        let child = self.children.iter().find(|(id, _)| *id == worker);
        let sight = child.and_then(|(_, child)| sight::of(child.id()));
        self.crew.on_seen(worker, sight);
    }

    pub(super) fn kill(&mut self, worker: WorkerId) {
        if let Some((_, child)) = self.children.iter_mut().find(|(id, _)| *id == worker)
            && let Err(why) = child.kill()
        {
            error!("cannot kill worker process {}: {why}", child.id());
        }
    }
}
