//! What a plan takes of the machine, and whether that is there.

use std::fs;

use super::common::figures::grouped;
use super::common::sources::ADDRESSES;
use super::extent::Plan;

/// Descriptors that a process needs beside those of its clients.
const SPARE_DESCRIPTORS: usize = 600;

/// The kernel spreads newcomers over workers by chance: one may have so many percent more of them than its share.
const MOST_OF_A_SHARE: usize = 104;

/// A client's two sockets in the kernel, what they hold while nobody reads, and what it takes in both processes.
const CLIENT_BYTES: u64 = 24 * 1024;

/// How long the kernel keeps the port of a visitor that is gone (TIME_WAIT).
const KEPT_SECONDS: u64 = 60;

impl Plan {
    /// What is in its way. The limit on open files is raised as far as it can be.
    pub fn obstacle(&self) -> Option<String> {
        let (loads, traffic) = self.loads();
        let share = match self.workers {
            1 => self.clients,
            workers => self.clients * MOST_OF_A_SHARE / 100 / workers,
        };
        let needed = (share.max(self.clients.div_ceil(loads)) + SPARE_DESCRIPTORS) as u64;
        let files = rlimit::increase_nofile_limit(needed).expect("the limit can be asked for");
        if files < needed {
            let needed = grouped(needed as f64, 0);
            return Some(format!("the limit on open files is too low (ulimit -n {needed})"));
        }
        let needed = self.clients as u64 * CLIENT_BYTES;
        if available_bytes().is_some_and(|available| available < needed) {
            return Some(format!("{} MB of memory are needed", grouped(needed as f64 / 1e6, 0)));
        }
        let needed = self.clients as u64 + KEPT_SECONDS * u64::from(traffic.visits_per_second);
        let ports = ports_of_an_address().map(|ports| ports * u64::from(ADDRESSES));
        let is_short = ports.is_some_and(|ports| ports < needed);
        is_short.then(|| format!("{} ports are needed (ip_local_port_range)", grouped(needed as f64, 0)))
    }
}

/// Memory that a program can have (proc(5)).
fn available_bytes() -> Option<u64> {
    let said = fs::read_to_string("/proc/meminfo").ok()?;
    let line = said.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Ports that are chosen from for whoever connects.
fn ports_of_an_address() -> Option<u64> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ends = range.split_whitespace().map(|end| end.parse::<u64>().ok());
    let (first, last) = (ends.next()??, ends.next()??);
    Some(last.checked_sub(first)? + 1)
}
