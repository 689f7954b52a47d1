//! What the server listens on, as the configuration or the service manager has it; and one listener for each worker,
//! owned by the supervisor for as long as it lives, so that a worker that dies takes no waiting client with it.

use std::io;
use std::path::Path;

use socket2::Socket;
use thiserror::Error;

use crate::config::{Config, Place};
use crate::ffi;
use crate::process::parking::PARKED;
use crate::process::service_manager;
use crate::server::ListenError;
use crate::server::address::Address;
use crate::server::bound_socket::{self, BoundSocket, FOR_EVERYONE, FOR_OPERATORS};
use crate::server::prospect::{self, Prospect, are_same};

pub mod slots;

/// Descriptors that there must be for a worker to be started: what one takes, and some for the state file at the end.
const KEPT_BACK: usize = 14;

/// Why there is nothing to listen on.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The socket cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The descriptor that was named is no such socket.
    #[error("cannot listen on --fd {fd}: {why}; hand over one listening stream socket")]
    Descriptor {
        /// Its number.
        fd: i32,
        /// What it is instead.
        why: String,
    },
    /// What operators come in by cannot be had.
    #[error("cannot listen on --admin {0}; choose another address or path")]
    Admin(String),
    /// They would be answered in plain where they spoke TLS.
    #[error(
        "cannot answer operators at {0} in plain from now on: where they come in does not change until a restart, and --admin-ssl is \
         off; keep both, or restart"
    )]
    AdminInPlain(String),
    /// Requests would be redirected to where no TLS is spoken any more.
    #[error(
        "cannot redirect to HTTPS, which nothing sets any more: the port of --http-redirect stays open until a restart; keep \
         --ssl-certfile, or restart"
    )]
    RedirectToNothing,
    /// The port for those who are redirected cannot be had.
    #[error("cannot listen on --http-redirect {0}")]
    Redirect(String),
    /// `LISTEN_FDS` says something else.
    #[error(
        "cannot listen on {0} sockets of the service manager: give one, with one ListenStream= in its .socket unit"
    )]
    Activation(usize),
    /// `LISTEN_FDS` says what is not so.
    #[error(
        "cannot take the service manager's sockets: {0}; LISTEN_FDS is to be their number, and they are to be open from descriptor 3 on"
    )]
    Absent(io::Error),
}

/// What is listened on.
#[derive(Debug, Clone, Copy)]
pub struct Listening<'a> {
    /// For clients.
    pub public: &'a BoundSocket,
    /// For operators, if they have a door of their own.
    pub admin: Option<&'a BoundSocket>,
    /// For those who are redirected, if anybody is.
    pub redirect: Option<&'a BoundSocket>,
}

/// Takes over what is listened on from the parent of this process, if it was handed over: a descriptor, or the
/// service manager's socket (sd_listen_fds(3)). To be asked before this process opens anything that could get its number.
///
/// # Errors
/// A message that names the act, the place and the mend.
pub fn inherit(config: &Config) -> Result<Option<BoundSocket>, OpenError> {
    let inherited = handed_over(config)?.map(inherited).transpose();
    inherited.map_err(|why| of_descriptor(config, why))
}

/// By the flag, where that has named it.
fn of_descriptor(config: &Config, why: OpenError) -> OpenError {
    match why {
        OpenError::Listen(ListenError::Inherited { fd, why }) if config.fd == Some(fd) => {
            OpenError::Descriptor { fd, why }
        }
        other => other,
    }
}

/// Which descriptor that is, if there is one.
fn handed_over(config: &Config) -> Result<Option<i32>, OpenError> {
    if config.uds.is_some() {
        return Ok(None);
    }
    let handed_over = service_manager::handed_over().map_err(OpenError::Absent)?;
    // What an earlier process has parked is no listener.
    let activated = handed_over.into_iter().filter(|(_, name)| name != PARKED).map(|(fd, _)| fd);
    let activated: Vec<i32> = activated.collect();
    match (config.fd, &activated[..]) {
        (Some(fd), _) | (None, &[fd]) => Ok(Some(fd)),
        (None, []) => Ok(None),
        (None, several) => Err(OpenError::Activation(several.len())),
    }
}

