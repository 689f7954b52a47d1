//! What much of something costs in resident memory: in processes of their own, so that nothing else is measured, nor what
//! the allocator has kept of another.

#![allow(clippy::unwrap_used)]

use std::process::Command;
use std::time::{Duration, Instant};

use slackwater::message::Message;
use slackwater::policy::history::{History, HistoryLimits, Publication};
use slackwater::policy::hub::Hub;
use slackwater::policy::reconnect_notices::{ReconnectNotices, ReconnectTerms};
use slackwater::policy::topic::{Filter, TopicName};
use slackwater::server::connection::Connection;
use slackwater::server::socket::Stream;

const HISTORY_BYTES: usize = 64 * 1024 * 1024;

/// Resident bytes of this process: proc(5).
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn a_hundred_thousand_topics_with_one_listener_each_cost_under_300_bytes_apiece() {
    const TOPICS: usize = 100_000;
    let mut hub = Hub::new(0);
    let before = resident_bytes();
    for n in 0..TOPICS {
        let filter = Filter::parse(&format!("devices/{n:06}/state")).unwrap();
        // A thousand clients with a hundred topics each.
        let key = u32::try_from(n % 1000).unwrap();
        assert_eq!(hub.subscribe(key, &filter), Ok(true));
    }
    let bytes = (resident_bytes() - before) / TOPICS;
    println!("{bytes} resident bytes a topic");
    assert!(bytes < 300, "{bytes} resident bytes a topic");
}

#[test]
fn a_hundred_thousand_connections_that_may_grow_old_cost_under_100_bytes_apiece() {
    const CLIENTS: usize = 100_000;
    const IS_ALONE: &str = "IS_ALONE";
    if std::env::var(IS_ALONE).is_err() {
        let mut measured = Command::new(std::env::current_exe().unwrap());
        measured.arg("a_hundred_thousand_connections").env(IS_ALONE, "yes");
        let said = measured.output().unwrap().stdout;
        let said = String::from_utf8_lossy(&said);
        return assert!(said.contains("1 passed"), "{said}");
    }
    let (age, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
    let terms = ReconnectTerms { spread: minute, close_after: Some(minute), max_age: Some(age) };
    let (mut notices, now) = (ReconnectNotices::by_age(terms, 7).unwrap(), Instant::now());
    let before = resident_bytes();
    (0..CLIENTS).for_each(|client| notices.join(client, now + minute * u32::try_from(client % 60).unwrap()));
    let bytes = (resident_bytes() - before) / CLIENTS;
    println!("{bytes} resident bytes a connection");
    assert!((1..100).contains(&bytes), "{bytes} resident bytes a connection");
}

/// A history that has forgotten the first of publications with this much data. Each was shared for a moment, as it is
/// with those who listen.
fn full(bytes: usize) -> History {
    let limits = HistoryLimits {
        publications: usize::MAX,
        bytes: HISTORY_BYTES,
        age: Duration::from_secs(24 * 60 * 60),
    };
    let (mut history, text) = (History::new(limits, 0), "x".repeat(bytes));
    while *history.positions().start() == 1 {
        let topic = format!("devices/{}/state", history.positions().end() + 1);
        let publication = Publication {
            topic: TopicName::parse(&topic).unwrap(),
            message: Message::new(text.as_bytes(), history.positions().end() + 1),
            at: Instant::now(),
        };
        drop(publication.message.frame());
        history.push(publication);
    }
    history
}

#[test]
fn a_history_takes_as_much_memory_as_it_may_and_no_more_whatever_is_published() {
    const DATA_BYTES: &str = "DATA_BYTES";
    if let Ok(bytes) = std::env::var(DATA_BYTES) {
        let before = resident_bytes();
        let _history = full(bytes.parse().unwrap());
        let percent = (resident_bytes() - before) * 100 / HISTORY_BYTES;
        assert!((85..=115).contains(&percent), "{percent} % of the limit are resident");
        return;
    }
    for bytes in ["10", "140", "1000", "7000", "200000"] {
        let mut measured = Command::new(std::env::current_exe().unwrap());
        measured.arg("a_history_takes").env(DATA_BYTES, bytes);
        let output = measured.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{bytes} bytes of data: {said}");
    }
}

/// What a client took before there were compression and event streams.
const SLOT_BYTES: usize = 120;

#[test]
fn an_idle_client_takes_at_most_8_bytes_more_than_before_there_were_compression_and_event_streams() {
    /// One in the slab of connections, and all that an idle client owns.
    #[allow(dead_code)]
    enum Place {
        Free(usize),
        Taken(Connection<Stream>),
    }
    let bytes = size_of::<Place>();
    println!("{bytes} bytes a client");
    assert!(bytes <= SLOT_BYTES + 8, "{bytes} bytes a client");
}
