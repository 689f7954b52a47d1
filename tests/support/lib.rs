//! What the test suites share: a client that nobody here wrote, a peer that speaks in bytes, and frames.
//! No sleeps and no fixed ports: every wait is for a fact, with a deadline that fails the test.

use std::time::Duration;

pub mod client;
pub mod frames;
pub mod peer;

/// No fact takes this long, however busy the machine.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// No peer is listened to for longer: it may hear much, and never what is waited for.
pub const LIFETIME: Duration = Duration::from_secs(40);
