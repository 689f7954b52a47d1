//! Handing over to another process, and taking over from one. What is said and when is decided in `policy::handover`; here it
//! is done.

pub mod channel;
mod giving;
pub mod memory;
mod succession;
pub mod taking;

pub use succession::Launcher;
pub(super) use succession::Succession;
