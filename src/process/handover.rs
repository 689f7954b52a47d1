//! Starting a successor and taking over from a predecessor, as processes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use log::info;
use rustix::fs::fstat;
use rustix::process::{Pid, Signal, Uid, geteuid, kill_process};
use signal_hook::consts::{SIGHUP, SIGTERM};
use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;

use crate::config::Config;
use crate::config::ssl::TicketSecret;
use crate::process::detached::Detached;
use crate::process::listeners::{OpenError, is_at_path};
use crate::process::program::Program;
use crate::process::service_manager;
use crate::server::ListenError;
use crate::server::address::Address;
use crate::server::bound_socket::BoundSocket;
use crate::server::clock::Now;
use crate::server::control::Control;
use crate::server::handover::Launcher;
use crate::server::handover::channel::{self, Channel};
use crate::server::handover::taking::{Offer, TakeOverError, Taking};
use crate::server::prospect::{self, Prospect};
use crate::wire::handover::message::{Kind, Listening};

mod approach;

pub use approach::Approach;

/// The mode of the socket at `--handover`: who may connect gets everything.
const FOR_ITS_USER: u32 = 0o600;

/// Successors that wait there at most.
const BACKLOG: u16 = 8;

/// How much longer than the predecessor a successor waits that has been answered: which of them gives up first is for the other
/// to say, and why.
const PATIENCE: u32 = 2;

/// Why nothing is taken over.
#[derive(Debug, Error)]
pub enum SuccessionError {
    /// The path cannot be had.
    #[error("cannot use --handover {path}: {why}; choose another path, in a folder of this user's own")]
    Path {
        /// As given.
        path: String,
        /// What the system said.
        why: io::Error,
    },
    /// What was inherited is no channel.
    #[error("cannot take over from the process that has started this one: {0}")]
    Inherited(io::Error),
    /// No failure: it is not to serve any more.
    #[error("Told to leave before anything was taken over")]
    ToldToLeave,
    /// The predecessor does not hand over.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// What it listens on cannot be listened on.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Starts the program that is on disk as a successor, and tells the service manager what becomes of it.
#[derive(Debug)]
pub struct SuccessorProcess {
    program: Program,
    /// Of this process, as the service manager was told.
    status: String,
    successor: Option<Detached>,
    /// What the service manager has been told.
    told: Told,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    /// The service is about to be another process.
    Reloading,
    /// It is that one.
    Replaced,
}

impl SuccessorProcess {
    /// Of this program, for a server with this status.
    pub fn new(program: Program, status: String) -> Self {
        Self { program, status, successor: None, told: Told::Nothing }
    }

    fn start(&mut self) -> io::Result<OwnedFd> {
        if std::process::id() == 1 {
            return Err(io::Error::other(
                "as the first process of a container it takes all others with it when it ends: start a second server with \
                 the same --handover PATH instead",
            ));
        }
        let (ours, theirs) = Channel::pair()?;
        let named = |why| io::Error::other(format!("cannot start {}: {why}", self.program.path().display()));
        let successor = self.program.start_successor(theirs).map_err(named)?;
        info!("Started {} as process {} to hand over to", self.program.path().display(), successor.id());
        self.successor = Some(successor);
        Ok(ours.into())
    }
}

impl Launcher for SuccessorProcess {
    fn launch(&mut self) -> io::Result<OwnedFd> {
        self.told = Told::Reloading;
        service_manager::reloading();
        self.start()
    }

    fn on_commit(&mut self, pid: u32) {
        self.told = Told::Replaced;
        service_manager::main_process(pid);
    }

    fn pass_on(&mut self, pid: u32, control: Control) {
        signal(
            pid,
            match control {
                Control::Leave(_) | Control::Park => SIGTERM,
                Control::HandOver => SIGHUP,
            },
        );
    }

