//! What the system says about this process (proc(5)): memory, time and descriptors. It looks at /proc/self alone, which is
//! there where the rest of /proc is hidden. What it does not say is left out.

use std::fs;

use crate::wire::metrics::Process;

/// USER_HZ: proc(5) tells in these ticks, which are the same on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads a few files that the system makes up on the spot; about 50 µs. When the process started is left as it is: proc(5)
/// tells that since the machine's own start, and of that only outside of /proc/self.
pub(super) fn update(process: &mut Process) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
    };
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name, which may hold anything; the third follows its last parenthesis.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks =
        |field: usize| fields.get(field - 3).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or_default();
    process.cpu_seconds = (ticks(14) + ticks(15)) / TICKS_PER_SECOND;
    process.resident_bytes = kib("VmRSS:");
    process.virtual_bytes = kib("VmSize:");
    process.open_fds = open_descriptors();
    process.max_fds = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(0, |(soft, _)| soft);
}

/// Since Linux 6.2 the folder's size is their number. To list them all would take longer than all else together.
fn open_descriptors() -> Option<u64> {
    fs::metadata("/proc/self/fd").ok().map(|folder| folder.len()).filter(|count| *count > 0)
}