/// Opens what is listened on where nothing was inherited: a path or an address. `shared` lets further sockets listen on
/// that address.
///
/// # Errors
/// A message that names the act, the place and the mend.
pub fn open(config: &Config, shared: bool) -> Result<BoundSocket, OpenError> {
    Ok(match &config.uds {
        Some(path) => BoundSocket::bind_path(path, FOR_EVERYONE, config.backlog)?,
        None => BoundSocket::bind(&config.host, config.port, config.backlog, shared)?,
    })
}

/// Whether that is where this process would listen, so that it need not be opened.
///
/// # Errors
/// When the host is none.
pub fn is_named(config: &Config, bound: &BoundSocket) -> Result<bool, OpenError> {
    Ok(match &config.uds {
        Some(path) => is_at_path(path, bound),
        None => is_at(&config.host, config.port, bound)?,
    })
}

/// Listens on what was inherited, or else on what another process listens or has listened on, if that is what the configuration
/// names or both have the same arguments (`is_own`), or else opens it.
///
/// # Errors
/// As `open`.
pub fn adopt(
    config: &Config,
    inherited: Option<BoundSocket>,
    public: Option<BoundSocket>,
    is_own: bool,
) -> Result<BoundSocket, OpenError> {
    let is_named = public.as_ref().map_or(Ok(false), |public| is_named(config, public))?;
    match (inherited, public) {
        (Some(inherited), _) => Ok(inherited),
        (None, Some(public)) if is_named || is_own => Ok(public),
        (None, _) => open(config, false),
    }
}

/// The same for what operators come in by. With the same arguments (`is_own`) their door stays as it is, and so it does if there is
/// none: what has changed in the configuration file since must not move them to where clients come in.
///
/// # Errors
/// As `open_admin`.
pub fn adopt_admin(
    config: &Config,
    admin: Option<BoundSocket>,
    is_own: bool,
) -> Result<Option<BoundSocket>, OpenError> {
    let is_named = || admin.as_ref().map_or(Ok(false), |admin| is_named_admin(config, admin));
    if is_own || is_named()? { Ok(admin) } else { open_admin(config) }
}

/// Whether that is where operators would come in.
///
/// # Errors
/// A message that names the place and the mend.
pub fn is_named_admin(config: &Config, bound: &BoundSocket) -> Result<bool, OpenError> {
    match &config.admin {
        None => Ok(false),
        Some(Place::Ip(host, port)) => is_at(host, *port, bound).map_err(no_admin),
        Some(Place::Path(path)) => Ok(is_at_path(path, bound)),
    }
}

/// Whether a Unix socket is the one at this path.
pub fn is_at_path(path: &Path, bound: &BoundSocket) -> bool {
    matches!(bound.address(), Address::Unix(own) if are_same(own, path))
}

fn is_at(host: &str, port: u16, bound: &BoundSocket) -> Result<bool, ListenError> {
    let named = bound_socket::resolve(host, port)?;
    let is_one = |address: &Address| {
        address.ip().is_some_and(|ip| {
            named.iter().any(|named| named.ip() == ip.ip() && [0, ip.port()].contains(&port))
        })
    };
    Ok(bound.addresses().iter().all(is_one))
}

/// Opens what operators come in by, if they are to have a door of their own.
///
/// # Errors
/// A message that names the place and the mend.
pub fn open_admin(config: &Config) -> Result<Option<BoundSocket>, OpenError> {
    let opened = match &config.admin {
        None => return Ok(None),
        Some(Place::Ip(host, port)) => BoundSocket::bind(host, *port, config.backlog, false),
        Some(Place::Path(path)) => BoundSocket::bind_path(path, FOR_OPERATORS, config.backlog),
    };
    opened.map(Some).map_err(no_admin)
}

/// Listens for those who are to be redirected on what another process listens or has listened on, as `adopt_admin` does, or else opens
/// it; `None` if nobody is to be.
///
/// # Errors
/// As `open_redirect`.
pub fn adopt_redirect(
    config: &Config,
    redirect: Option<BoundSocket>,
    is_own: bool,
) -> Result<Option<BoundSocket>, OpenError> {
    let is_named = || redirect.as_ref().map_or(Ok(false), |redirect| is_named_redirect(config, redirect));
    if is_own || is_named()? { Ok(redirect) } else { open_redirect(config) }
}

/// Whether that is where those would come in who are redirected.
///
/// # Errors
/// A message that names the place and the mend.
pub fn is_named_redirect(config: &Config, bound: &BoundSocket) -> Result<bool, OpenError> {
    let Some(port) = config.redirect.http_redirect else { return Ok(false) };
    is_at(&config.host, port, bound).map_err(no_redirect)
}

