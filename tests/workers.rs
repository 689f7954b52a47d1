//! The real binary with several workers: one supervisor, one listener for each of them, one order for all. No sleeps
//! and no fixed ports; who serves a connection is read from /proc.

#![allow(clippy::unwrap_used)]

#[path = "workers/breaking.rs"]
mod breaking;
#[path = "workers/crew.rs"]
mod crew;
// Shared with tests that need more of it.
#[allow(dead_code)]
#[path = "processes/driver.rs"]
mod driver;
#[path = "workers/leaving.rs"]
mod leaving;
#[path = "workers/listening.rs"]
mod listening;
#[path = "workers/program.rs"]
mod program;
#[path = "workers/publications.rs"]
mod publications;
#[path = "workers/publisher.rs"]
mod publisher;
#[path = "workers/reload.rs"]
mod reload;
#[path = "workers/rolling.rs"]
mod rolling;
#[path = "workers/serving.rs"]
mod serving;
#[path = "workers/signals.rs"]
mod signals;
#[path = "workers/starving.rs"]
mod starving;
#[path = "workers/staying.rs"]
mod staying;
#[path = "workers/succession.rs"]
mod succession;
