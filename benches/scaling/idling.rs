//! What clients cost that do nothing: memory, and the server's waking up.

use std::time::Instant;

use serde::Serialize;

use super::common::program::Program;
use super::common::usage::Resident;

/// What clients cost that do nothing.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Idle {
    pub seconds: f64,
    pub empty_server_bytes: u64,
    /// For each client, over the empty server.
    pub resident_bytes: f64,
    /// The part of it that is no file's.
    pub anonymous_bytes: f64,
    /// CPU time in a second of idling, in microseconds.
    pub cpu_us_per_second: f64,
    pub wakeups_per_second: f64,
}

impl Idle {
    /// Measures a program while nothing is asked of it but what `while_idle` lets it do.
    pub fn measure(program: &Program, empty: Resident, clients: usize, while_idle: impl FnOnce()) -> Self {
        let resident = program.resident();
        let (before, start) = (program.usage(), Instant::now());
        while_idle();
        let (after, seconds) = (program.usage(), start.elapsed().as_secs_f64());
        let for_each = |now: u64, before: u64| (signed(now) - signed(before)) as f64 / clients as f64;
        Self {
            seconds,
            empty_server_bytes: empty.all,
            resident_bytes: for_each(resident.all, empty.all),
            anonymous_bytes: for_each(resident.anonymous, empty.anonymous),
            cpu_us_per_second: (after.cpu - before.cpu).as_secs_f64() * 1e6 / seconds,
            wakeups_per_second: (after.wakeups - before.wakeups) as f64 / seconds,
        }
    }
}

/// Bytes, of which there may be fewer than before.
pub fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).expect("memory is less than this")
}
