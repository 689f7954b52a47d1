//! One number of clients: they connect, stay idle, hear fan-outs, see others come and go, and leave. Each rung has a
//! server of its own, and a floor with as many clients beside it, which take turns.

use std::thread;

use serde::Serialize;

use super::common::figures::grouped;
use super::common::machine::Cores;
use super::common::program::Refused;
use super::common::urgency::Urgency;
use super::connecting::Connect;
use super::delivery::FannedOut;
use super::extent::Extent;
use super::handshakes::Handshakes;
use super::idling::{Idle, signed};
use super::orders::{Order, Took};
use super::payload::Payload;
use super::prober::Prober;
use super::side::Side;

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
    /// The part of it that is no file's: program text that was used for the first time is resident, too.
    pub kept_anonymous_bytes: i64,
    /// Of the time in which the server could run, the part in which others had its core: not the server's doing.
    pub kept_waiting_percent: f64,
}

/// Connections that are made and closed.
#[derive(Debug, Serialize)]
pub struct Churn {
    pub per_second: f64,
    pub cpu_us: f64,
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
        let mut watching = Side::watching_floor(cores);
        let mut by_token = Side::server_by_token(cores, workers)?;
        let sides = [&mut server, &mut floor, &mut watching, &mut by_token];
        let connect = Connect::measure(sides, clients, extent.steps);
        drop((watching, by_token));
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
        let handshakes = Handshakes::measure(&mut prober, &mut server, &payloads, clients, extent);
        drop(prober);
        say("others come and go");
        let visits = extent.visits;
        let (took, cpu_us): (Took, f64) = server.ask(&Order::Churn { visits }, visits as u64);
        let churn = Churn { per_second: visits as f64 / took.seconds, cpu_us };
        say("they leave");
        let _: (Took, f64) = server.ask(&Order::Leave, 1);
        let kept = server.program.resident();
        let kept_bytes = signed(kept.all) - signed(empty.all);
        let kept_anonymous_bytes = signed(kept.anonymous) - signed(empty.anonymous);
        let usage = server.program.usage();
        let kept_waiting_percent =
            100.0 * usage.kept_waiting.div_duration_f64(usage.kept_waiting + usage.cpu);
        Ok(Self {
            clients,
            workers,
            connect,
            idle,
            fan_outs,
            handshakes,
            churn,
            kept_bytes,
            kept_anonymous_bytes,
            kept_waiting_percent,
        })
    }

    /// What is said of it while it is measured, and in tables.
    pub fn name(&self) -> String {
        name(self.clients, self.workers)
    }
}

fn name(clients: usize, workers: usize) -> String {
    let clients = grouped(clients as f64, 0);
    if workers == 1 { format!("{clients} clients") } else { format!("{clients} clients, {workers} workers") }
}
