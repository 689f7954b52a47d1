//! What handshakes cost the server, and proxies beside it, and how far that is from rustls' own in memory. All take turns within
//! each round.

use serde::Serialize;

use super::ceiling::Ceiling;
use super::credentials::{Credentials, KeyKind};
use super::knocker::{Handshake, Knocker, Made};
use super::terminator::Terminator;
use super::terms::Version;
use crate::common::figures::Spread;
use crate::common::machine::Cores;
use crate::common::program::Program;
use crate::extent::Extent;

/// In one round, of each kind.
const QUICK: u64 = 100;
const FULL: u64 = 500;

/// The server under measure.
const OWN: &str = "slackwater";

/// Connections that a proxy has room for: many more than there are.
const ROOM: usize = 1_000;

/// One kind of handshake, with one program.
#[derive(Debug, Serialize)]
pub struct Shaken {
    pub program: &'static str,
    pub key: &'static str,
    pub version: Version,
    pub is_resumed: bool,
    pub per_second: Spread,
    /// Of the program: the connection, the handshake, and the end of both.
    pub cpu_us: Spread,
    /// Of rustls in memory.
    pub ceiling_us: Spread,
    /// The ceiling ÷ what it cost: the part of the possible handshakes that are made.
    pub ratio: Spread,
    /// The same without what the connection itself costs.
    pub ratio_without_connection: Spread,
}

/// A program, and whoever agrees with it.
struct Counterpart {
    name: &'static str,
    key: KeyKind,
    program: Program,
    knocker: Knocker,
}

impl Counterpart {
    fn new(name: &'static str, key: KeyKind, program: Program) -> Self {
        let mut knocker = Knocker::start(program.address);
        for version in Version::ALL {
            knocker.collect_tickets(version);
        }
        program.settle();
        Self { name, key, program, knocker }
    }

    /// So many handshakes, and the program's CPU time for each in microseconds.
    fn make(&mut self, handshake: Handshake, count: u64) -> (Made, f64) {
        let before = self.program.cpu();
        let made = self.knocker.make(handshake, count);
        assert!(made.cut == 0 || self.name != OWN, "the server says when it sends nothing more");
        self.program.settle();
        (made, (self.program.cpu() - before).as_secs_f64() * 1e6 / count as f64)
    }
}

/// What a connection costs that is ended at once, and all kinds of handshakes.
pub fn measure(extent: &Extent, credentials: &Credentials, cores: Option<Cores>) -> (Spread, Vec<Shaken>) {
    let count = if extent.is_quick { QUICK } else { FULL };
    let server = |flags: &str| Program::server_with(cores, 1, flags).expect("the server starts");
    let plain = server("");
    let mut knocker = Knocker::start(plain.address);
    let mut connection = || {
        let before = plain.cpu();
        knocker.make(Handshake::None, count);
        plain.settle();
        (plain.cpu() - before).as_secs_f64() * 1e6 / count as f64
    };
    let mut counterparts: Vec<Counterpart> =
        KeyKind::ALL.map(|key| Counterpart::new(OWN, key, server(&credentials.flags(key)))).into();
    let installed = Terminator::ALL.into_iter().filter(|terminator| terminator.version().is_some());
    counterparts.extend(installed.map(|terminator| {
        let proxy = terminator.start(plain.address, ROOM, credentials, cores);
        Counterpart::new(terminator.name(), KeyKind::P256, proxy)
    }));
    let mut ceiling = Ceiling::start(cores);
    let (mut all, mut connections) = (Vec::new(), Vec::new());
    for counterpart in &mut counterparts {
        for handshake in Version::ALL.into_iter().flat_map(|v| [Handshake::Full(v), Handshake::Resumed(v)]) {
            let version = handshake.version().expect("it is one of TLS");
            let kind = if handshake.is_resumed() { "resumed" } else { "full" };
            let (name, key) = (counterpart.name, counterpart.key);
            eprintln!("{name}, {}, {}: {kind} handshakes …", key.name(), version.name());
            // The first round is for getting warm.
            let rounds: Vec<[f64; 4]> = (0..=extent.rounds)
                .map(|_| {
                    let (made, cpu_us) = counterpart.make(handshake, count);
                    let in_memory = ceiling.make(credentials, key, handshake, count);
                    [made.per_second(), cpu_us, in_memory, connection()]
                })
                .skip(1)
                .collect();
            let spread = |figure: &dyn Fn(&[f64; 4]) -> f64| Spread::of(rounds.iter().map(figure));
            connections.extend(rounds.iter().map(|[.., connection]| *connection));
            all.push(Shaken {
                program: name,
                key: key.name(),
                version,
                is_resumed: handshake.is_resumed(),
                per_second: spread(&|[per_second, ..]| *per_second),
                cpu_us: spread(&|[_, cpu_us, ..]| *cpu_us),
                ceiling_us: spread(&|[_, _, ceiling, _]| *ceiling),
                ratio: spread(&|[_, cpu_us, ceiling, _]| ceiling / cpu_us),
                ratio_without_connection: spread(&|[_, cpu_us, ceiling, connection]| {
                    ceiling / (cpu_us - connection)
                }),
            });
        }
    }
    (Spread::of(connections.into_iter()), all)
}
