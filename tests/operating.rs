//! What operators are told, and by which door, with the real program: readiness and health, status and numbers, and how
//! to make it leave.

#![allow(clippy::unwrap_used)]

// Shared with tests that need more of it.
#[allow(dead_code)]
#[path = "processes/driver.rs"]
mod driver;

#[path = "operating/counting.rs"]
mod counting;
#[path = "operating/door.rs"]
mod door;
#[path = "operating/doors.rs"]
mod doors;
#[path = "operating/draining.rs"]
mod draining;
#[path = "operating/exposition.rs"]
mod exposition;
#[path = "operating/limits.rs"]
mod limits;
#[path = "operating/office.rs"]
mod office;
#[path = "operating/secrets.rs"]
mod secrets;
#[path = "operating/strangers.rs"]
mod strangers;
#[path = "operating/workers.rs"]
mod workers;
