//! What connecting costs: the clients come in steps, to the server and to the floors in turn.

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
}

impl Connect {
    pub fn measure(
        server: &mut Side,
        floor: &mut Side,
        watching: &mut Side,
        clients: usize,
        steps: usize,
    ) -> Self {
        // The first step takes the remainder.
        let counts = (0..steps).map(|n| clients / steps + if n == 0 { clients % steps } else { 0 });
        let rounds: Vec<[Step; 3]> =
            counts.map(|count| [&mut *server, floor, watching].map(|side| Step::of(side, count))).collect();
        let spread = |figure: &dyn Fn(&[Step; 3]) -> f64| Spread::of(rounds.iter().map(figure));
        Self {
            per_second: spread(&|[server, ..]| server.per_second),
            cpu_us: spread(&|[server, ..]| server.cpu_us),
            floor_per_second: spread(&|[_, floor, _]| floor.per_second),
            floor_cpu_us: spread(&|[_, floor, _]| floor.cpu_us),
            cpu_ratio: spread(&|[server, floor, _]| server.cpu_us / floor.cpu_us),
            watching_floor_cpu_us: spread(&|[.., watching]| watching.cpu_us),
            cpu_ratio_to_watching: spread(&|[server, _, watching]| server.cpu_us / watching.cpu_us),
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
