//! The real binary, with one process and with several: what it prints, what it obeys, how it ends. Everything is waited
//! for as a fact, with a deadline; no sleeps and no fixed ports.

// A helper of tests that unwraps fails the test.
#![allow(clippy::unwrap_used)]

mod audience;
#[cfg(feature = "tls")]
mod certificates;
mod commands;
mod door;
mod exposition;
mod guiding;
mod halves;
mod handing_over;
mod handover;
mod memory;
mod one_process;
mod operating;
mod parking;
mod pauses;
mod process;
#[cfg(feature = "tls")]
mod secured;
mod service_manager;
mod strace;
#[cfg(feature = "tls")]
mod visitor;
mod workers;
