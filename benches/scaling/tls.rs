//! What TLS costs that the server speaks itself: memory, handshakes, fan-outs, and what a flood of handshakes does to those; beside
//! the server without TLS, proxies that end it in front of that, and rustls' own server.

mod ceiling;
mod credentials;
mod flood;
mod goals;
mod knocker;
mod knocking;
mod rung;
mod secured;
mod shaking;
mod table;
mod terminator;
mod terms;
mod way;

use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

use credentials::Credentials;
use rung::Rung;
use secured::Secured;
use shaking::Shaken;
use terminator::Terminator;
use terms::Version;

use crate::common::figures::Spread;
use crate::common::goal::Goal;
use crate::common::machine::Cores;
use crate::extent::Extent;
use crate::load;
use crate::trigger::Kind;

/// All that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The proxies that are installed.
    pub proxies: Vec<String>,
    pub rungs: Vec<Rung>,
    /// A connection that is ended at once: the server's CPU time without TLS, in microseconds.
    pub connection_cpu_us: Spread,
    pub handshakes: Vec<Shaken>,
    pub goals: Vec<Goal>,
}

/// Measures all of it.
pub fn measure(extent: &Extent, cores: Option<Cores>) -> Report {
    let credentials = Credentials::issue();
    let (connection_cpu_us, handshakes) = shaking::measure(extent, &credentials, cores);
    let measure = |clients: &usize| Rung::measure(*clients, extent, &credentials, cores);
    let rungs: Vec<Rung> = extent.sizes.iter().map(measure).collect();
    let proxies = Terminator::ALL.into_iter().filter_map(Terminator::version).collect();
    let goals = goals::of(&rungs);
    Report { proxies, rungs, connection_cpu_us, handshakes, goals }
}

impl Report {
    pub fn print(&self) {
        table::print(self);
    }
}

/// The load over TLS, of clients that keep to this version and trust this authority.
pub fn run_load(kind: Kind, address: SocketAddr, version: &str, authority: &Path) -> std::io::Result<()> {
    let version = Version::of_argument(version).expect("a version of TLS");
    load::run::<Secured>(kind, address, terms::trusting(version, authority))
}

/// Whoever agrees with a server and leaves.
pub fn run_knocker(address: SocketAddr) -> std::io::Result<()> {
    knocker::run(address)
}

/// rustls' own server, in memory.
pub fn run_ceiling() -> std::io::Result<()> {
    ceiling::run()
}
