//! The figures to reach.

use super::common::goal::{Bound, Goal};
use super::extent::GOAL_CLIENTS;
use super::rung::Rung;

/// All of them, where they were measured.
pub fn of(rungs: &[Rung]) -> Vec<Goal> {
    let at = |rung: &&Rung| rung.plan.clients == GOAL_CLIENTS;
    let largest = rungs.iter().find(at);
    let growth = |rung: &Rung| rung.after.resident as f64 / rung.before.resident as f64;
    vec![
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
