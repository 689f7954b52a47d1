//! Parking connections with the service manager when this process is told to leave, and going on with those that an earlier one
//! has parked there.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use log::{info, warn};
use thiserror::Error;

use crate::config::Config;
use crate::ffi;
use crate::process::handover::Doors;
use crate::process::listeners::{self, OpenError};
use crate::process::service_manager;
use crate::server::address::Address;
use crate::server::bound_socket::{BoundSocket, ListenError};
use crate::server::handover::Store;
use crate::server::handover::channel::Channel;
use crate::server::handover::parked::{Parked, ParkedError};
use crate::server::{Server, Service, StartError};

/// The name of what is kept, among all that the service manager hands a process (FDNAME=, sd_pid_notify_with_fds(3)).
pub const PARKED: &str = "slackwater-parked";

/// The service manager, as one that keeps something.
#[derive(Debug)]
struct ServiceManager {
    timeout: Duration,
}

impl Store for ServiceManager {
    fn keep(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let kept = service_manager::keep(PARKED, descriptor, self.timeout);
        kept.map_err(|why| {
            io::Error::new(why.kind(), format!("the service manager does not keep them: {why}"))
        })
    }

    fn forget(&mut self) {
        service_manager::forget(PARKED);
    }
}

/// Where connections are to be parked, if they are to be and can be.
pub fn store(config: &Config) -> Option<Box<dyn Store>> {
    if !config.handover.park {
        return None;
    }
    let why = match service_manager::room() {
        _ if config.workers > 1 => "of several workers nobody is parked",
        None => {
            "the service manager keeps nothing for the next start: set FileDescriptorStoreMax=1 in its unit"
        }
        Some(_) => return Some(Box::new(ServiceManager { timeout: config.handover.handover_timeout })),
    };
    warn!("SLACKWATER_PARK is set in vain, and the server drains when it is told to leave: {why}");
    None
}

/// What earlier processes have parked. To be asked before this process opens anything that could get its number.
pub fn find() -> Vec<Channel> {
    let handed_over = service_manager::handed_over().unwrap_or_default().into_iter();
    let parked = handed_over.filter(|(_, name)| name == PARKED).filter_map(|(fd, _)| ffi::socket(fd).ok());
    // Whatever it was made, it is not waited for.
    let parked = parked.filter(|socket| socket.set_nonblocking(true).is_ok());
    parked.map(|socket| OwnedFd::from(socket).into()).collect()
}

/// Why it is not gone on with.
#[derive(Debug, Error)]
enum UnparkError {
    #[error(transparent)]
    Parked(#[from] ParkedError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Closes what was parked: it cannot be gone on with.
pub fn close(parked: Vec<Channel>, why: &str) {
    if parked.is_empty() {
        return;
    }
    drop(parked);
    service_manager::forget(PARKED);
    warn!("The connections that were parked are closed: {why}");
}

/// Goes on with what was parked, if there is anything that can be gone on with: otherwise it is closed. What is listened on was
/// `inherited`, or parked, if it is what the configuration names, or is opened.
pub fn go_on(
    config: &Config,
    inherited: Option<&BoundSocket>,
    parked: Vec<Channel>,
) -> Option<(Server, Option<Address>)> {
    if parked.is_empty() {
        return None;
    }
    let read: Vec<_> = parked.iter().filter_map(|channel| Parked::read(channel).transpose()).collect();
    drop(parked);
    // Whatever becomes of them, nothing is left in it.
    service_manager::forget(PARKED);
    let mut server = None;
    for parked in read {
        let taken = match parked {
            Ok(_) if server.is_some() => continue,
            Ok(parked) => take_up(config, inherited, parked),
            Err(why) => Err(why.into()),
        };
        match taken {
            Ok(taken) => server = Some(taken),
            Err(why) => warn!("The connections that were parked are closed: {why}"),
        }
    }
    server
}

fn take_up(
    config: &Config,
    inherited: Option<&BoundSocket>,
    mut parked: Parked,
) -> Result<(Server, Option<Address>), UnparkError> {
    let inherited = inherited.map(BoundSocket::share).transpose()?;
    let pid = parked.pid;
    let Doors { slots, admin, files, .. } = Doors::of(std::mem::take(&mut parked.sockets))?;
    let public = BoundSocket::join(slots.into_values());
    let listening = listeners::adopt(config, inherited, public, false)?;
    let admin = listeners::adopt_admin(config, admin, false)?;
    let admin_address = admin.as_ref().map(|admin| admin.address().clone());
    let mut server = Server::over(listening, admin, config, Service::Notifications)?;
    let (count, silent) = server.take_up_parked(parked)?;
    // Those of sockets that nobody listens on any more go now.
    files.iter().filter(|file| !server.own_file(file)).for_each(|file| drop(fs::remove_file(file)));
    info!(
        "Took up {count} connections that process {pid} had parked: nobody was heard for {} ms",
        silent.as_millis()
    );
    Ok((server, admin_address))
}
