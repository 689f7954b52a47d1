//! What operators are told, and by which door, with the real program: readiness and health, status and numbers, and how
//! to make it leave.

mod counting;
mod door;
mod doors;
mod draining;
pub mod exposition;
mod limits;
mod office;
mod secrets;
mod strangers;
mod workers;
