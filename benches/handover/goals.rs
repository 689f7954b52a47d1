//! The figures to reach.

use super::common::goal::{Bound, Goal};
use super::extent::{GOAL_CLIENTS, GOAL_CLIENTS_OF_WORKERS};
use super::rung::Rung;

/// Those of what was measured: of one process, or of a server with workers.
pub fn of(rungs: &[Rung]) -> Vec<Goal> {
    let has_workers = rungs.iter().any(|rung| rung.plan.workers > 1);
    let is_single = rungs.iter().any(|rung| rung.plan.workers == 1);
    let mut goals = vec![];
    if is_single || !has_workers {
        goals.extend(of_one_process(rungs));
    }
    if has_workers {
        goals.extend(of_workers(rungs));
    }
    goals
}

fn growth(rung: &Rung) -> f64 {
    rung.after.resident as f64 / rung.before.resident as f64
}

fn of_one_process(rungs: &[Rung]) -> [Goal; 4] {
    let largest = rungs.iter().find(|rung| rung.plan.clients == GOAL_CLIENTS && rung.plan.workers == 1);
    [
        Goal::new(
            "nobody is read from, 15,000 clients, median",
            "ms",
            [Bound::AtMost(150.0), Bound::AtMost(50.0)],
            largest.map(|rung| rung.silent_ms.median),
        ),
        Goal::new(
            "the slowest echo of each hand-over, 15,000 clients, median",
            "ms",
            [Bound::AtMost(150.0), Bound::AtMost(50.0)],
            largest.map(|rung| rung.echo_ms.median),
        ),
        Goal::new(
            "that time for each connection, 15,000 clients",
            "µs",
            [Bound::AtMost(8.0), Bound::AtMost(4.0)],
            largest.map(|rung| rung.us_a_connection),
        )
        .with_digits(1),
        Goal::new(
            "resident memory after ten hand-overs ÷ before, 15,000 clients",
            "",
            [Bound::AtMost(1.2), Bound::AtMost(1.05)],
            largest.map(growth),
        )
        .with_digits(2),
    ]
}

fn of_workers(rungs: &[Rung]) -> [Goal; 3] {
    let largest =
        rungs.iter().find(|rung| rung.plan.clients == GOAL_CLIENTS_OF_WORKERS && rung.plan.workers > 1);
    [
        Goal::new(
            "nobody is read from, 60,000 clients, 4 workers, median",
            "ms",
            [Bound::AtMost(500.0), Bound::AtMost(250.0)],
            largest.map(|rung| rung.silent_ms.median),
        ),
        Goal::new(
            "the slowest echo of all hand-overs, 60,000 clients, 4 workers",
            "ms",
            [Bound::AtMost(500.0), Bound::AtMost(250.0)],
            largest.map(|rung| rung.echo_ms.most),
        ),
        Goal::new(
            "memory after ten hand-overs ÷ before, 60,000 clients, 4 workers",
            "",
            [Bound::AtMost(1.2), Bound::AtMost(1.05)],
            largest.map(growth),
        )
        .with_digits(2),
    ]
}
