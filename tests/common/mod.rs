//! The driver of the tests that run a server in their own process and look at bytes on the wire.
//! What is here is used by all of them; a module that only one wants is named there with `#[path]`.
//! No sleeps and no fixed ports: every wait is for a fact, with a deadline that fails the test.

use std::time::Duration;

pub mod client;
pub mod frames;
pub mod peer;
pub mod server;

/// No fact takes this long, however busy the machine.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// No peer is listened to for longer: it may hear much, and never what is waited for.
pub const LIFETIME: Duration = Duration::from_secs(40);
