//! Many publications in one turn of the server, against one write for each: what batching is worth.

use serde::Serialize;

use super::common::figures::{Spread, grouped};
use super::common::machine::Cores;
use super::extent::{BATCH, BATCH_CLIENTS, Extent};
use super::orders::{FanOut, Heard};
use super::payload::Payload;
use super::side::Side;

/// Deliveries a second by the clock on the wall, and how many times as many the server makes.
#[derive(Debug, Serialize)]
pub struct Batch {
    pub clients: usize,
    pub publications: u64,
    pub frame_bytes: usize,
    pub in_one_turn: Spread,
    /// One send(2) for each message and client, as fast as it goes.
    pub one_write_each: Spread,
    /// The same, but each message has reached all clients before the next is sent.
    pub one_write_each_awaited: Spread,
    /// Over the faster of the two, round by round.
    pub ratio: Spread,
}

impl Batch {
    pub fn measure(extent: &Extent, cores: Option<Cores>) -> Self {
        let mut server = Side::server(cores, 1, "").expect("the server starts");
        let mut floor = Side::floor(cores);
        eprintln!("{} clients: they hear {BATCH} publications at once …", grouped(BATCH_CLIENTS as f64, 0));
        server.connect(BATCH_CLIENTS);
        floor.connect(BATCH_CLIENTS);
        let [payload, ..] = &Payload::all()[..] else { unreachable!("there are payloads") };
        let at_once = FanOut { data: vec![payload.data.clone()], at_once: BATCH, times: 1 };
        let awaited = FanOut { at_once: 1, times: BATCH, ..at_once.clone() };
        let deliveries = BATCH as f64 * BATCH_CLIENTS as f64;
        let per_second = |(heard, _): (Heard, f64)| deliveries / heard.seconds;
        let rounds: Vec<[f64; 3]> = (0..extent.rounds)
            .map(|_| {
                [
                    per_second(server.fan_out(&at_once, BATCH_CLIENTS)),
                    per_second(floor.fan_out(&at_once, BATCH_CLIENTS)),
                    per_second(floor.fan_out(&awaited, BATCH_CLIENTS)),
                ]
            })
            .collect();
        let spread = |place: usize| Spread::of(rounds.iter().map(|round| round[place]));
        Self {
            clients: BATCH_CLIENTS,
            publications: BATCH,
            frame_bytes: payload.frame_bytes,
            in_one_turn: spread(0),
            one_write_each: spread(1),
            one_write_each_awaited: spread(2),
            ratio: Spread::of(rounds.iter().map(|[server, floor, awaited]| server / floor.max(*awaited))),
        }
    }
}
