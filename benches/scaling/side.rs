//! A program under measure and the load on it, which take turns with those of other programs.

use serde::de::DeserializeOwned;

use super::bearer;
use super::common::machine::Cores;
use super::common::program::{Program, Refused};
use super::common::remote::Remote;
use super::orders::{FanOut, Heard, Order, Took};
use super::trigger::Kind;

/// A program and its load.
pub struct Side {
    pub program: Program,
    pub load: Remote,
}

impl Side {
    pub fn server(cores: Option<Cores>, workers: usize, flags: &str) -> Result<Self, Refused> {
        Ok(Self::of_server(Kind::Server, Program::server_with(cores, workers, flags)?))
    }

    /// A server that lets nobody listen without a token, and clients who show one.
    pub fn server_by_token(cores: Option<Cores>, workers: usize) -> Result<Self, Refused> {
        Ok(Self::of_server(Kind::ServerByToken, Program::server_with(cores, workers, &bearer::flags())?))
    }

    /// A server, and clients of this kind.
    pub fn of_server(kind: Kind, program: Program) -> Self {
        let side = Self::of(kind, program);
        side.program.settle();
        side
    }

    pub fn floor(cores: Option<Cores>) -> Self {
        Self::of(Kind::Floor, Program::own(cores, ["--floor"]))
    }

    /// A floor that waits for its clients by events.
    pub fn watching_floor(cores: Option<Cores>) -> Self {
        Self::of(Kind::WatchingFloor, Program::own(cores, ["--floor"]))
    }

    fn of(kind: Kind, program: Program) -> Self {
        let load = Remote::start(&["--load", kind.name(), &program.address.to_string()]);
        Self { program, load }
    }

    /// Has the load do something `count` times: seconds, and the program's CPU time for each in microseconds.
    pub fn ask<A: DeserializeOwned>(&mut self, order: &Order, count: u64) -> (A, f64) {
        let before = self.program.cpu();
        let answer = self.load.ask(order);
        self.program.settle();
        (answer, (self.program.cpu() - before).as_secs_f64() * 1e6 / count as f64)
    }

    pub fn connect(&mut self, clients: usize) -> (Took, f64) {
        self.ask(&Order::Connect { clients }, clients as u64)
    }

    pub fn fan_out(&mut self, fan_out: &FanOut, clients: usize) -> (Heard, f64) {
        let deliveries = fan_out.publications() * clients as u64;
        self.ask(&Order::FanOut(fan_out.clone()), deliveries)
    }
}
