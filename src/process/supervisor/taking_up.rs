//! A supervisor that goes on with what an earlier server has parked. Its workers take up the connections; nobody serves before
//! all could.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use log::warn;

use super::{Supervisor, taking};
use crate::config::ssl::TicketSecret;
use crate::process::parking;
use crate::server::clock::Now;
use crate::server::handover::channel::Channel;
use crate::server::handover::parked::{Parked, ParkedError, TakenUp, completed};
use crate::wire::handover::Damaged;
use crate::wire::handover::image::Whole;
use crate::wire::handover::parked::Left;
use crate::wire::metrics::Metrics;
use crate::wire::snapshot::Snapshot;

/// What is taken up.
pub(super) struct TakingUp {
    pid: u32,
    /// For each slot the channels that its workers are given.
    of_slots: Vec<Vec<OwnedFd>>,
    left: Left,
    counted: Option<Metrics>,
    /// Until the workers are told.
    rest: Option<(Whole, Snapshot)>,
    /// A worker has ended before it served.
    has_lost_one: bool,
    /// By what it made session tickets, if it has said so.
    pub(super) tickets: Option<TicketSecret>,
    /// The files of its sockets.
    pub(super) files: Vec<PathBuf>,
    /// Where all of it was found.
    pub(super) found: Vec<Channel>,
}

impl TakingUp {
    /// Reads what says how everything stands, and spreads the connections over the slots.
    pub(super) fn new(parked: &mut Parked, slots: usize) -> Result<Self, ParkedError> {
        let (whole, snapshot, left) = taking::read(&parked.read_rest()?)?;
        Ok(Self {
            pid: parked.pid,
            of_slots: parked.spread(slots)?,
            left: left.ok_or(Damaged)?,
            counted: whole.counted.as_deref().and_then(|counted| serde_json::from_str(counted).ok()),
            rest: Some((whole, snapshot)),
            has_lost_one: false,
            tickets: parked.tickets.take(),
            files: vec![],
            found: vec![],
        })
    }

    /// Says that the next start may go on with it.
    pub(super) fn say_kept(&self) {
        parking::say_kept(Some(self.pid));
    }

    /// The channels for the worker that is started in this slot: it takes up whoever is still there.
    ///
    /// # Errors
    /// When the machine is out of descriptors.
    pub(super) fn channels_of(&self, slot: usize) -> io::Result<Vec<OwnedFd>> {
        self.of_slots.get(slot).into_iter().flatten().map(OwnedFd::try_clone).collect()
    }
}

impl Supervisor {
    /// Goes on with taking up, as far as that is possible now.
    pub(super) fn take_up(&mut self) {
        let Some(taking_up) = &mut self.taking_up else { return };
        if std::mem::take(&mut self.has_lost_one) {
            if !std::mem::replace(&mut taking_up.has_lost_one, true) {
                // Another may take up who is still there; nobody serves before.
                return self.crew.start_failed_again();
            }
            warn!("A worker has ended once more before it had taken up its part of what was parked");
        }
        let (there, ready) = self.crew.waiting();
        let all = self.crew.workers();
        if all == 0 {
            return;
        }
        if there == all
            && let Some((whole, snapshot)) = taking_up.rest.take()
        {
            self.crew.take_over(&whole, snapshot, Now::moment());
        }
        if ready == all && taking_up.rest.is_none() {
            self.serve_taken_up();
        }
    }

    fn serve_taken_up(&mut self) {
        let Some(TakingUp { pid, of_slots, left, counted, files, found, .. }) = self.taking_up.take() else {
            return;
        };
        // Before anybody is served: a later start would go on where this one began, and who is closed here would stay open.
        drop(of_slots);
        parking::forget(found);
        let taken = TakenUp { left, connections: self.crew.taken_up() };
        let unowned: Vec<PathBuf> = files.into_iter().filter(|file| !self.own_file(file)).collect();
        parking::say_taken_up(pid, &taken, self.state_file.as_ref(), &unowned);
        self.crew.succeed(counted.as_ref(), completed(&taken.left, taken.connections));
        self.crew.settle();
        // They have come while there was nobody to leave; no event announces them once more.
        self.accept_successors();
        self.ahead = self.take_signals();
    }
}
