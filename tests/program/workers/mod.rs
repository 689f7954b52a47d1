//! The real binary with several workers: one supervisor, one listener for each of them, one order for all. No sleeps
//! and no fixed ports; who serves a connection is read from /proc.

mod breaking;
pub mod crew;
mod faults;
mod files;
mod handing_over;
mod heard;
mod leaving;
mod listening;
mod load;
mod meanwhile;
pub mod program;
mod publications;
mod resizing;
mod serving;
mod signals;
mod starving;
mod staying;
mod succession;