    fn dismiss(&mut self) {
        let told = std::mem::replace(&mut self.told, Told::Nothing);
        if told == Told::Replaced {
            service_manager::main_process(std::process::id());
        }
        if told != Told::Nothing {
            service_manager::ready(&self.status);
        }
        self.successor.take().into_iter().for_each(Detached::end);
    }
}

/// Sends a process a signal, if it is there.
pub fn signal(pid: u32, signal: i32) {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let (Some(process), Some(signal)) = (process, Signal::from_named_raw(signal)) {
        // It may have ended by itself.
        let _ = kill_process(process, signal);
    }
}

/// What a process takes over, before it has connections.
#[derive(Debug)]
pub struct Inheritance {
    /// Whether the predecessor has started this process, by its own arguments.
    pub is_own: bool,
    /// The predecessor.
    pub taking: Taking,
    /// Its process.
    pub pid: u32,
    /// Its workers, if it is a supervisor.
    pub workers: Option<u32>,
    /// Where clients come in, by the place of the worker that accepts there,
    pub slots: BTreeMap<u32, BoundSocket>,
    /// operators,
    pub admin: Option<BoundSocket>,
    /// those who are redirected,
    pub redirect: Option<BoundSocket>,
    /// and successors.
    pub path: Option<BoundSocket>,
    /// The files that go with those.
    pub files: Vec<PathBuf>,
    /// By what it makes session tickets, if it has said so.
    pub tickets: Option<TicketSecret>,
}

/// What there is to take over: from the process that has started this one, or from the one at `--handover`.
///
/// # Errors
/// When there is somebody who does not hand over.
pub fn inherit(config: &Config, mut approach: Approach) -> Result<Option<Inheritance>, SuccessionError> {
    let is_own = approach.is_own();
    let channel = match approach.from_parent.take() {
        Some(channel) => Some(channel),
        None => config.handover.handover.as_deref().map(connect).transpose()?.flatten(),
    };
    let Some(channel) = channel else { return approach.end_if_told().map(|()| None) };
    let (begun, timeout) = (Now::read(), config.handover.handover_timeout);
    let mut taking = Taking::begin(channel.into(), begun + timeout * PATIENCE)?;
    // A process that serves answers at once, and one that is just handing over to another within its own time.
    approach.await_answer(&taking, begun + timeout)?;
    let Offer { pid, sockets, workers, tickets } = taking.hear_offer()?;
    let Doors { slots, admin, redirect, path, files } =
        Doors::of(sockets).inspect_err(|why| taking.decline(&why.to_string()))?;
    Ok(Some(Inheritance { is_own, taking, pid, workers, slots, admin, redirect, path, files, tickets }))
}

/// What another process listens or has listened on.
#[derive(Debug, Default)]
pub struct Doors {
    /// As in `Inheritance`.
    pub slots: BTreeMap<u32, BoundSocket>,
    /// For operators.
    pub admin: Option<BoundSocket>,
    /// For those who are redirected.
    pub redirect: Option<BoundSocket>,
    /// For successors.
    pub path: Option<BoundSocket>,
    /// The files that go with those.
    pub files: Vec<PathBuf>,
}

impl Doors {
    /// These sockets, put in order.
    ///
    /// # Errors
    /// When one of them does not listen.
    pub fn of(sockets: Vec<(Listening, Socket)>) -> Result<Self, OpenError> {
        let mut doors = Self::default();
        let mut seen = vec![];
        for (listening, socket) in sockets {
            // Several workers may accept from one: it is passed once for each, and listened on once.
            let identity = fstat(&socket).map(|stat| (stat.st_dev, stat.st_ino));
            if identity.is_ok_and(|identity| seen.contains(&identity)) {
                continue;
            }
            seen.extend(identity);
            let path = listening.path.map(OsString::from_vec).map(PathBuf::from);
            let bound = BoundSocket::adopt(socket, path, listening.is_shared).map_err(OpenError::Listen)?;
            if let (Address::Unix(path), true) = (bound.address(), listening.owns_file)
                && !doors.files.contains(path)
            {
                doors.files.push(path.clone());
            }
            let place = match listening.kind {
                Kind::Public => {
                    let before = doors.slots.remove(&listening.slot);
                    let joined = BoundSocket::join(before.into_iter().chain([bound]));
                    joined.and_then(|joined| doors.slots.insert(listening.slot, joined));
                    continue;
                }
                Kind::Admin => &mut doors.admin,
                Kind::Redirect => &mut doors.redirect,
                Kind::Handover => &mut doors.path,
            };
            *place = BoundSocket::join(place.take().into_iter().chain([bound]));
        }
        Ok(doors)
    }
}

/// Opens where successors come in, if there is to be such a place.
///
/// # Errors
/// When the path cannot be had.
pub fn open(config: &Config) -> Result<Option<BoundSocket>, SuccessionError> {
    let Some(path) = &config.handover.handover else { return Ok(None) };
    match BoundSocket::bind_path_for(Type::SEQPACKET, path, FOR_ITS_USER, BACKLOG) {
        Ok(bound) => Ok(Some(bound)),
        Err(ListenError::Address { why, .. }) => Err(unusable(path, why)),
        Err(why) => Err(OpenError::Listen(why).into()),
    }
}

/// Goes on listening where the predecessor's successors came in, if that is what the configuration names; opens it anew where it
/// names another path, or somebody has taken the file away.
///
/// # Errors
/// When the path cannot be had.
pub fn adopt(config: &Config, path: Option<BoundSocket>) -> Result<Option<BoundSocket>, SuccessionError> {
    match (path, &config.handover.handover) {
        (Some(path), Some(named)) if is_at_path(named, &path) && named.exists() => Ok(Some(path)),
        _ => open(config),
    }
}

/// Where successors would come in, if there is to be such a place; found out without listening.
///
/// # Errors
/// As `open`.
pub fn prospect(config: &Config) -> Result<Option<Prospect>, SuccessionError> {
    let Some(path) = &config.handover.handover else { return Ok(None) };
    match prospect::of_path(path) {
        Ok(found) => Ok(Some(found)),
        Err(ListenError::Address { why, .. }) => Err(unusable(path, why)),
        Err(why) => Err(OpenError::Listen(why).into()),
    }
}

fn unusable(path: &Path, why: io::Error) -> SuccessionError {
    SuccessionError::Path { path: path.display().to_string(), why }
}

/// The way to whoever serves there, if anybody does.
fn connect(path: &Path) -> Result<Option<OwnedFd>, SuccessionError> {
    let connected = SockAddr::unix(path).and_then(|name| {
        // One that takes nobody any more would be waited for, unix(7).
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET.nonblocking(), None)?;
        socket.connect(&name)?;
        Ok(socket)
    });
    let socket = match connected {
        Ok(socket) => socket,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(why) => return Err(unusable(path, why)),
    };
    // Whoever listens there could have anything served here.
    let user = Uid::from_raw(channel::peer(&socket).map_err(|why| unusable(path, why))?.uid());
    if user != geteuid() && !user.is_root() && !geteuid().is_root() {
        return Err(unusable(path, io::Error::other("another user's process listens there")));
    }
    Ok(Some(socket.into()))
}
