//! Looks at a worker's process in /proc (proc_pid_stat(5), proc_pid_status(5)). Judges nothing.

use std::fs;
use std::time::Duration;

use crate::policy::roster::{Doing, Sight};

/// USER_HZ: the same on every Linux that Rust runs on.
const TICK: Duration = Duration::from_millis(10);

/// What a process does; none if that cannot be seen, for want of /proc or of a descriptor.
pub fn of(pid: u32) -> Option<Sight> {
    let read = |name| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    parse(&read("stat")?, &read("status")?)
}

/// The second field is the program's name, which may hold anything; the third follows its last parenthesis.
fn parse(stat: &str, status: &str) -> Option<Sight> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let ticks = number(14)? + number(15)?;
    // A tick is long: whoever only wakes and sleeps on is not seen to work, but to switch.
    let switches = status.lines().filter_map(|line| line.split_once("voluntary_ctxt_switches:"));
    let switches: u64 = switches.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum();
    Some(Sight {
        doing: match *fields.first()? {
            "R" => Doing::Runnable,
            "D" => Doing::Blocked,
            "T" | "t" => Doing::Stopped,
            _ => Doing::Sleeping,
        },
        worked: TICK * u32::try_from(ticks).unwrap_or(u32::MAX),
        stirred: number(10)? + number(12)? + switches,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_does_is_told_whatever_its_name() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t60\nnonvoluntary_ctxt_switches:\t6\n";
        let rest = "1 2 2 0 -1 4194560 30 0 4 0 150 50 0 0 20 0 1 0 100";
        for (state, doing) in
            [("R", Doing::Runnable), ("S", Doing::Sleeping), ("D", Doing::Blocked), ("t", Doing::Stopped)]
        {
            let sight = Sight { doing, worked: Duration::from_secs(2), stirred: 100 };
            assert_eq!(parse(&format!("7 (a) R b) {state} {rest}"), status), Some(sight));
        }
        assert_eq!(parse("7 (a) R 1 2", status), None);
    }

    #[test]
    fn this_process_is_seen_to_run() {
        let sight = of(std::process::id()).expect("it is in /proc");
        assert!(sight.stirred > 0);
    }
}
