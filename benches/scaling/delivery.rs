//! Fan-outs to all clients, the server's and the floor's in turn: what a delivery costs, and when it comes.

use serde::Serialize;

use super::common::figures::Spread;
use super::extent::Extent;
use super::orders::{FanOut, Heard};
use super::payload::Payload;
use super::side::Side;

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

impl FannedOut {
    pub fn measure(
        payload: &Payload,
        server: &mut Side,
        floor: &mut Side,
        clients: usize,
        extent: &Extent,
    ) -> Self {
        let times = extent.publications(clients);
        let fan_out = FanOut { data: vec![payload.data.clone()], at_once: 1, times };
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
