//! Parking connections with the service manager when this process is told to leave, and going on with those that an earlier one
//! has parked there.

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::{info, warn};
use socket2::Socket;

use crate::config::Config;
use crate::ffi;
use crate::process::RunError;
use crate::process::handover::Doors;
use crate::process::listeners::{self, OpenError};
use crate::process::service_manager;
use crate::server::bound_socket::BoundSocket;
use crate::server::entrances::Entrances;
use crate::server::handover::bundle::Store;
use crate::server::handover::channel::Channel;
use crate::server::handover::parked::{Parked, ParkedError, TakenUp, silent_since};
use crate::server::state_file::StateFile;
use crate::server::{Server, Service};
use crate::wire::handover::message::Listening;

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
        kept.map_err(|why| match why.raw_os_error() {
            // It was not even sent.
            Some(libc::ETOOMANYREFS) => why,
            _ => io::Error::new(why.kind(), format!("the service manager does not keep them: {why}")),
        })
    }

    fn forget(&mut self) {
        service_manager::forget(PARKED);
    }
}

/// Why nobody will be parked, though everybody is to be.
pub fn is_in_vain(config: &Config) -> Option<&'static str> {
    let is_kept = !config.handover.park || service_manager::room().is_some();
    (!is_kept).then_some(
        "SLACKWATER_PARK is set in vain, and the server drains when it is told to leave: the service manager keeps nothing for the next start: set FileDescriptorStoreMax=1 in its unit",
    )
}

/// Where connections are to be parked, if they are to be and can be.
pub fn store(config: &Config) -> Option<Box<dyn Store>> {
    if let Some(why) = is_in_vain(config) {
        warn!("{why}");
        return None;
    }
    let timeout = config.handover.handover_timeout;
    config.handover.park.then(|| Box::new(ServiceManager { timeout }) as Box<dyn Store>)
}

/// What earlier processes have parked. To be asked before this process opens anything that could get its number.
pub fn find() -> Vec<Channel> {
    if let Some(pid) = service_manager::handed_to_another(PARKED) {
        warn!(
            "What was parked was handed to process {pid} and not to this one, and is not taken up: a script that starts the server is to do so by exec"
        );
    }
    let handed_over = service_manager::handed_over().unwrap_or_default().into_iter();
    let parked = handed_over.filter(|(_, name)| name == PARKED).map(|(fd, _)| {
        let socket = ffi::socket(fd)?;
        // Whatever it was made, it is not waited for.
        socket.set_nonblocking(true)?;
        Ok(OwnedFd::from(socket).into())
    });
    let (channels, others): (Vec<io::Result<Channel>>, Vec<_>) = parked.partition(Result::is_ok);
    others.iter().filter_map(|other| other.as_ref().err()).for_each(|why| closed(why));
    // Beside something that may be gone on with it goes later, with that.
    if channels.is_empty() && !others.is_empty() {
        service_manager::forget(PARKED);
    }
    channels.into_iter().flatten().collect()
}

/// What can be gone on with of what was parked; of anything else it is said that it is closed. All of it stays where it is.
///
/// # Errors
/// When another start may go on with it.
pub fn look(channels: &[Channel]) -> Result<Option<Parked>, ParkedError> {
    let mut found = None;
    for channel in channels {
        match Parked::look(channel) {
            Ok(Some(_)) if found.is_some() => closed(&"others were parked, too, and go on"),
            Ok(Some(parked)) => found = Some(parked),
            Ok(None) => info!("Nothing is in what was parked"),
            Err(why) if why.is_of_this_start() => {
                say_kept(None);
                return Err(why);
            }
            Err(why) => closed(&why),
        }
    }
    Ok(found)
}

/// Says that connections are closed.
pub fn closed(why: &dyn Display) {
    warn!("The connections that were parked are closed: {why}");
}

