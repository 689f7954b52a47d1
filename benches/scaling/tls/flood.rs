//! Fan-outs while others shake hands at a rate, and without them, in turn: whether a flood of handshakes delays who hears.

use serde::Serialize;

use super::knocker::{Knocker, Made};
use super::way::Course;
use crate::common::figures::Spread;
use crate::extent::Extent;
use crate::orders::{FanOut, Heard, Order};
use crate::payload::Payload;

/// New handshakes a second, all of them full.
pub const PER_SECOND: u32 = 500;

/// Of so many as many deliveries as otherwise a round has, so that some handshakes fall into each fan-out.
const LONGER: u64 = 4;

/// What a flood changes.
#[derive(Debug, Serialize)]
pub struct Flooded {
    /// Handshakes that were made.
    pub per_second: Spread,
    /// From a publication to the last client that has read it: on average in a round, and the worst one in a round.
    pub last_ms: Spread,
    pub worst_ms: Spread,
    pub last_flooded_ms: Spread,
    pub worst_flooded_ms: Spread,
    /// Flooded ÷ not.
    pub last_ratio: Spread,
    pub worst_ratio: Spread,
}

/// Those who hear, and those who knock.
pub struct Flood {
    course: Course,
    knocker: Knocker,
}

/// One round, without and with the flood.
struct Round {
    calm: Heard,
    flooded: Heard,
    made: Made,
}

impl Flood {
    pub fn start(course: Course) -> Self {
        let knocker = Knocker::giving_way(course.side.program.address);
        Self { course, knocker }
    }

    pub fn measure(mut self, clients: usize, extent: &Extent) -> Flooded {
        let [payload, ..] = &Payload::all()[..] else { unreachable!("there are payloads") };
        let times = LONGER * extent.publications(clients);
        let order = Order::FanOut(FanOut { data: vec![payload.data.clone()], at_once: 1, times });
        let rounds: Vec<Round> = (0..extent.rounds)
            .map(|_| {
                let calm = self.course.side.load.ask(&order);
                let (flooded, made) = self.knocker.during(PER_SECOND, || self.course.side.load.ask(&order));
                Round { calm, flooded, made }
            })
            .collect();
        let spread = |figure: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(figure));
        let last_ms = |heard: &Heard| heard.seconds * 1e3 / times as f64;
        Flooded {
            per_second: spread(&|round| round.made.per_second()),
            last_ms: spread(&|round| last_ms(&round.calm)),
            worst_ms: spread(&|round| round.calm.worst_ms),
            last_flooded_ms: spread(&|round| last_ms(&round.flooded)),
            worst_flooded_ms: spread(&|round| round.flooded.worst_ms),
            last_ratio: spread(&|round| last_ms(&round.flooded) / last_ms(&round.calm)),
            worst_ratio: spread(&|round| round.flooded.worst_ms / round.calm.worst_ms),
        }
    }
}
