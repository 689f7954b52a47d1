//! One number of clients: they connect, stay idle, hear fan-outs, see others come and go, and leave. Each rung has a
//! server of its own, and a floor with as many clients beside it, which take turns.

use std::thread;

use serde::Serialize;

use super::common::figures::Spread;
use super::common::machine::Cores;
use super::common::program::{Program, Refused};
use super::common::remote::Remote;
use super::extent::Extent;
use super::handshakes::Handshakes;
use super::orders::{FanOut, Heard, Order, Took};
use super::payload::Payload;
use super::prober::{Prober, Urgency};

/// All that was measured with so many clients.
#[derive(Debug, Serialize)]
pub struct Rung {
    pub clients: usize,
    pub workers: usize,
    pub connect: Connect,
    pub idle: Idle,
    pub fan_outs: Vec<FannedOut>,
    pub handshakes: Handshakes,
    pub churn: Churn,
    /// Resident bytes after all have left, beyond those of the server before anyone had come.
    pub kept_bytes: i64,
}

/// What connecting costs, in the steps in which the clients came.
#[derive(Debug, Serialize)]
pub struct Connect {
    pub per_second: Spread,
    pub cpu_us: Spread,
    pub floor_per_second: Spread,
    pub floor_cpu_us: Spread,
    pub cpu_ratio: Spread,
}

/// What clients cost that do nothing.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Idle {
    pub seconds: f64,
    pub empty_server_bytes: u64,
    /// For each client, over the empty server.
    pub resident_bytes: f64,
    /// The part of it that is no file's.
    pub anonymous_bytes: f64,
    /// CPU time in a second of idling, in microseconds.
    pub cpu_us_per_second: f64,
    pub wakeups_per_second: f64,
}

/// A publication to all.
#[derive(Debug, Serialize)]
pub struct FannedOut {
    pub payload: &'static str,
    pub frame_bytes: usize,
    pub publications: u64,
    pub server: Delivery,
    pub floor: Delivery,
    pub cpu_ratio: Spread,
}

/// How it was delivered.
#[derive(Debug, Serialize)]
pub struct Delivery {
    pub cpu_us: Spread,
    pub per_second: Spread,
    pub spread_ms: Spread,
    pub p50_ms: Spread,
    pub p99_ms: Spread,
    pub worst_ms: f64,
}

/// Connections that are made and closed.
#[derive(Debug, Serialize)]
pub struct Churn {
    pub per_second: f64,
    pub cpu_us: f64,
}

/// A program and its load.
pub struct Side {
    pub program: Program,
    pub load: Remote,
}

impl Side {
    pub fn server(cores: Option<Cores>, workers: usize, flags: &str) -> Result<Self, Refused> {
        let program = Program::server_with(cores, workers, flags)?;
        let load = Remote::start(&["--load", "server", &program.address.to_string()]);
        program.settle();
        Ok(Self { program, load })
    }

    pub fn floor(cores: Option<Cores>) -> Self {
        let program = Program::own(cores, ["--floor"]);
        let load = Remote::start(&["--load", "floor", &program.address.to_string()]);
        Self { program, load }
    }

