//! What the service manager that has started this process is told, in systemd's protocol (sd_notify(3)). Without one
//! nothing is said.

use std::env;
use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use log::debug;
use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use sd_notify::NotifyState;

use crate::policy::drain::{LONGEST_FAREWELL, Step};
use crate::server::clock::Now;

/// How much longer than announced a drain may take before it is cut.
const MARGIN: Duration = Duration::from_secs(10);

/// How long a service manager that is busy is waited for, with what is said once only.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// The server listens and serves.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)], SEND_TIMEOUT);
}

/// The server is about to hand over; `ready` or `main_process` follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now], SEND_TIMEOUT),
        Err(why) => debug!("The service manager was not told: {why}"),
    }
}

/// The server is this process from now on. Only the one that was it before is believed (`NotifyAccess=main`).
pub fn main_process(pid: u32) {
    tell(&[NotifyState::MainPid(pid)], SEND_TIMEOUT);
}

/// The server leaves, and needs so much time at most: it is not to be cut before. To be repeated while it lasts.
pub fn draining(connections: usize, remaining: Duration) {
    // Rounded up, as in the log.
    let seconds = remaining.as_millis().div_ceil(1000);
    let status = format!("Draining: {connections} connections left, {seconds} s at most");
    let extension = u32::try_from((remaining + LONGEST_FAREWELL + MARGIN).as_micros()).unwrap_or(u32::MAX);
    let state =
        [NotifyState::Stopping, NotifyState::Status(&status), NotifyState::ExtendTimeoutUsec(extension)];
    tell(&state, Duration::ZERO);
}

/// What a step of the drain means for the service manager.
pub fn on_step(step: &Step) {
    match step {
        Step::Waiting { connections, remaining } => draining(*connections, *remaining),
        Step::TimedOut { connections, .. } | Step::Insisted { connections: Some(connections) } => {
            draining(*connections, Duration::ZERO);
        }
        // Also of a server that had no clients, and so nothing to report.
        Step::AllClosed => {
            let status = NotifyState::Status("All connections closed");
            tell(&[NotifyState::Stopping, status], Duration::ZERO);
        }
        Step::SignalReceived
        | Step::Armed
        | Step::Close
        | Step::StillListening { .. }
        | Step::Initiated
        | Step::Insisted { connections: None }
        | Step::Complete(_) => {}
    }
}

/// The server has parked so many connections, and ends.
pub fn parked(connections: usize) {
    let status = format!("Parked {connections} connections");
    tell(&[NotifyState::Stopping, NotifyState::Status(&status)], SEND_TIMEOUT);
}

/// How many descriptors it would keep for the next start (FileDescriptorStoreMax=, systemd.service(5)); `None` where it keeps
/// none, or does not say.
pub fn room() -> Option<u32> {
    env::var_os("NOTIFY_SOCKET")?;
    env::var("FDSTORE").ok()?.parse().ok().filter(|room| *room > 0)
}

/// It is to keep this descriptor for the next start. Whether it has is not said; it has considered it once this is done, within
/// the time.
///
/// # Errors
/// When it cannot be told, or is silent.
pub fn keep(name: &str, descriptor: BorrowedFd<'_>, timeout: Duration) -> io::Result<()> {
    // Whatever befalls the descriptor, it is kept: its other end is closed when this process ends.
    let text = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0\n");
    let deadline = Now::read() + timeout;
    let left = || deadline.saturating_duration_since(Now::read().instant);
    // What it keeps under this name while a server serves is of one that was ended meanwhile, and takes up room.
    forget(name);
    send(&text, timeout, &[descriptor])?;
    // It closes this once it has read everything before (sd_notify_barrier(3)).
    let (theirs, ours) = io::pipe()?;
    send("BARRIER=1\n", left(), &[ours.as_fd()])?;
    drop(ours);
    loop {
        let timeout = Timespec::try_from(left()).map_err(|_| ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::new(&theirs, PollFlags::empty())], Some(&timeout)) {
            Ok(0) => return Err(ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(why) => return Err(why.into()),
        }
    }
}

/// It is to keep nothing of this name any more.
pub fn forget(name: &str) {
    let text = format!("FDSTOREREMOVE=1\nFDNAME={name}\n");
    if let Err(why) = send(&text, SEND_TIMEOUT, &[]) {
        debug!("The service manager was not told: {why}");
    }
}

/// What it has handed this process (sd_listen_fds(3)), and the name of each. Without names, or with other than one for each,
/// they have none that means anything here.
///
/// # Errors
/// When that is not so.
pub fn handed_over() -> io::Result<Vec<(RawFd, String)>> {
    if let Ok(named) = sd_notify::listen_fds_with_names() {
        return Ok(named.collect());
    }
    Ok(sd_notify::listen_fds()?.map(|fd| (fd, String::new())).collect())
}

/// The process that it has handed something of this name, if that is another one.
pub fn handed_to_another(name: &str) -> Option<String> {
    let names = env::var("LISTEN_FDNAMES").ok()?;
    let pid = env::var("LISTEN_PID").ok()?;
    let is_another = pid.parse() != Ok(std::process::id()) && names.split(':').any(|given| given == name);
    is_another.then_some(pid)
}

fn tell(state: &[NotifyState<'_>], timeout: Duration) {
    let text: String = state.iter().map(|assignment| format!("{assignment}\n")).collect();
    if let Err(why) = send(&text, timeout, &[]) {
        debug!("The service manager was not told: {why}");
    }
}

/// Sends one datagram, if there is somebody to hear it. Where the queue is full, it waits for so long and no longer.
fn send(text: &str, timeout: Duration, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    // An abstract name, as container managers give, has an @ for its NUL (unix(7)).
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    if timeout.is_zero() {
        socket.set_nonblocking(true)?;
    } else {
        socket.set_write_timeout(Some(timeout))?;
    }
    socket.connect_addr(&address)?;
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(ErrorKind::InvalidInput.into());
    }
    let text = [IoSlice::new(text.as_bytes())];
    retry_on_intr(|| sendmsg(&socket, &text, &mut beside, SendFlags::NOSIGNAL))?;
    Ok(())
}