/// Opens the port for those who are to be redirected, if anybody is.
///
/// # Errors
/// A message that names the place and the mend.
pub fn open_redirect(config: &Config) -> Result<Option<BoundSocket>, OpenError> {
    let Some(port) = config.redirect.http_redirect else { return Ok(None) };
    BoundSocket::bind(&config.host, port, config.backlog, false).map(Some).map_err(no_redirect)
}

fn no_redirect(why: ListenError) -> OpenError {
    OpenError::Redirect(match why {
        ListenError::Address { address, why, .. } if why.kind() == io::ErrorKind::PermissionDenied => {
            format!("{address}: {why}; choose a port from 1024 on, or grant CAP_NET_BIND_SERVICE")
        }
        ListenError::Address { address, why, .. } => format!("{address}: {why}; choose another port"),
        other => other.to_string(),
    })
}

fn no_admin(why: ListenError) -> OpenError {
    OpenError::Admin(match why {
        ListenError::Host { host, why } => format!("{host}: {why}"),
        ListenError::Address { address, why, .. } => format!("{address}: {why}"),
        inherited @ ListenError::Inherited { .. } => inherited.to_string(),
    })
}

/// Where what was handed over listens, found out without changing it. To be asked when `inherit` is, and instead.
///
/// # Errors
/// As `inherit`.
pub fn prospect_of_inherited(config: &Config) -> Result<Option<Prospect>, OpenError> {
    let look = |fd| Ok(prospect::of_socket(&take(fd)?, fd)?);
    handed_over(config)?.map(look).transpose().map_err(|why| of_descriptor(config, why))
}

/// Where would be listened if nothing was handed over, found out without listening.
///
/// # Errors
/// A message that names the act, the place and the mend.
pub fn prospect(config: &Config) -> Result<Prospect, OpenError> {
    Ok(match &config.uds {
        Some(path) => prospect::of_path(path)?,
        None => prospect::of_host(&config.host, config.port)?,
    })
}

/// Where operators would come in, if they are to have a door of their own, found out in the same way.
///
/// # Errors
/// A message that names the place and the mend.
pub fn prospect_of_admin(config: &Config) -> Result<Option<Prospect>, OpenError> {
    let found = match &config.admin {
        None => return Ok(None),
        Some(Place::Ip(host, port)) => prospect::of_host(host, *port),
        Some(Place::Path(path)) => prospect::of_path(path),
    };
    found.map(Some).map_err(no_admin)
}

/// Where those would come in who are redirected, if anybody is to be, found out in the same way.
///
/// # Errors
/// A message that names the place and the mend.
pub fn prospect_of_redirect(config: &Config) -> Result<Option<Prospect>, OpenError> {
    let Some(port) = config.redirect.http_redirect else { return Ok(None) };
    prospect::of_host(&config.host, port).map(Some).map_err(no_redirect)
}

/// How many workers a supervisor can start by this limit on open files, if it has opened so many for good and each slot takes so
/// many sockets.
pub fn workers_within(limit: usize, open: usize, sockets: usize) -> usize {
    // Those that all listen on are kept beside the slots' own. Of a worker remain its ends of the socket pair and of
    // the line.
    let room = limit.checked_sub(open + sockets + KEPT_BACK);
    room.map_or(0, |room| 1 + room / (sockets + 2))
}

/// Listens on what was inherited under this number.
///
/// # Errors
/// When it is no socket, or does not listen.
pub fn inherited(fd: i32) -> Result<BoundSocket, OpenError> {
    Ok(BoundSocket::inherit(take(fd)?, fd)?)
}

/// Listens on all that was inherited under these numbers; none where there are none.
///
/// # Errors
/// When one is no socket, or does not listen.
pub fn all_inherited(fds: &[i32]) -> Result<Option<BoundSocket>, OpenError> {
    let listening: Vec<BoundSocket> = fds.iter().map(|fd| inherited(*fd)).collect::<Result<_, _>>()?;
    Ok(BoundSocket::join(listening))
}

/// Takes over the socket that was inherited under this number.
///
/// # Errors
/// When it is none.
pub fn take(fd: i32) -> Result<Socket, OpenError> {
    Ok(ffi::socket(fd).map_err(|why| ListenError::Inherited { fd, why: why.to_string() })?)
}
