//! Several workers, one of whom answers: for all of them, and for those that are no more.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Instant;

use serde_json::Value;
use support::client::Client;
use support::peer::Peer;
use support::{HANDSHAKE, PATIENCE};

use super::office::Office;
use crate::exposition::Metrics;
use crate::process::signal;

/// The workers' processes and how many clients each has.
fn crew(office: &Office) -> BTreeMap<u32, u64> {
    let status = office.admin.status();
    let workers = status["workers"].as_array().unwrap().iter();
    let pid_of = |worker: &Value| worker["pid"].as_u64().unwrap().try_into().unwrap();
    workers.map(|worker| (pid_of(worker), worker["connections"].as_u64().unwrap())).collect()
}

/// Has both workers leave alone, and waits until others are there beside them.
fn replace_both(office: &Office) -> BTreeMap<u32, u64> {
    let before = crew(office);
    before.keys().for_each(|pid| signal(*pid, "TERM"));
    while crew(office).len() < 4 {
        thread::yield_now();
    }
    before
}

/// Connects until each of two workers has a client: the system deals them out.
fn clients_of_both(office: &Office) -> Vec<Client> {
    let mut clients = vec![];
    while clients.is_empty() || crew(office).values().any(|connections| *connections == 0) {
        assert!(clients.len() < 200, "one worker gets nobody");
        clients.push(office.server.client());
    }
    clients
}

/// The same, with clients that have agreed on compression.
fn compressed_clients_of_both(office: &Office) -> Vec<Peer> {
    let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let mut clients = vec![];
    while clients.is_empty() || crew(office).values().any(|connections| *connections == 0) {
        assert!(clients.len() < 200, "one worker gets nobody");
        let mut client = Peer::connect(office.server.address());
        client.send(HANDSHAKE.replacen("\r\n\r\n", offer, 1));
        assert!(client.head().field("Sec-WebSocket-Extensions").is_some());
        assert_eq!(client.message()["type"], "welcome");
        clients.push(client);
    }
    clients
}

fn disconnects(metrics: &Metrics) -> f64 {
    metrics.sum("slackwater_disconnects_total")
}

#[test]
fn the_door_answers_as_long_as_there_is_one_worker() {
    let office = Office::open("--workers 2");
    let mut clients = clients_of_both(&office);
    let before = crew(&office);
    office.server.signal("TERM");
    office.server.next_line("Waiting for");
    // Who is with whom is not known here: one by one they leave, until one worker has nobody left.
    let both_are_held = || crew(&office).values().filter(|connections| **connections > 0).count() == 2;
    while both_are_held() {
        clients.pop().expect("one worker has nobody left before the other").leave();
        let left = clients.len() as f64;
        let has_left = |metrics: &Metrics| metrics.sum("slackwater_connections_active") == left;
        office.admin.metrics_with("the client's leaving", has_left);
    }
    office.admin.metrics_with("one worker's end", |metrics| {
        metrics.family("slackwater_connections_active").count() == 1
    });
    assert!(!clients.is_empty());
    let left = crew(&office);
    assert!(left.keys().all(|pid| before.contains_key(pid)));
    // More often than the worker that has ended could be asked by chance.
    for _ in 0..20 {
        assert_eq!(office.admin.get("/readyz").json()["connections"], clients.len());
        assert_eq!(office.admin.get("/healthz").status, 200);
    }
    clients.into_iter().for_each(Client::leave);
    assert_eq!(office.server.end().0, Some(0));
}

#[test]
fn each_worker_compresses_a_publication_once_however_many_of_its_clients_hear_it() {
    let office = Office::open("--workers 2 --ws-per-message-deflate true");
    let mut clients = compressed_clients_of_both(&office);
    for text in ["one ", "two ", "three "] {
        assert_eq!(office.admin.publish(&text.repeat(200)).status, 200);
    }
    for client in &mut clients {
        let firsts = [(); 3].map(|()| client.frame().first);
        assert_eq!(firsts, [0xc1; 3]);
    }
    let metrics = office.admin.metrics_with("what both have compressed", |metrics| {
        metrics.of("slackwater_messages_compressed_total") >= 6.0
    });
    assert_eq!(metrics.of("slackwater_messages_compressed_total"), 6.0);
    assert_eq!(metrics.of("slackwater_connections_compressed_total"), clients.len() as f64);
    let [before, after] =
        ["input", "output"].map(|side| metrics.of(&format!("slackwater_compression_{side}_bytes_total")));
    assert!(before > 2.0 * 2800.0 && after < before / 5.0, "{before} {after}");
}

/// All that operators ask says that the server leaves, and has so many clients left.
fn assert_told(office: &Office, clients: usize) {
    assert_eq!(office.admin.get("/healthz").status, 200);
    let ready = office.admin.get("/readyz");
    assert_eq!((ready.status, &ready.json()["connections"]), (503, &clients.into()));
    let status = office.admin.status();
    assert_eq!((&status["status"], &status["drain"]["remaining"]), (&"draining".into(), &clients.into()));
    let metrics = office.admin.metrics();
    assert_eq!(metrics.sum("slackwater_connections_active"), clients as f64);
    assert_eq!(metrics.of("slackwater_drain_remaining"), clients as f64);
}

#[test]
fn the_door_answers_until_the_last_client_has_left_though_only_workers_that_were_replaced_have_any() {
    let office = Office::open("--workers 2");
    let server = &office.server;
    let mut clients = clients_of_both(&office);
    let before = replace_both(&office);
    server.signal("TERM");
    server.next_line("Graceful shutdown initiated");
    while !crew(&office).keys().eq(before.keys()) {
        thread::yield_now();
    }
    // Of those who hold the door open, each is to let somebody in.
    (0..20).for_each(|_| assert_told(&office, clients.len()));
    while let Some(client) = clients.pop() {
        client.leave();
        let left = clients.len() as f64;
        let has_left = |metrics: &Metrics| metrics.sum("slackwater_connections_active") == left;
        if !clients.is_empty() {
            office.admin.metrics_with("the client's leaving", has_left);
            assert_told(&office, clients.len());
        }
    }
    assert_eq!(office.server.end().0, Some(0));
    assert!(!office.admin.is_open());
}

