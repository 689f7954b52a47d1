//! What operators are told, and by which door, with the real program: readiness and health, status and numbers, and how
//! to make it leave.

mod connections;
mod counting;
mod doors;
mod draining;
mod limits;
mod office;
mod origins;
pub mod redirecting;
mod secrets;
mod strangers;
mod tokens;
mod workers;
