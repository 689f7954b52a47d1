//! What the service manager that has started this process is told, in systemd's protocol (sd_notify(3)). Without one
//! nothing is said.

use std::time::Duration;

use log::debug;
use sd_notify::NotifyState;

use crate::policy::drain::FAREWELL;

/// How much longer than announced a drain may take before it is cut.
const MARGIN: Duration = Duration::from_secs(10);

/// The server listens and serves.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The server leaves, and needs so much time at most: it is not to be cut before. To be repeated while it lasts.
pub fn draining(connections: usize, remaining: Duration) {
    let seconds = remaining.as_secs();
    let status = format!("Draining: {connections} connections left, {seconds} s at most");
    let extension = u32::try_from((remaining + FAREWELL + MARGIN).as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::Status(&status), NotifyState::ExtendTimeoutUsec(extension)]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(state) {
        debug!("The service manager was not told: {why}");
    }
}
