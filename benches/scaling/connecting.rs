//! What connecting costs: the clients come in steps, to the server, to the floors, and with
//! tokens to another server, in turn.

use serde::Serialize;

use super::common::figures::Spread;
use super::side::Side;

/// What connecting costs, in the steps in which the clients came.
#[derive(Debug, Serialize)]
pub struct Connect {
    pub per_second: Spread,
    pub cpu_us: Spread,
    pub floor_per_second: Spread,
    pub floor_cpu_us: Spread,
    pub cpu_ratio: Spread,
    /// Beside the floor that waits for its clients by events, too.
    pub watching_floor_cpu_us: Spread,
    pub cpu_ratio_to_watching: Spread,
    /// Where each shows a token (HS256), of another server.
    pub by_token_cpu_us: Spread,
    /// To those without.
    pub by_token_cpu_ratio: Spread,
}

impl Connect {
    /// Of the server, the floor, that with epoll, and the server that expects tokens.
    pub fn measure(mut sides: [&mut Side; 4], clients: usize, steps: usize) -> Self {
        // The first step takes the remainder.
        let counts = (0..steps).map(|n| clients / steps + if n == 0 { clients % steps } else { 0 });
        let rounds: Vec<[Step; 4]> =
            counts.map(|count| sides.each_mut().map(|side| Step::of(side, count))).collect();
        let spread = |figure: &dyn Fn(&[Step; 4]) -> f64| Spread::of(rounds.iter().map(figure));
        Self {
            per_second: spread(&|[server, ..]| server.per_second),
            cpu_us: spread(&|[server, ..]| server.cpu_us),
            floor_per_second: spread(&|[_, floor, ..]| floor.per_second),
            floor_cpu_us: spread(&|[_, floor, ..]| floor.cpu_us),
            cpu_ratio: spread(&|[server, floor, ..]| server.cpu_us / floor.cpu_us),
            watching_floor_cpu_us: spread(&|[_, _, watching, _]| watching.cpu_us),
            cpu_ratio_to_watching: spread(&|[server, _, watching, _]| server.cpu_us / watching.cpu_us),
            by_token_cpu_us: spread(&|[.., by_token]| by_token.cpu_us),
            by_token_cpu_ratio: spread(&|[server, .., by_token]| by_token.cpu_us / server.cpu_us),
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
