//! A server in a thread of this process, and bytes on the wire. Nothing here starts another process: one that is being
//! started holds for a moment whatever is open here, so that a port is not free yet when it should be.

// A helper of tests that unwraps fails the test.
#![allow(clippy::unwrap_used)]

mod addresses;
mod compression;
mod events;
mod hostile;
mod journeys;
mod origins;
mod publishing;
mod running;
mod tokens;
