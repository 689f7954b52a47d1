//! The ways in which the same publications come: in plain, by TLS of the server's own, and by a proxy's.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::credentials::{Credentials, KeyKind};
use super::terminator::Terminator;
use super::terms::Version;
use crate::common::encoding::Encoding;
use crate::common::machine::Cores;
use crate::common::program::Program;
use crate::common::remote::Remote;
use crate::orders::Order;
use crate::side::Side;
use crate::trigger::Kind;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Plain,
    Own(Version),
    By(Terminator),
}

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Own(version) => version.name(),
            Self::By(terminator) => terminator.name(),
        }
    }
}

/// What something costs: the server, and a proxy in front of it.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Cost {
    pub server: f64,
    pub proxy: f64,
}

impl Cost {
    pub fn whole(self) -> f64 {
        self.server + self.proxy
    }
}

/// The programs of one way, and its clients.
pub struct Course {
    pub way: Way,
    pub side: Side,
    proxy: Option<Program>,
    /// Resident and anonymous bytes of both before anyone has come.
    empty: [Cost; 2],
}

impl Course {
    /// For so many clients.
    pub fn start(way: Way, clients: usize, credentials: &Credentials, cores: Option<Cores>) -> Self {
        let flags = match way {
            Way::Own(_) => credentials.flags(KeyKind::P256),
            Way::Plain | Way::By(_) => String::new(),
        };
        let program = Program::server_with(cores, 1, &flags).expect("the server starts");
        let proxy = match way {
            Way::By(terminator) => Some(terminator.start(program.address, clients, credentials, cores)),
            Way::Plain | Way::Own(_) => None,
        };
        let version = match way {
            Way::Plain => None,
            Way::Own(version) => Some(version),
            Way::By(_) => Some(Version::Tls13),
        };
        let address = proxy.as_ref().map_or(program.address, |proxy| proxy.address).to_string();
        let kind = Kind::ServerBy(Encoding::Plain).name();
        let authority = credentials.authority().display().to_string();
        let load = match version {
            None => Remote::start(&["--load", kind, &address]),
            Some(version) => Remote::start(&["--load", kind, &address, version.argument(), &authority]),
        };
        program.settle();
        let mut course = Self { way, side: Side { program, load }, proxy, empty: Default::default() };
        course.empty = course.resident();
        course
    }

    /// Has the clients do something `count` times: their answer, and the CPU time for each in microseconds.
    pub fn ask<A: DeserializeOwned>(&mut self, order: &Order, count: u64) -> (A, Cost) {
        let Some(proxy) = &self.proxy else {
            let (answer, server) = self.side.ask(order, count);
            return (answer, Cost { server, proxy: 0.0 });
        };
        let before = proxy.cpu();
        let (answer, server) = self.side.ask(order, count);
        proxy.settle();
        (answer, Cost { server, proxy: (proxy.cpu() - before).as_secs_f64() * 1e6 / count as f64 })
    }

    /// Resident and anonymous bytes of each client, over those of programs that nobody had come to.
    pub fn resident_each(&self, clients: usize) -> [Cost; 2] {
        let each = |now: f64, empty: f64| (now - empty) / clients as f64;
        let [resident, anonymous] = self.resident();
        let over = |now: Cost, empty: Cost| Cost {
            server: each(now.server, empty.server),
            proxy: each(now.proxy, empty.proxy),
        };
        [over(resident, self.empty[0]), over(anonymous, self.empty[1])]
    }

    fn resident(&self) -> [Cost; 2] {
        let server = self.side.program.resident();
        let proxy = self.proxy.as_ref().map(Program::resident);
        let of = |figure: fn(&crate::common::usage::Resident) -> u64| Cost {
            server: figure(&server) as f64,
            proxy: proxy.as_ref().map_or(0.0, |proxy| figure(proxy) as f64),
        };
        [of(|resident| resident.all), of(|resident| resident.anonymous)]
    }
}
