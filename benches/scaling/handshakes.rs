//! How long others wait for their handshake: while the clients are idle, and during fan-outs to all of them.

use serde::Serialize;

use super::common::figures::percentile;
use super::common::span::Span;
use super::extent::Extent;
use super::orders::{FanOut, Heard, Order};
use super::payload::Payload;
use super::prober::Prober;
use super::side::Side;

/// From connect(2) to the 101.
#[derive(Debug, Serialize)]
pub struct Handshakes {
    pub idle: Waits,
    pub during_fan_out: Waits,
    /// How long others had the server's core meanwhile, all fan-outs together: where that is much, the worst
    /// handshake is the machine's doing.
    pub server_kept_waiting_ms: f64,
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
        server: &mut Side,
        payloads: &[Payload],
        clients: usize,
        extent: &Extent,
    ) -> Self {
        let ((), idle) = prober.during(|| std::thread::sleep(extent.idle / 4));
        let (mut during, before) = (Vec::new(), server.program.usage());
        for payload in payloads {
            let times = extent.publications(clients);
            let order = Order::FanOut(FanOut { data: vec![payload.data.clone()], at_once: 1, times });
            for _ in 0..extent.rounds {
                let (heard, probes): (Heard, _) = prober.during(|| server.load.ask(&order));
                let is_during = |probe: &Span| heard.spans.iter().any(|span| span.overlaps(*probe));
                during.extend(probes.into_iter().filter(is_during));
            }
        }
        let kept_waiting = server.program.usage().kept_waiting - before.kept_waiting;
        Self {
            idle: Waits::of(&idle),
            during_fan_out: Waits::of(&during),
            server_kept_waiting_ms: kept_waiting.as_secs_f64() * 1e3,
        }
    }
}

impl Waits {
    fn of(spans: &[Span]) -> Self {
        let waits: Vec<f64> = spans.iter().map(|span| span.milliseconds()).collect();
        let [p50_ms, p99_ms, worst_ms] = [50, 99, 100].map(|percent| percentile(&waits, percent));
        Self { count: waits.len(), p50_ms, p99_ms, worst_ms }
    }
}
