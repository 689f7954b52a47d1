//! How a supervisor begins, alone or where another process stops.

use std::path::Path;

use mio::Registry;

use super::taking::Taking;
use super::taking_up::TakingUp;
use super::{Supervisor, SupervisorError};
use crate::config::Config;
use crate::config::ssl::TicketSecret;
use crate::policy::roster::Times;
use crate::process::crew::{Crew, CrewTerms};
use crate::process::former::Former;
use crate::process::handover::{self, Approach, Doors, SuccessionError};
use crate::process::listeners::OpenError;
use crate::process::listeners::slots::SlotSockets;
use crate::process::parking;
use crate::server::bound_socket::BoundSocket;
use crate::server::handover::channel::Channel;
use crate::server::socket::Stream;
use crate::server::state_file::StateFile;
use crate::server::terms::{history_limits, random_epoch};
use crate::server::transport::Transport;

/// What there is before any worker is started.
pub(super) struct Beginning {
    pub(super) listeners: SlotSockets,
    /// Where a successor may connect.
    pub(super) path: Option<BoundSocket>,
    /// The process that hands over, if there is one.
    pub(super) taking: Option<Taking>,
    /// What an earlier server has parked, if it has.
    pub(super) taking_up: Option<TakingUp>,
    /// By what those who were there before have made session tickets, if they have said so.
    pub(super) tickets: Option<TicketSecret>,
    /// What is to be said of keys that do not count though they have changed.
    pub(super) unheeded: Vec<String>,
}

/// Listens, on the sockets of a process that hands over if there is one.
pub(super) fn begin(
    config: &Config,
    approach: Approach,
    inherited: Option<BoundSocket>,
    parked: Vec<Channel>,
    state_file: Option<&StateFile>,
    crew: &mut Crew<Transport<Stream>>,
    registry: &Registry,
) -> Result<Beginning, SupervisorError> {
    Ok(match handover::inherit(config, approach)? {
        Some(mut inheritance) => {
            let slots = std::mem::take(&mut inheritance.slots).into_values().collect();
            let (admin, redirect) = (inheritance.admin.take(), inheritance.redirect.take());
            let (path, is_own) = (inheritance.path.take(), inheritance.is_own);
            let tickets = inheritance.tickets.take();
            let taking = Taking::new(inheritance, config.workers.into(), registry)
                .map_err(SuccessionError::TakeOver)?;
            let opened = || -> Result<_, SupervisorError> {
                let listeners = SlotSockets::adopt(config, inherited, slots, admin, redirect, is_own)?;
                let former = Former::told().filter(|_| is_own);
                let unheeded = former.zip(listeners.listening());
                let unheeded = unheeded.map(|(former, listening)| former.unheeded(config, listening));
                Ok((listeners, handover::adopt(config, path)?, unheeded.transpose()?.unwrap_or_default()))
            };
            let (listeners, path, unheeded) =
                opened().inspect_err(|why| taking.decline(&config.sources.locate(&why.to_string())))?;
            crew.await_predecessor();
            Beginning { listeners, path, taking: Some(taking), taking_up: None, tickets, unheeded }
        }
        None => {
            let path = handover::open(config)?;
            let (listeners, mut taking_up) = match begin_with_parked(config, inherited.as_ref(), parked)? {
                Some((listeners, taking_up)) => {
                    crew.await_predecessor();
                    (listeners, Some(taking_up))
                }
                None => {
                    let listeners = SlotSockets::open(config, inherited)?;
                    if let Some(snapshot) = state_file.map(StateFile::take_up).transpose()?.flatten() {
                        crew.restore(snapshot);
                    }
                    (listeners, None)
                }
            };
            let tickets = taking_up.as_mut().and_then(|taking_up| taking_up.tickets.take());
            Beginning { listeners, path, taking: None, taking_up, tickets, unheeded: vec![] }
        }
    })
}

/// Listens on what was parked, if there is anything that can be gone on with: otherwise it is closed.
fn begin_with_parked(
    config: &Config,
    inherited: Option<&BoundSocket>,
    found: Vec<Channel>,
) -> Result<Option<(SlotSockets, TakingUp)>, SupervisorError> {
    let mut parked = parking::look(&found)?;
    let taking_up = match parked.as_mut().map(|parked| TakingUp::new(parked, config.workers.into())) {
        Some(Err(why)) if why.is_of_this_start() => {
            parking::say_kept(parked.map(|parked| parked.pid));
            return Err(why.into());
        }
        taking_up => taking_up.transpose().inspect_err(|why| parking::closed(why)).unwrap_or_default(),
    };
    let (Some(parked), Some(mut taking_up)) = (parked, taking_up) else {
        parking::forget(found);
        return Ok(None);
    };
    let pid = parked.pid;
    let open = || -> Result<_, OpenError> {
        let Doors { slots, admin, redirect, files, .. } = Doors::of(parked.sockets)?;
        let inherited = inherited.map(BoundSocket::share).transpose()?;
        let slots = slots.into_values().collect();
        Ok((SlotSockets::adopt(config, inherited, slots, admin, redirect, false)?, files))
    };
    let (listeners, files) = open().inspect_err(|_| parking::say_kept(Some(pid)))?;
    (taking_up.files, taking_up.found) = (files, found);
    Ok(Some((listeners, taking_up)))
}

impl Supervisor {
    /// The file of a socket that was taken over goes with it from now on; whether it is listened on here.
    pub(super) fn own_file(&mut self, file: &Path) -> bool {
        BoundSocket::own_file_of(self.listeners.bound_mut().chain(&mut self.path), file)
    }
}

/// What holds for the crew of this configuration.
pub(super) fn terms(config: &Config) -> CrewTerms {
    CrewTerms {
        workers: config.workers.into(),
        epoch: random_epoch(),
        history: history_limits(config),
        times: Times {
            healthcheck: config.timeout_worker_healthcheck,
            drain_delay: config.drain_delay,
            grace: config.timeout_graceful_shutdown,
            report_interval: config.drain_check_interval,
        },
        notify_interval: config.notify_interval.0,
    }
}