    /// Has the load do something `count` times: seconds, and the program's CPU time for each in microseconds.
    fn ask<A: serde::de::DeserializeOwned>(&mut self, order: &Order, count: u64) -> (A, f64) {
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

impl Rung {
    /// Measures all of it. A server that does not know how to serve with so many workers refuses.
    pub fn measure(
        clients: usize,
        workers: usize,
        extent: &Extent,
        cores: Option<Cores>,
        urgency: Urgency,
    ) -> Result<Self, Refused> {
        let (mut server, mut floor) = (Side::server(cores, workers, "")?, Side::floor(cores));
        let empty = server.program.resident();
        let say = |what: &str| eprintln!("{}: {what} …", name(clients, workers));
        say("they connect");
        let connect = Connect::measure(&mut server, &mut floor, clients, extent);
        say("they are idle");
        let idle = Idle::measure(&server.program, empty, clients, || thread::sleep(extent.idle));
        let payloads = Payload::all();
        let mut fan_outs = Vec::new();
        for payload in &payloads {
            say(&format!("they hear {}", payload.name));
            fan_outs.push(FannedOut::measure(payload, &mut server, &mut floor, clients, extent));
        }
        // Nothing else is to wait for the load's core meanwhile.
        drop(floor);
        say("others shake hands");
        let mut prober = Prober::start(server.program.address, urgency);
        let handshakes = Handshakes::measure(&mut prober, &mut server.load, &payloads, clients, extent);
        drop(prober);
        say("others come and go");
        let visits = extent.visits;
        let (took, cpu_us): (Took, f64) = server.ask(&Order::Churn { visits }, visits as u64);
        let churn = Churn { per_second: visits as f64 / took.seconds, cpu_us };
        say("they leave");
        let _: (Took, f64) = server.ask(&Order::Leave, 1);
        let kept_bytes = signed(server.program.resident().all) - signed(empty.all);
        Ok(Self { clients, workers, connect, idle, fan_outs, handshakes, churn, kept_bytes })
    }

    /// What is said of it while it is measured, and in tables.
    pub fn name(&self) -> String {
        name(self.clients, self.workers)
    }
}

impl Connect {
    fn measure(server: &mut Side, floor: &mut Side, clients: usize, extent: &Extent) -> Self {
        let steps = extent.steps;
        // The first step takes the remainder.
        let counts = (0..steps).map(|n| clients / steps + if n == 0 { clients % steps } else { 0 });
        let (servers, floors): (Vec<Step>, Vec<Step>) =
            counts.map(|count| (Step::of(server, count), Step::of(floor, count))).unzip();
        let ratios = servers.iter().zip(&floors).map(|(server, floor)| server.cpu_us / floor.cpu_us);
        Self {
            cpu_ratio: Spread::of(ratios),
            per_second: Spread::of(servers.iter().map(|step| step.per_second)),
            cpu_us: Spread::of(servers.iter().map(|step| step.cpu_us)),
            floor_per_second: Spread::of(floors.iter().map(|step| step.per_second)),
            floor_cpu_us: Spread::of(floors.iter().map(|step| step.cpu_us)),
        }
    }
}

/// Some of the clients, who connect at a time.
struct Step {
    per_second: f64,
    cpu_us: f64,
}

impl Step {
    fn of(side: &mut Side, clients: usize) -> Self {
        let (took, cpu_us) = side.connect(clients);
        Self { per_second: clients as f64 / took.seconds, cpu_us }
    }
}

impl Idle {
    /// Measures a program while nothing is asked of it but what `while_idle` lets it do.
    pub fn measure(
        program: &Program,
        empty: super::common::usage::Resident,
        clients: usize,
        while_idle: impl FnOnce(),
    ) -> Self {
        let resident = program.resident();
        let (before, start) = (program.usage(), std::time::Instant::now());
        while_idle();
        let (after, seconds) = (program.usage(), start.elapsed().as_secs_f64());
        let for_each = |now: u64, before: u64| (signed(now) - signed(before)) as f64 / clients as f64;
        Self {
            seconds,
            empty_server_bytes: empty.all,
            resident_bytes: for_each(resident.all, empty.all),
            anonymous_bytes: for_each(resident.anonymous, empty.anonymous),
            cpu_us_per_second: (after.cpu - before.cpu).as_secs_f64() * 1e6 / seconds,
            wakeups_per_second: (after.wakeups - before.wakeups) as f64 / seconds,
        }
    }
}

impl FannedOut {
    fn measure(
        payload: &Payload,
        server: &mut Side,
        floor: &mut Side,
        clients: usize,
        extent: &Extent,
    ) -> Self {
        let fan_out = FanOut { data: payload.data.clone(), at_once: 1, times: extent.publications(clients) };
        let (mut servers, mut floors) = (Vec::new(), Vec::new());
        for round in 0..=extent.rounds {
            let pair = (server.fan_out(&fan_out, clients), floor.fan_out(&fan_out, clients));
            // The first round is for getting warm.
            if round > 0 {
                servers.push(pair.0);
                floors.push(pair.1);
            }
        }
        let ratios = servers.iter().zip(&floors).map(|((_, server), (_, floor))| server / floor);
        let deliveries = (fan_out.times * clients as u64) as f64;
        Self {
            payload: payload.name,
            frame_bytes: payload.frame_bytes,
            publications: fan_out.times * extent.rounds as u64,
            cpu_ratio: Spread::of(ratios),
            server: Delivery::of(&servers, deliveries),
            floor: Delivery::of(&floors, deliveries),
        }
    }
}

impl Delivery {
    fn of(rounds: &[(Heard, f64)], deliveries: f64) -> Self {
        let spread =
            |figure: &dyn Fn(&Heard) -> f64| Spread::of(rounds.iter().map(|(heard, _)| figure(heard)));
        Self {
            cpu_us: Spread::of(rounds.iter().map(|(_, cpu_us)| *cpu_us)),
            per_second: spread(&|heard| deliveries / heard.seconds),
            spread_ms: spread(&|heard| heard.spread_ms),
            p50_ms: spread(&|heard| heard.p50_ms),
            p99_ms: spread(&|heard| heard.p99_ms),
            worst_ms: spread(&|heard| heard.worst_ms).most,
        }
    }
}

fn name(clients: usize, workers: usize) -> String {
    let clients = super::common::figures::grouped(clients as f64, 0);
    if workers == 1 { format!("{clients} clients") } else { format!("{clients} clients, {workers} workers") }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).expect("memory is less than this")
}
