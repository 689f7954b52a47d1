//! What a program has used and what it holds: its process and all that this has started, summed up (proc(5)).

use std::fs;
use std::time::Duration;

use super::machine::{cpu_of_process, wait_of_process};

/// What was used from the start on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub cpu: Duration,
    /// How often it has gone to sleep and been woken: voluntary context switches.
    pub wakeups: u64,
    /// How long it was kept from running by others that had its core.
    pub kept_waiting: Duration,
}

impl Usage {
    /// Of this process and its descendants.
    pub fn of(id: u32) -> Self {
        let family = family(id);
        let cpu = family.iter().map(|id| cpu_of_process(*id)).sum();
        let wakeups = family.iter().map(|id| wakeups(*id)).sum();
        Self { cpu, wakeups, kept_waiting: family.iter().map(|id| wait_of_process(*id)).sum() }
    }
}

/// Memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    /// `Rss` of `smaps_rollup`, which walks the page tables: the counters in `status` and `statm` may lag behind.
    pub all: u64,
    /// The part of it that is no file's: heap, stacks and written data.
    pub anonymous: u64,
    /// `Pss`: of pages that several processes share, each has its share.
    pub proportional: u64,
}

impl Resident {
    /// Of this process and its descendants. Pages that they share are counted for each of them.
    pub fn of(id: u32) -> Self {
        let maps: Vec<String> = family(id).iter().map(|id| read(*id, "smaps_rollup")).collect();
        let sum = |name| maps.iter().map(|map| field(map, name) * 1024).sum();
        Self { all: sum("Rss:"), anonymous: sum("Anonymous:"), proportional: sum("Pss:") }
    }
}

/// The process and its descendants.
pub fn family(id: u32) -> Vec<u32> {
    let mut family = vec![id];
    for thread in threads(id) {
        let children = read(id, &format!("task/{thread}/children"));
        family.extend(children.split_whitespace().filter_map(|id| id.parse().ok()).flat_map(self::family));
    }
    family
}

fn wakeups(id: u32) -> u64 {
    let statuses = threads(id).into_iter().map(|thread| read(id, &format!("task/{thread}/status")));
    statuses.map(|status| field(&status, "voluntary_ctxt_switches:")).sum()
}

fn threads(id: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).expect("the process runs");
    tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> u64 {
    let number = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{name} is told by the kernel"))
}

fn read(id: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default()
}
