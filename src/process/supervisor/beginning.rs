//! How a supervisor begins, alone or where another process stops.

use std::path::Path;

use mio::Registry;

use super::taking::Taking;
use super::{Supervisor, SupervisorError};
use crate::config::Config;
use crate::process::crew::Crew;
use crate::process::handover::{self, Approach, SuccessionError};
use crate::process::listeners::slots::SlotSockets;
use crate::server::bound_socket::BoundSocket;
use crate::server::socket::Stream;
use crate::server::state_file::StateFile;

/// What there is before any worker is started.
pub(super) struct Beginning {
    pub(super) listeners: SlotSockets,
    /// Where a successor may connect.
    pub(super) path: Option<BoundSocket>,
    /// The process that hands over, if there is one.
    pub(super) taking: Option<Taking>,
}

/// Listens, on the sockets of a process that hands over if there is one.
pub(super) fn begin(
    config: &Config,
    approach: Approach,
    inherited: Option<BoundSocket>,
    state_file: Option<&StateFile>,
    crew: &mut Crew<Stream>,
    registry: &Registry,
) -> Result<Beginning, SupervisorError> {
    Ok(match handover::inherit(config, approach)? {
        Some(mut inheritance) => {
            let slots = std::mem::take(&mut inheritance.slots).into_values().collect();
            let (admin, path, is_own) =
                (inheritance.admin.take(), inheritance.path.take(), inheritance.is_own);
            let taking = Taking::new(inheritance, config.workers.into(), registry)
                .map_err(SuccessionError::TakeOver)?;
            let opened = || -> Result<_, SupervisorError> {
                let listeners = SlotSockets::adopt(config, inherited, slots, admin, is_own)?;
                Ok((listeners, handover::adopt(config, path)?))
            };
            let (listeners, path) = opened().inspect_err(|why| taking.decline(&why.to_string()))?;
            crew.await_predecessor();
            Beginning { listeners, path, taking: Some(taking) }
        }
        None => {
            let path = handover::open(config)?;
            let listeners = SlotSockets::open(config, inherited)?;
            if let Some(snapshot) = state_file.map(StateFile::take_up).transpose()?.flatten() {
                crew.restore(snapshot);
            }
            Beginning { listeners, path, taking: None }
        }
    })
}

impl Supervisor {
    /// The file of a socket that was taken over goes with it from now on; whether it is listened on here.
    pub(super) fn own_file(&mut self, file: &Path) -> bool {
        BoundSocket::own_file_of(self.listeners.bound_mut().chain(&mut self.path), file)
    }
}
