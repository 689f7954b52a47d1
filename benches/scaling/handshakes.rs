//! How long others wait for their handshake: while the clients are idle, and during fan-outs to all of them.

use serde::Serialize;

use super::common::figures::percentile;
use super::common::remote::Remote;
use super::extent::Extent;
use super::orders::{FanOut, Heard, Order, Span};
use super::payload::Payload;
use super::prober::Prober;

/// From connect(2) to the 101.
#[derive(Debug, Serialize)]
pub struct Handshakes {
    pub idle: Waits,
    pub during_fan_out: Waits,
}

/// What handshakes took.
#[derive(Debug, Serialize)]
pub struct Waits {
    pub count: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub worst_ms: f64,
}

impl Handshakes {
    pub fn measure(
        prober: &mut Prober,
        load: &mut Remote,
        payloads: &[Payload],
        clients: usize,
        extent: &Extent,
    ) -> Self {
        let ((), idle) = prober.during(|| std::thread::sleep(extent.idle / 4));
        let mut during = Vec::new();
        for payload in payloads {
            let times = extent.publications(clients);
            let order = Order::FanOut(FanOut { data: payload.data.clone(), at_once: 1, times });
            for _ in 0..extent.rounds {
                let (heard, probes): (Heard, _) = prober.during(|| load.ask(&order));
                let is_during = |probe: &Span| heard.spans.iter().any(|span| span.overlaps(*probe));
                during.extend(probes.into_iter().filter(is_during));
            }
        }
        Self { idle: Waits::of(&idle), during_fan_out: Waits::of(&during) }
    }
}

impl Waits {
    fn of(spans: &[Span]) -> Self {
        let waits: Vec<f64> = spans.iter().map(|span| span.milliseconds()).collect();
        let [p50_ms, p99_ms, worst_ms] = [50, 99, 100].map(|percent| percentile(&waits, percent));
        Self { count: waits.len(), p50_ms, p99_ms, worst_ms }
    }
}
