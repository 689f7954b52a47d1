//! Everything that a server knows and is in the midst of, as it is handed over to another process.

use std::io::{self, Write};

use bytes::Bytes;

use super::Turn;
use crate::policy::drain::Drain;
use crate::server::clock::Now;
use crate::server::peers::{Arrival, Most};
use crate::server::socket::Socket;
use crate::wire::handover::Damaged;
use crate::wire::handover::image::{Entry, Reader, Whole, Writer};
use crate::wire::handover::parked::Left;
use crate::wire::handover::times::Moment;
use crate::wire::metrics::Handover;
use crate::wire::snapshot::Snapshot;

/// What was written of a server.
#[derive(Debug)]
pub struct Packed {
    /// Bytes of the image.
    pub bytes: u64,
    /// The keys of the connections in it, in their order.
    pub connections: Vec<usize>,
}

impl<S: Socket> Turn<S> {
    /// Whether somebody is in the midst of a request, so that its connection could not be handed over now.
    pub fn is_asked(&self) -> bool {
        self.peers.is_asked()
    }

    /// Writes how everything stands, in this format. Takes nothing away: until `part_with`, all goes on here if it has to.
    ///
    /// # Errors
    /// Those of writing.
    pub fn pack(&mut self, at: Moment, format: u32, to: impl Write) -> io::Result<Packed> {
        self.pack_within(Most::default(), at, format, to)
    }

    /// As `pack`, with no more than this.
    ///
    /// # Errors
    /// Those of writing.
    pub fn pack_within(&mut self, most: Most, at: Moment, format: u32, to: impl Write) -> io::Result<Packed> {
        let mut image = Writer::new(to, format)?;
        self.peers.forget_old(self.now);
        let addresses = self.peers.addresses_lately(self.now, at);
        image.whole(&Whole { addresses, ..self.whole(at) })?;
        if let Some(snapshot) = self.snapshot_at_cut() {
            image.history(&snapshot)?;
        }
        let connections = self.peers.pack(self.now, at, most, &mut image)?;
        Ok(Packed { bytes: image.end()?, connections })
    }

    /// Writes how the connections stand, so many at most, for a later start.
    ///
    /// # Errors
    /// Those of writing.
    pub fn pack_part(&mut self, at: Moment, format: u32, most: usize, to: impl Write) -> io::Result<Packed> {
        let most = Most { connections: most, ..Most::default() };
        let mut image = Writer::new(to, format)?;
        self.peers.forget_old(self.now);
        let addresses = self.peers.addresses_lately(self.now, at);
        image.whole(&Whole { addresses, ..Whole::default() })?;
        let connections = self.peers.pack(self.now, at, most, &mut image)?;
        Ok(Packed { bytes: image.end()?, connections })
    }

    /// Writes how everything else stands, and how it was left.
    ///
    /// # Errors
    /// Those of writing.
    pub fn pack_rest(&mut self, at: Moment, format: u32, left: &Left, to: impl Write) -> io::Result<()> {
        let mut image = Writer::new(to, format)?;
        image.whole(&self.whole(at))?;
        if let Some(snapshot) = self.snapshot_at_cut() {
            image.history(&snapshot)?;
        }
        image.left(left)?;
        image.end().map(drop)
    }

    fn whole(&mut self, at: Moment) -> Whole {
        let (notifications, begun) = self.order.counted(self.peers.line().newest()).unzip();
        Whole {
            // What a worker has counted it tells its supervisor.
            counted: match self.order.has_supervisor() {
                true => None,
                false => serde_json::to_string(&self.peers.metrics(self.now)).ok(),
            },
            notifications: notifications.unwrap_or_default(),
            next_notification: self.notify.map(|(_, due)| at.monotonic(due)),
            begun,
            addresses: vec![],
        }
    }

    /// What was published lately; nothing is published until `part_with`. A worker's is its supervisor's.
    pub fn snapshot_at_cut(&self) -> Option<Snapshot> {
        self.order.snapshot(self.peers.line(), self.now)
    }

    /// Goes on with what another process has counted.
    pub fn go_on_counting(&mut self, counted: Option<&str>) {
        let counted = counted.and_then(|counted| serde_json::from_str(counted).ok());
        counted.into_iter().for_each(|counted| self.peers.go_on_counting(counted));
    }

    /// A hand-over has come to an end.
    pub fn count_handover(&mut self, handover: Handover) {
        self.peers.count_handover(handover);
    }

    /// The socket of a connection.
    pub fn socket(&mut self, key: usize) -> Option<&mut S> {
        self.peers.socket(key)
    }

    /// The sockets of connections that are here.
    pub fn sockets(&self, keys: &[usize]) -> Vec<&S> {
        self.peers.sockets(keys)
    }

    /// These connections are another process's from here on, and so is all else. Who is left is to end, as in a drain.
    pub fn part_with(&mut self, moved: &[usize], drain: Drain) {
        self.forget_holding();
        self.peers.part_with(moved, self.now);
        (self.drain, self.notify) = (drain, None);
        self.leave("a hand-over of everything else");
    }

    /// Goes on where another process has stopped. Nobody must have connected yet. `socket` makes the sockets of the
    /// connections, in the order of the image. Says how it was left, if that was for a later start.
    ///
    /// # Errors
    /// Those of `socket`, and when the image is none that can be gone on with.
    pub fn take_over(
        &mut self,
        image: &[u8],
        now: Now,
        at: Moment,
        mut socket: impl FnMut(Arrival) -> io::Result<S>,
    ) -> io::Result<Option<Left>> {
        self.now = now;
        let damaged = |_| io::Error::other(Damaged);
        let mut entries = Reader::new(image).map_err(damaged)?;
        let Some(Entry::Whole(whole)) = entries.next_entry().map_err(damaged)? else {
            return Err(io::Error::other(Damaged));
        };
        if !self.order.has_supervisor() {
            self.go_on_counting(whole.counted.as_deref());
        }
        self.peers.remember_addresses(&whole.addresses, now, at);
        let (mut shared, mut is_restored, mut left): (Vec<Bytes>, _, _) = (vec![], false, None);
        while let Some(entry) = entries.next_entry().map_err(damaged)? {
            match entry {
                // A worker hears it from its supervisor.
                Entry::Snapshot(_) if self.order.has_supervisor() => {}
                Entry::Snapshot(octets) if !is_restored && self.peers.connections() == 0 => {
                    is_restored = true;
                    let snapshot = Snapshot::decode_handed_over(octets);
                    self.restore(snapshot.map_err(|_| io::Error::other(Damaged))?);
                }
                Entry::Whole(_) | Entry::Snapshot(_) => return Err(io::Error::other(Damaged)),
                Entry::Shared(octets) => shared.push(Bytes::copy_from_slice(octets)),
                Entry::Connection(record) => {
                    self.peers.take_over(*record, &mut socket, self.now, at, &shared)?;
                }
                Entry::Left(how) => left = Some(how),
            }
        }
        self.go_on(&whole, at);
        Ok(left)
    }

    /// Goes on with the order, which is known by now.
    fn go_on(&mut self, whole: &Whole, at: Moment) {
        // That of one of several workers says nothing of it.
        if let Some(begun) = whole.begun {
            self.order.go_on_counting(whole.notifications, begun, self.peers.line().newest());
        }
        if let (Some((period, due)), Some(next)) = (&mut self.notify, whole.next_notification) {
            *due = at.instant(next).min(self.now + *period);
        }
    }
}

#[cfg(test)]
#[path = "moving_tests.rs"]
mod tests;
