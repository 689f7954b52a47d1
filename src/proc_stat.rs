//! What the system says about a process (proc_pid_stat(5), proc_pid_status(5)). Judges nothing.

use std::fmt::Display;
use std::fs;

/// What was read of a process. The numbers are since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcStat {
    /// Its letter in proc_pid_stat(5): `R` runs or waits for a processor, `S` sleeps, and so on.
    pub state: char,
    /// Processor time, in ticks.
    pub ticks: u64,
    /// Pages that were brought in for it.
    pub faults: u64,
    /// How often it gave up a processor, or had to.
    pub switches: u64,
    /// Memory that it has now.
    pub resident_bytes: u64,
    /// Addresses that it has now.
    pub virtual_bytes: u64,
}

/// USER_HZ: the same on every Linux that Rust runs on.
pub const TICKS_PER_SECOND: u32 = 100;

impl ProcStat {
    /// Reads two files that the system makes up on the spot: of a process by its number, or of `self`, which is there where
    /// the rest of /proc is hidden. None if that cannot be seen, for want of /proc or of a descriptor.
    pub fn read(process: impl Display) -> Option<Self> {
        let read = |name| fs::read_to_string(format!("/proc/{process}/{name}")).ok();
        Self::parse(&read("stat")?, &read("status")?)
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        // The second field is the program's name, which may hold anything; the third follows its last parenthesis.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let switches = status.lines().filter_map(|line| line.split_once("voluntary_ctxt_switches:"));
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
        };
        Some(Self {
            state: fields.first()?.chars().next()?,
            ticks: number(14)? + number(15)?,
            faults: number(10)? + number(12)?,
            switches: switches.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum(),
            resident_bytes: kib("VmRSS:"),
            virtual_bytes: kib("VmSize:"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let status = "Name:\tx\nVmSize:\t    9 kB\nVmRSS:\t    2 kB\n\
                      voluntary_ctxt_switches:\t60\nnonvoluntary_ctxt_switches:\t6\n";
        let stat = "7 (a) R b) S 1 2 2 0 -1 4194560 30 0 4 0 150 50 0 0 20 0 1 0 100";
        let expected = ProcStat {
            state: 'S',
            ticks: 200,
            faults: 34,
            switches: 66,
            resident_bytes: 2048,
            virtual_bytes: 9216,
        };
        assert_eq!(ProcStat::parse(stat, status), Some(expected));
        assert_eq!(ProcStat::parse("7 (a) R 1 2", status), None);
    }

    #[test]
    fn this_process_is_seen_to_run() {
        let stat = ProcStat::read("self").expect("it is in /proc");
        assert!(stat.faults > 0 && stat.resident_bytes > 0);
    }
}
