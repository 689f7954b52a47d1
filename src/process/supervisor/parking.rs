//! A supervisor that parks: its workers leave their connections in channels of their own, and all of these, with everything else,
//! stay with the service manager until the next start. Until all is there, all go on if it fails.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::Instant;

use log::{info, warn};

use super::Supervisor;
use crate::policy::handover::crew::CrewStep;
use crate::policy::handover::{Heard, LEAVING, Why};
use crate::process::service_manager;
use crate::server::clock::Now;
use crate::server::handover::bundle::Bundle;
use crate::server::state_file::StateFile;
use crate::wire::handover::FORMATS;
use crate::wire::handover::image::{Whole, Writer};
use crate::wire::handover::message::Passage;
use crate::wire::handover::parked::Left;
use crate::wire::snapshot::Snapshot;

/// What is being parked.
pub(super) struct Parking {
    bundle: Bundle,
    deadline: Instant,
    /// Since when nobody is heard.
    held_since: Option<Instant>,
    /// How everything stands but for the workers, from the moment on in which nothing is positioned any more.
    rest: Option<(Whole, Snapshot)>,
}

impl Supervisor {
    /// Whether to be told to leave means to park.
    pub(super) fn parks(&self) -> bool {
        self.store.is_some() && self.parking.is_none() && !self.crew.is_leaving() && !self.has_parted
    }

    /// Begins to park.
    pub(super) fn begin_parking(&mut self) {
        // Whoever is about to take over is told so.
        if self.crew.is_handed_over() {
            self.crew.on_handover_failed(LEAVING.to_owned());
            self.hand_over();
        }
        let Some(store) = self.store.as_mut().filter(|_| !self.has_parted) else { return };
        match Bundle::kept_by(store.as_mut()) {
            Ok(bundle) => {
                let deadline = Now::read() + self.config.handover.handover_timeout;
                self.crew.park(deadline);
                self.parking = Some(Parking { bundle, deadline, held_since: None, rest: None });
            }
            Err(why) => self.leave_unparked(&why),
        }
    }

    /// Does what is next.
    pub(super) fn park(&mut self, step: CrewStep) {
        let done = match step {
            CrewStep::Offer { .. } | CrewStep::WindUp => Ok(()),
            CrewStep::Hold => {
                let now = Now::read().instant;
                self.parking.iter_mut().for_each(|parking| parking.held_since = Some(now));
                Ok(())
            }
            CrewStep::Move => self.park_parts(),
            CrewStep::Commit => match self.park_rest() {
                Ok(()) => return,
                Err(why) => return self.stop_parking(&why),
            },
            CrewStep::GiveUp(Why::Silent(_)) => {
                return self
                    .stop_parking(&"the workers have not left everything in time (--handover-timeout)");
            }
            CrewStep::GiveUp(why) => return self.stop_parking(&why),
        };
        if let Err(why) = done {
            self.crew.on_handover_failed(why.to_string());
        }
    }

    /// Has all workers leave their connections in the bundle.
    fn park_parts(&mut self) -> io::Result<()> {
        let (workers, format) = (self.crew.moving(), *FORMATS.end());
        let Some(parking) = &mut self.parking else { return Ok(()) };
        let offer = super::giving::offer(&self.listeners, None);
        let offer = offer.with_tickets(self.config.ssl.ticket_secret.as_ref());
        let channels = parking.bundle.fill(&offer, format, workers.len())?;
        for (worker, channel) in workers.iter().zip(channels) {
            let line = self.lines.iter().find(|(id, _)| id == worker).map(|(_, line)| line);
            let sent = line.map(|line| line.send_by(parking.deadline, &Passage {}, &[channel.as_fd()]));
            match sent.transpose() {
                // It has ended, which is about to be seen.
                Err(why) if why.kind() == ErrorKind::BrokenPipe => {}
                sent => drop(sent?),
            }
        }
        parking.rest = Some(self.crew.cut_to_park(Now::moment(), format));
        // They are told at once.
        self.crew.settle();
        self.crew.sent();
        // Nobody else has to be ready for it.
        self.crew.on_heard(Heard::Prepared);
        Ok(())
    }

    /// Completes the bundle: from then on everything is the next start's.
    fn park_rest(&mut self) -> io::Result<()> {
        let Some(Parking { bundle, held_since, rest: Some((mut whole, snapshot)), .. }) = self.parking.take()
        else {
            return Err(ErrorKind::NotFound.into());
        };
        let (moved, stayed) = self.crew.counted_moved();
        whole.counted = serde_json::to_string(&self.crew.counted()).ok();
        let at = Now::moment();
        let left = Left {
            at: at.monotonic(held_since.unwrap_or(at.instant)),
            behind: stayed,
            connections: moved,
            state_file: self.state_file.as_ref().map(StateFile::octets_of_path),
        };
        bundle.complete(|file| {
            let mut image = Writer::new(file, *FORMATS.end())?;
            image.whole(&whole)?;
            image.history(&snapshot)?;
            image.left(&left)?;
            image.end().map(drop)
        })?;
        self.crew.part();
        self.crew.settle();
        self.listeners.bequeath();
        self.path = None;
        self.accept_at = None;
        // In case that what is kept gets lost.
        self.state_file.take().iter().for_each(|file| file.leave_behind(&snapshot));
        self.has_parted = true;
        service_manager::parked(usize::try_from(moved).unwrap_or(usize::MAX));
        info!(
            "Parked {moved} connections with the service manager until the next start; {stayed} could not be parked"
        );
        Ok(())
    }

    /// Nothing is parked: all go on, and leave as ever.
    fn stop_parking(&mut self, why: &dyn fmt::Display) {
        self.parking = None;
        self.store.iter_mut().for_each(|store| store.forget());
        self.crew.resume();
        self.leave_unparked(why);
    }

    fn leave_unparked(&mut self, why: &dyn fmt::Display) {
        warn!("Not parking the connections: {why}");
        if !self.crew.is_leaving() {
            self.crew.leave("SIGTERM, as the connections could not be parked");
        }
    }
}
