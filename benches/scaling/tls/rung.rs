//! One number of clients, in each of the ways: they connect, stay idle and hear. The ways take turns within each round.

use std::thread;

use serde::Serialize;

use super::credentials::Credentials;
use super::flood::{Flood, Flooded};
use super::terminator::Terminator;
use super::terms::Version;
use super::way::{Cost, Course, Way};
use crate::common::figures::{Spread, grouped};
use crate::common::machine::Cores;
use crate::extent::Extent;
use crate::orders::{FanOut, Heard, Order, Took};
use crate::payload::Payload;

/// All that was measured with so many clients.
#[derive(Debug, Serialize)]
pub struct Rung {
    pub clients: usize,
    pub ways: Vec<Measured>,
    pub flooded: Flooded,
}

/// In one of the ways.
#[derive(Debug, Serialize)]
pub struct Measured {
    pub name: &'static str,
    /// Handshake, upgrade and welcome.
    pub connect: Spent,
    /// For each client that is idle, before anything is published.
    pub resident_bytes: Cost,
    pub anonymous_bytes: Cost,
    pub fan_outs: Vec<Delivered>,
}

/// Of publications of one size.
#[derive(Debug, Serialize)]
pub struct Delivered {
    pub payload: &'static str,
    /// What has come to a client for each, TCP and IP apart.
    pub wire_bytes: f64,
    pub spent: Spent,
}

/// CPU time of one of them in microseconds.
#[derive(Debug, Serialize)]
pub struct Spent {
    /// Of all programs together.
    pub cpu_us: Spread,
    pub ratio_to_plain: Spread,
    /// Of the proxy, where there is one.
    pub proxy_cpu_us: f64,
}

impl Spent {
    /// Round by round, this way's and the plain one's.
    fn of(own: &[Cost], plain: &[Cost]) -> Self {
        let ratios = own.iter().zip(plain).map(|(own, plain)| own.whole() / plain.whole());
        Self {
            cpu_us: Spread::of(own.iter().map(|cost| cost.whole())),
            ratio_to_plain: Spread::of(ratios),
            proxy_cpu_us: Spread::of(own.iter().map(|cost| cost.proxy)).median,
        }
    }
}

impl Rung {
    pub fn measure(clients: usize, extent: &Extent, credentials: &Credentials, cores: Option<Cores>) -> Self {
        let say = |what: &str| eprintln!("{} clients: {what} …", grouped(clients as f64, 0));
        say("they connect");
        let mut courses: Vec<Course> = ways(clients, extent)
            .into_iter()
            .map(|way| Course::start(way, clients, credentials, cores))
            .collect();
        let step = clients / extent.steps;
        let connects = in_turn(&mut courses, extent.steps, |course| {
            let (_, cost): (Took, Cost) = course.ask(&Order::Connect { clients: step }, step as u64);
            cost
        });
        let connected = step * extent.steps;
        say("they are idle");
        thread::sleep(extent.idle);
        let resident: Vec<[Cost; 2]> = courses.iter().map(|course| course.resident_each(connected)).collect();
        let times = extent.publications(connected);
        let mut fan_outs: Vec<Vec<Delivered>> = courses.iter().map(|_| Vec::new()).collect();
        for payload in Payload::all() {
            say(&format!("they hear {}", payload.name));
            let order = Order::FanOut(FanOut { data: vec![payload.data.clone()], at_once: 1, times });
            let deliveries = times * connected as u64;
            let hear = |course: &mut Course| course.ask::<Heard>(&order, deliveries);
            // The first round is for getting warm.
            in_turn(&mut courses, 1, hear);
            let rounds = in_turn(&mut courses, extent.rounds, hear);
            let costs: Vec<Vec<Cost>> =
                rounds.iter().map(|rounds| rounds.iter().map(|(_, cost)| *cost).collect()).collect();
            for (way, rounds) in rounds.iter().enumerate() {
                let octets: u64 = rounds.iter().map(|(heard, _)| heard.wire_bytes).sum();
                fan_outs[way].push(Delivered {
                    payload: payload.name,
                    wire_bytes: octets as f64 / (deliveries * rounds.len() as u64) as f64,
                    spent: Spent::of(&costs[way], &costs[0]),
                });
            }
        }
        say("others shake hands meanwhile");
        let own = courses.iter().position(|course| course.way == Way::Own(Version::Tls13));
        let own = courses.swap_remove(own.expect("the server's own TLS is among them"));
        let names: Vec<&str> = ways(clients, extent).into_iter().map(Way::name).collect();
        // Nothing else is to wait for the cores meanwhile.
        drop(courses);
        let flooded = Flood::start(own).measure(connected, extent);
        let ways = names.into_iter().zip(&connects).zip(resident).zip(fan_outs).map(
            |(((name, connect), [resident_bytes, anonymous_bytes]), fan_outs)| Measured {
                name,
                connect: Spent::of(connect, &connects[0]),
                resident_bytes,
                anonymous_bytes,
                fan_outs,
            },
        );
        Self { clients: connected, ways: ways.collect(), flooded }
    }
}

/// The plain one first: to it the others are compared. A proxy needs two descriptors for each client.
fn ways(clients: usize, extent: &Extent) -> Vec<Way> {
    let mut ways = vec![Way::Plain, Way::Own(Version::Tls13), Way::Own(Version::Tls12)];
    if extent.allows(2 * clients) {
        let installed = Terminator::ALL.into_iter().filter(|terminator| terminator.version().is_some());
        ways.extend(installed.map(Way::By));
    }
    ways
}

/// Asks each way in each round; none always comes first. Way by way, what came out.
fn in_turn<T>(courses: &mut [Course], rounds: usize, mut ask: impl FnMut(&mut Course) -> T) -> Vec<Vec<T>> {
    let count = courses.len();
    let mut all: Vec<Vec<T>> = courses.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for way in (0..count).map(|place| (place + round) % count) {
            all[way].push(ask(&mut courses[way]));
        }
    }
    all
}
