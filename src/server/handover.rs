//! Handing over to another process, and taking over from one. What is said and when is decided in `policy::handover`; here it
//! is done.

pub mod bundle;
pub mod channel;
mod giving;
pub mod memory;
pub mod offer;
pub mod parked;
mod parking;
pub mod part;
mod share;
mod succession;
pub mod taking;

pub use giving::heard_of;
pub(super) use parking::Park;
pub(super) use share::Share;
pub use share::{Means, Origin};
pub(super) use succession::Succession;
pub use succession::{Launcher, next_successor};
