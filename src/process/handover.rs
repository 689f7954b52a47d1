//! Starting a successor and taking over from a predecessor, as processes.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use log::info;
use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;

use crate::config::Config;
use crate::process::listeners::OpenError;
use crate::process::program::{self, Program};
use crate::process::service_manager;
use crate::server::bound_socket::{Address, BoundSocket};
use crate::server::clock::Now;
use crate::server::handover::Launcher;
use crate::server::handover::channel::Channel;
use crate::server::handover::taking::{Offer, TakeOverError, Taking};
use crate::wire::handover::message::Kind;

/// The mode of the socket at `--handover`: who may connect gets everything.
const FOR_ITS_USER: u32 = 0o600;

/// Successors that wait there at most.
const BACKLOG: u16 = 8;

/// How much longer than the predecessor a successor waits: which of them gives up first is for the other to say.
const PATIENCE: u32 = 2;

/// Why nothing is taken over.
#[derive(Debug, Error)]
pub enum SuccessionError {
    /// The path cannot be had.
    #[error(
        "cannot take over by --handover {path}: {why}; choose another path, in a folder of this user's own"
    )]
    Path {
        /// As given.
        path: String,
        /// What the system said.
        why: io::Error,
    },
    /// What was inherited is no channel.
    #[error("cannot take over from the process that has started this one: {0}")]
    Inherited(io::Error),
    /// The predecessor does not hand over.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// What it listens on cannot be listened on.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Starts the program that is on disk as a successor.
#[derive(Debug)]
pub struct SuccessorProcess {
    program: Program,
    child: Option<Child>,
}

impl SuccessorProcess {
    /// Of this program.
    pub fn new(program: Program) -> Self {
        Self { program, child: None }
    }
}

impl Launcher for SuccessorProcess {
    fn launch(&mut self) -> io::Result<OwnedFd> {
        if std::process::id() == 1 {
            return Err(io::Error::other(
                "as the first process of a container it takes all others with it when it ends: start a second server with \
                 the same --handover PATH instead",
            ));
        }
        let (ours, theirs) = Channel::pair()?;
        let named = |why| io::Error::other(format!("cannot start {}: {why}", self.program.path().display()));
        let child = self.program.start_successor(theirs).map_err(named)?;
        info!("Started {} as process {} to hand over to", self.program.path().display(), child.id());
        self.child = Some(child);
        service_manager::reloading();
        Ok(ours.into())
    }

    fn on_commit(&mut self, pid: u32) {
        service_manager::main_process(pid);
    }

    fn dismiss(&mut self) {
        service_manager::main_process(std::process::id());
        service_manager::ready("Serving");
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a process takes over, before it has connections.
#[derive(Debug)]
pub struct Inheritance {
    /// The predecessor.
    pub taking: Taking,
    /// Its process.
    pub pid: u32,
    /// Where clients come in,
    pub public: Option<BoundSocket>,
    /// operators,
    pub admin: Option<BoundSocket>,
    /// and successors.
    pub path: Option<BoundSocket>,
    /// The files that go with those.
    pub files: Vec<PathBuf>,
}

/// What there is to take over: from the process that has started this one, or from the one at `--handover`.
///
/// # Errors
/// When there is somebody who does not hand over.
pub fn inherit(config: &Config) -> Result<Option<Inheritance>, SuccessionError> {
    let channel = match program::succession().map_err(SuccessionError::Inherited)? {
        Some(channel) => Some(channel),
        None => config.handover.handover.as_deref().map(connect).transpose()?.flatten(),
    };
    let Some(channel) = channel else { return Ok(None) };
    let deadline = Now::read() + patience(config);
    let (taking, Offer { pid, sockets }) = Taking::begin(channel.into(), deadline)?;
    let mut inheritance = Inheritance { taking, pid, public: None, admin: None, path: None, files: vec![] };
    for (listening, socket) in sockets {
        let bound = BoundSocket::adopt(socket, listening.is_shared).map_err(OpenError::Listen)?;
        if let (Address::Unix(path), true) = (bound.address(), listening.owns_file) {
            inheritance.files.push(path.clone());
        }
        let place = match listening.kind {
            Kind::Public => &mut inheritance.public,
            Kind::Admin => &mut inheritance.admin,
            Kind::Handover => &mut inheritance.path,
        };
        *place = BoundSocket::join(place.take().into_iter().chain([bound]));
    }
    Ok(Some(inheritance))
}

/// Opens where successors come in, if there is to be such a place.
///
/// # Errors
/// When the path cannot be had.
pub fn open(config: &Config) -> Result<Option<BoundSocket>, SuccessionError> {
    let Some(path) = &config.handover.handover else { return Ok(None) };
    let bound = BoundSocket::bind_path_for(Type::SEQPACKET, path, FOR_ITS_USER, BACKLOG);
    Ok(Some(bound.map_err(OpenError::Listen)?))
}

fn patience(config: &Config) -> Duration {
    config.handover.handover_timeout * PATIENCE
}

/// The way to whoever serves there, if anybody does.
fn connect(path: &Path) -> Result<Option<OwnedFd>, SuccessionError> {
    let connected = SockAddr::unix(path).and_then(|name| {
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        socket.connect(&name)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    match connected {
        Ok(socket) => Ok(Some(socket.into())),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(why) => Err(SuccessionError::Path { path: path.display().to_string(), why }),
    }
}
