//! What the service manager that has started this process is told, in systemd's protocol (sd_notify(3)). Without one
//! nothing is said.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use log::debug;
use sd_notify::NotifyState;

use crate::policy::drain::{LONGEST_FAREWELL, Step};

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

fn tell(state: &[NotifyState<'_>], timeout: Duration) {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else { return };
    let text: String = state.iter().map(|assignment| format!("{assignment}\n")).collect();
    if let Err(why) = send(&name, &text, timeout) {
        debug!("The service manager was not told: {why}");
    }
}

/// Sends one datagram. Where the queue is full, it waits for so long and no longer.
fn send(name: &OsStr, text: &str, timeout: Duration) -> io::Result<()> {
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
    socket.send_to_addr(text.as_bytes(), &address).map(drop)
}
