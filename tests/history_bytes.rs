//! What a history of so many bytes costs in resident memory: a process of its own for each, so that nothing else is
//! measured, nor what the allocator has kept of another.

#![allow(clippy::unwrap_used)]

use std::process::Command;
use std::time::{Duration, Instant};

use slackwater::frame::Frame;
use slackwater::policy::history::{History, HistoryLimits, Publication};
use slackwater::policy::topic::TopicName;

const BYTES: usize = 64 * 1024 * 1024;

/// Resident bytes of this process: proc(5).
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// A history that has forgotten the first of publications with this much data. Each was shared for a moment, as it is
/// with those who listen.
fn full(bytes: usize) -> History {
    let limits =
        HistoryLimits { publications: usize::MAX, bytes: BYTES, age: Duration::from_secs(24 * 60 * 60) };
    let (mut history, text) = (History::new(limits, 0), "x".repeat(bytes));
    while *history.positions().start() == 1 {
        let topic = format!("devices/{}/state", history.positions().end() + 1);
        let publication = Publication {
            topic: TopicName::parse(&topic).unwrap(),
            frame: Frame::text(text.clone()),
            at: Instant::now(),
        };
        drop(publication.frame.clone());
        history.push(publication);
    }
    history
}

#[test]
fn a_history_takes_as_much_memory_as_it_may_and_no_more_whatever_is_published() {
    const DATA_BYTES: &str = "HISTORY_DATA_BYTES";
    if let Ok(bytes) = std::env::var(DATA_BYTES) {
        let before = resident_bytes();
        let _history = full(bytes.parse().unwrap());
        let percent = (resident_bytes() - before) * 100 / BYTES;
        assert!((85..=115).contains(&percent), "{percent} % of the limit are resident");
        return;
    }
    for bytes in ["10", "140", "1000", "7000", "200000"] {
        let mut measured = Command::new(std::env::current_exe().unwrap());
        let output = measured.env(DATA_BYTES, bytes).output().unwrap();
        assert!(
            output.status.success(),
            "{bytes} bytes of data: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}
