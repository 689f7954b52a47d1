//! A server that parks its connections: all of them wait in a channel, which the service manager keeps until its next start.
//! When, is decided in `policy::parking`.

use std::io::{self, ErrorKind};

use log::{info, warn};

use super::bundle::{Bundle, Store, leave};
use super::giving::let_go;
use super::offer::Offer;
use crate::policy::drain::Drain;
use crate::policy::parking::{LEFT_BEHIND, Parking, Step};
use crate::server::Server;
use crate::server::clock::Now;
use crate::server::state_file::StateFile;
use crate::wire::handover::FORMATS;
use crate::wire::handover::parked::Left;

/// As whom operators know who asks a server to leave that was to park.
const SIGTERM: &str = "SIGTERM";
const UNPARKED: &str = "SIGTERM, as the connections could not be parked";

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
                    self.turn.leave(SIGTERM);
                }
                self.turn.leave(SIGTERM);
                None
            }
            Step::Park => {
                let parted = self.park_all();
                if let Err(why) = &parted {
                    warn!("Not parking the connections: {why}");
                    self.turn.leave(UNPARKED);
                }
                parted.ok()
            }
        }
    }

    fn park_all(&mut self) -> io::Result<Parted> {
        let store = self.park.store.as_mut().ok_or(ErrorKind::NotFound)?;
        let bundle = Bundle::kept_by(store.as_mut())?;
        match self.leave_all(bundle) {
            Ok(moved) => Ok(self.part_with_parked(&moved)),
            Err(why) => {
                self.park.store.iter_mut().for_each(|store| store.forget());
                Err(why)
            }
        }
    }

    /// Leaves everything in the bundle. The keys of the connections that are in it.
    fn leave_all(&mut self, bundle: Bundle) -> io::Result<Vec<usize>> {
        let (at, format) = (Now::moment(), *FORMATS.end());
        let parts = bundle.fill(&Offer::of(&self.doors, None), format, 1)?;
        let part = parts.first().ok_or(ErrorKind::NotFound)?;
        let moved = leave(part, &mut self.turn, at, format)?;
        let left = Left {
            at: at.monotonic,
            behind: (self.turn.connections() - moved.len()) as u64,
            connections: moved.len() as u64,
            state_file: self.state_file.as_ref().map(StateFile::octets_of_path),
        };
        bundle.complete(|file| self.turn.pack_rest(at, format, &left, file))?;
        Ok(moved)
    }

    /// These are the next start's, and so is all else. Who is left has a moment.
    fn part_with_parked(&mut self, moved: &[usize]) -> Parted {
        let registry = self.poll.registry();
        let_go(moved, &mut self.turn, registry);
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
