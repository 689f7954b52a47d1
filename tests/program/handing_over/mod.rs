//! One process hands over to the next while both live: started by SIGHUP, or with the same `--handover`. Clients stay on the
//! same TCP connections; where nothing comes of it, they do not notice either.

mod doors;
pub mod faults;
mod hangup;
mod predecessors;
pub mod rollback;
#[cfg(feature = "tls")]
mod secured;
pub mod server;
mod service_manager;
mod signals;
pub mod two_starts;