#[test]
fn nobody_waits_at_the_door_in_vain_once_the_supervisor_is_gone_and_only_replaced_workers_are_left() {
    let office = Office::open("--workers 2");
    let mut clients = clients_of_both(&office);
    replace_both(&office);
    office.server.signal("KILL");
    office.admin.closes();
    clients.iter_mut().for_each(|client| client.echo("still here"));
}

#[test]
fn no_operator_is_cut_off_by_a_worker_that_ends() {
    let office = Office::open("--workers 6");
    let server = &office.server;
    let mut clients: Vec<Client> = (0..6).map(|_| server.client()).collect();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    assert!(office.admin.get("/readyz").text().contains("status"));
                }
            });
        }
        server.signal("TERM");
        server.next_line("Waiting for");
        clients.drain(1..).for_each(Client::leave);
        while crew(&office).len() > 1 {
            thread::yield_now();
        }
        is_over.store(true, Relaxed);
    });
    clients.into_iter().for_each(Client::leave);
    assert_eq!(office.server.end().0, Some(0));
}

#[test]
fn the_numbers_are_those_of_all_workers_with_a_label_where_it_matters() {
    let office = Office::open("--workers 2");
    let clients = clients_of_both(&office);
    let count = clients.len() as f64;
    let metrics = office
        .admin
        .metrics_with("all that were counted", |metrics| metrics.of("slackwater_connections_total") == count);
    let crew = crew(&office);
    for (family, sum) in
        [("slackwater_connections_active", Some(count)), ("process_resident_memory_bytes", None)]
    {
        let labelled: Vec<(&str, f64)> = metrics.family(family).collect();
        assert_eq!(labelled.len(), 2, "{labelled:?}");
        for (number, (name, _)) in labelled.iter().enumerate() {
            assert!(name.contains(&format!("worker=\"{}\"", number + 1)), "{name}");
            assert!(crew.keys().any(|pid| name.contains(&format!("pid=\"{pid}\""))), "{name}");
        }
        assert!(sum.is_none_or(|sum| metrics.sum(family) == sum));
    }
    assert_eq!(metrics.family("slackwater_connections_total").count(), 1);
}

#[test]
fn what_a_killed_worker_has_counted_is_kept_and_no_counter_falls() {
    let office = Office::open("--workers 2");
    let clients = clients_of_both(&office);
    assert_eq!(office.admin.publish("x").status, 200);
    let count = clients.len() as f64;
    let mut before = office.admin.metrics_with("all that were counted", |metrics| {
        metrics.of("slackwater_connections_total") == count
            && metrics.of("slackwater_messages_sent_total") == 2.0 * count
    });
    let (victim, its_clients) = crew(&office).into_iter().next().unwrap();
    signal(victim, "KILL");
    office.server.next_line("starting another now");
    loop {
        let metrics = office.admin.metrics();
        metrics.assert_not_below(&before);
        let is_whole = crew(&office).len() == 2;
        before = metrics;
        if is_whole {
            break;
        }
    }
    assert!(!crew(&office).contains_key(&victim));
    let metrics = office.admin.metrics();
    assert_eq!(metrics.of("slackwater_connections_total"), count);
    assert_eq!(metrics.sum("slackwater_connections_active"), count - its_clients as f64);
    assert_eq!(metrics.of("slackwater_publications_total"), 1.0);
}

#[test]
fn what_a_worker_has_counted_up_to_its_end_is_kept() {
    let office = Office::open("--workers 2 --timeout-worker-healthcheck 60");
    let clients = clients_of_both(&office);
    let count = clients.len();
    let before = office.admin.metrics();
    replace_both(&office);
    // Between two beats, which are far apart here.
    clients.into_iter().for_each(Client::leave);
    office.server.next_line("Server shutdown complete");
    office.server.next_line("Server shutdown complete");
    let metrics = office.admin.metrics_with("the old workers' end", |metrics| {
        metrics.family("slackwater_connections_active").count() == 2
    });
    metrics.assert_not_below(&before);
    assert_eq!(metrics.of("slackwater_connections_total"), count as f64);
    assert_eq!(disconnects(&metrics), count as f64);
    assert_eq!(metrics.sum("slackwater_connections_active"), 0.0);
}

#[test]
fn the_status_adds_up_what_both_workers_have_done() {
    let office = Office::open("--workers 2");
    let clients = clients_of_both(&office);
    office.admin.publish("x");
    let deadline = Instant::now() + PATIENCE;
    let count = clients.len() as u64;
    let status = loop {
        let status = office.admin.status();
        if status["totals"]["deliveries"] == count {
            break status;
        }
        assert!(Instant::now() < deadline, "{status:#}");
    };
    assert_eq!(
        (&status["totals"]["connects"], &status["totals"]["publications"]),
        (&count.into(), &1.into())
    );
    let heard =
        serde_json::json!({"count": 1, "most_heard": [{"topic": "notifications", "subscribers": count}]});
    assert_eq!((&status["topics"], &status["history"]["events"]), (&heard, &1.into()));
    let per_second = |what: &str| status["rates"][what].as_f64().unwrap();
    assert!(per_second("connects_per_second") > 0.0 && per_second("deliveries_per_second") > 0.0);
    assert!(status["uptime_seconds"].as_f64().unwrap() > 0.0 && status["since"].is_string(), "{status:#}");
}
