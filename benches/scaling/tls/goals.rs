//! The figures to reach.

use super::rung::Rung;
use super::terms::Version;
use crate::common::goal::{Bound, Goal};
use crate::extent::MEMORY_CLIENTS;

/// All of them.
pub fn of(rungs: &[Rung]) -> Vec<Goal> {
    let many = rungs.iter().find(|rung| rung.clients == MEMORY_CLIENTS);
    let memory = Version::ALL.map(|version| {
        let way = many.and_then(|rung| rung.ways.iter().find(|way| way.name == version.name()));
        Goal::new(
            format!("resident bytes per idle WebSocket at 10,000, over the empty server, {}", version.name()),
            "B",
            [Bound::AtMost(3_600.0), Bound::AtMost(600.0)],
            way.map(|way| way.resident_bytes.whole()),
        )
    });
    memory.into()
}
