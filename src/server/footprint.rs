//! What this process takes of the machine: memory, time and descriptors. What the system does not say is left out.

use std::fs;

use crate::proc_stat::{ProcStat, TICKS_PER_SECOND};
use crate::wire::metrics::Process;

/// Asks the system; about 50 µs. When the process started is left as it is: proc(5) tells that since the machine's own
/// start, and of that only outside of /proc/self.
pub(super) fn update(process: &mut Process) {
    let stat = ProcStat::read("self").unwrap_or_default();
    process.cpu_seconds = stat.ticks as f64 / f64::from(TICKS_PER_SECOND);
    process.resident_bytes = stat.resident_bytes;
    process.virtual_bytes = stat.virtual_bytes;
    process.open_fds = open_descriptors();
    process.max_fds = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(0, |(soft, _)| soft);
}

/// Since Linux 6.2 the folder's size is their number. To list them all would take longer than all else together.
fn open_descriptors() -> Option<u64> {
    fs::metadata("/proc/self/fd").ok().map(|folder| folder.len()).filter(|count| *count > 0)
}
