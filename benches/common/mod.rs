//! What benches are made of: the programs under measure, the load on them, and the figures.
//! No time is asserted here. What is counted is asserted to have happened, each message once and in its order.

// Each bench is made of some of it.
#![allow(dead_code)]

use std::time::Duration;

pub mod arrival;
pub mod channel;
pub mod encoding;
pub mod figures;
pub mod floor;
pub mod goal;
pub mod load;
pub mod machine;
pub mod notifications;
pub mod program;
pub mod publisher;
pub mod redis;
pub mod remote;
pub mod sources;
pub mod span;
pub mod subscriber;
pub mod urgency;
pub mod usage;

/// Nothing stands still for this long, however busy the machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
