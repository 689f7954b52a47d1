//! A server that is told to leave parks its connections with the service manager and ends; the next start goes on with them.

mod beginning;
mod doors;
mod failing;
mod faults;
mod limits;
mod living;
mod manager;
#[cfg(feature = "tls")]
mod secured;
mod server;
mod stand_in;
mod staying;
#[cfg(feature = "tls")]
mod tickets;
mod workers;
