//! What much of something costs in resident memory: a process of its own, so that nothing else is measured.

#![allow(clippy::unwrap_used)]

use slackwater::policy::hub::Hub;
use slackwater::policy::topic::Filter;

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