/// Closes what was parked and is still there, if it is, and has it kept no longer.
pub fn forget(channels: Vec<Channel>) {
    if channels.is_empty() {
        return;
    }
    // At once: the service manager takes its time, and what was listened on is in there, too.
    channels.iter().for_each(Channel::discard);
    drop(channels);
    service_manager::forget(PARKED);
}

/// Says that this start has failed, but that the next may go on with what was parked.
pub fn say_kept(pid: Option<u32>) {
    let what = pid.map_or("What was".to_owned(), |pid| format!("What process {pid} has"));
    warn!("{what} parked stays with the service manager, for the next start");
}

/// Says what of it was gone on with. What was left beside it, in case that it was lost, goes now: by it a later start would give
/// ids once more. So does what another start has left in this one's state file, and so do the files of sockets that nobody
/// listens on any more.
pub fn say_taken_up(pid: u32, taken: &TakenUp, state_file: Option<&StateFile>, unowned: &[PathBuf]) {
    let TakenUp { left, connections } = taken;
    unowned.iter().for_each(|file| drop(fs::remove_file(file)));
    let beside = left.state_file.as_ref().map(|path| StateFile::open(Path::new(OsStr::from_bytes(path))));
    let superseded = beside.map_or(Ok(()), |beside| beside?.supersede());
    for result in [superseded, state_file.map_or(Ok(()), StateFile::supersede)] {
        result.unwrap_or_else(|why| warn!("An older history is left where it was: {why}"));
    }
    let lost = left.connections.saturating_sub(*connections);
    if lost > 0 {
        warn!("{lost} of the connections that were parked are closed: they could not be taken up");
    }
    info!(
        "Took up {connections} connections that process {pid} had parked: nobody was heard for {} ms",
        silent_since(left).as_millis()
    );
}

/// Goes on with what was parked, if there is anything that can be gone on with: otherwise it is closed. What is listened on was
/// `inherited`, or parked, if it is what the configuration names, or is opened.
///
/// # Errors
/// Why this process cannot serve. Nothing is closed then.
pub fn go_on(
    config: &Config,
    inherited: Option<&BoundSocket>,
    state_file: Option<&StateFile>,
    channels: Vec<Channel>,
) -> Result<Option<Server>, RunError> {
    let Some(mut parked) = look(&channels)? else {
        forget(channels);
        return Ok(None);
    };
    let (pid, sockets) = (parked.pid, std::mem::take(&mut parked.sockets));
    let mut config = config.clone();
    config.ssl.ticket_secret = parked.tickets.take();
    let begun = begin(&config, inherited, sockets).inspect_err(|_| say_kept(Some(pid)));
    let (mut server, files) = begun?;
    let taken = match server.take_up_parked(&parked) {
        Err(why) if why.is_of_this_start() => {
            say_kept(Some(pid));
            return Err(why.into());
        }
        taken => taken.inspect_err(|why| closed(why)).ok(),
    };
    drop(parked);
    // Before anybody is served: a later start would go on where this one began.
    forget(channels);
    Ok(taken.map(|taken| {
        let unowned: Vec<_> = files.into_iter().filter(|file| !server.own_file(file)).collect();
        say_taken_up(pid, &taken, state_file, &unowned);
        server
    }))
}

/// A server that has no connections yet, and the files of the sockets that were parked.
fn begin(
    config: &Config,
    inherited: Option<&BoundSocket>,
    sockets: Vec<(Listening, Socket)>,
) -> Result<(Server, Vec<PathBuf>), RunError> {
    let inherited = inherited.map(BoundSocket::share).transpose().map_err(OpenError::Listen)?;
    let Doors { slots, admin, redirect, files, .. } = Doors::of(sockets)?;
    let public = BoundSocket::join(slots.into_values());
    let entrances = Entrances {
        public: listeners::adopt(config, inherited, public, false)?,
        admin: listeners::adopt_admin(config, admin, false)?,
        redirect: listeners::adopt_redirect(config, redirect, false)?,
    };
    Ok((Server::over(entrances, config, Service::Notifications)?, files))
}
