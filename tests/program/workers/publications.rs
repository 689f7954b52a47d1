//! One order for the clients of all workers, whoever was asked to publish.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::thread;

use serde_json::{Value, json};

use super::crew::{Crew, stop};
use super::publisher::{Heard, Publisher, ask, assert_nothing_more, hear, resume, status};
use crate::driver::kill;

#[test]
fn every_client_of_every_worker_hears_each_publication_once_and_in_one_order() {
    const EACH: usize = 50;
    let crew = Crew::start("--workers 3");
    let mut clients = crew.clients(2);
    let publishers: Vec<_> = crew
        .children()
        .into_iter()
        .map(|pid| {
            let mut publisher = Publisher::of(&crew, pid);
            thread::spawn(move || -> Vec<Heard> {
                (0..EACH)
                    .map(|nth| {
                        let text = format!("{nth} by {pid}");
                        Heard { id: publisher.publish(&text), text }
                    })
                    .collect()
            })
        })
        .collect();
    let published: Vec<Vec<Heard>> = publishers.into_iter().map(|thread| thread.join().unwrap()).collect();
    let mut stories: Vec<Vec<Heard>> = vec![];
    for client in clients.values_mut().flatten() {
        stories.push((0..3 * EACH).map(|_| hear(client)).collect());
        assert_nothing_more(client);
    }
    assert_eq!(stories.len(), 6);
    assert!(stories.iter().all(|story| *story == stories[0]), "all hear the same");
    let by_id: BTreeMap<&str, &str> = stories[0].iter().map(|h| (h.id.as_str(), h.text.as_str())).collect();
    assert_eq!(by_id.len(), 3 * EACH, "no id comes twice");
    for own in &published {
        let positions = own.iter().map(|heard| stories[0].iter().position(|other| other == heard).unwrap());
        assert!(positions.is_sorted(), "each publisher's own order is kept");
    }
}

#[test]
fn whoever_comes_back_is_resumed_by_whichever_worker() {
    let crew = Crew::start("--workers 3");
    let pids: BTreeSet<u32> = crew.children().into_iter().collect();
    let mut publisher = Publisher::of(&crew, crew.process(1, 1));
    let first = publisher.publish("one");
    publisher.publish("two");
    publisher.publish("three");
    let mut met = BTreeSet::new();
    while met != pids {
        let (is_resumed, mut client) = resume(crew.address(), &first);
        assert!(is_resumed);
        assert_eq!([hear(&mut client).text, hear(&mut client).text], ["two", "three"]);
        assert_nothing_more(&mut client);
        met.insert(crew.server_of(client.stream()));
    }
    let (is_resumed, _) = resume(crew.address(), "0badcafe-1");
    assert!(!is_resumed, "an id of another history");
}

#[test]
fn an_id_that_was_just_answered_is_known_to_every_worker() {
    let crew = Crew::start("--workers 3");
    let mut publishers: Vec<Publisher> =
        crew.children().into_iter().map(|pid| Publisher::of(&crew, pid)).collect();
    for round in 0..30 {
        for publisher in &mut publishers {
            let id = publisher.publish(&format!("round {round}"));
            let (is_resumed, mut client) = resume(crew.address(), &id);
            assert!(is_resumed, "{id}");
            assert_nothing_more(&mut client);
        }
    }
}

#[test]
fn a_worker_that_is_behind_resumes_who_is_ahead_of_it() {
    let crew = Crew::start("--workers 2 --timeout-worker-healthcheck 60");
    let behind = crew.process(2, 1);
    let mut publisher = Publisher::of(&crew, crew.process(1, 1));
    stop(behind);
    // More than it reads at once, and less than others are made to wait for.
    let ids: Vec<String> = (0..50).map(|_| publisher.publish(&"x".repeat(50_000))).collect();
    let query = format!("?last_event_id={}", ids[49]);
    let mut waiting = ask(crew.address(), &query, 40);
    assert!(kill(&behind.to_string(), "CONT"));
    assert!(waiting.iter_mut().all(|stream| status(stream) == 101));
    for mut stream in waiting {
        let mut text = vec![];
        while !text.windows(14).any(|part| part == br#""resumed":true"#) {
            let mut some = [0; 1000];
            let count = stream.read(&mut some).unwrap();
            text.extend(&some[..count]);
            let is_lost = text.windows(15).any(|part| part == br#""resumed":false"#);
            assert!(count > 0 && !is_lost, "{}", String::from_utf8_lossy(&text));
        }
    }
}

#[test]
fn short_requests_that_make_much_kill_no_worker() {
    let crew = Crew::start("--workers 2");
    let workers = crew.children();
    let mut client = crew.client();
    let ask = |worker: u32, topics: usize, bytes: usize| {
        let body = json!({ "topics": vec!["much"; topics], "data": "x".repeat(bytes) }).to_string();
        let mut publisher = Publisher::of(&crew, worker);
        publisher.post(&body, "Content-Type: application/json\r\n").unwrap()
    };
    let (status, answer) = ask(workers[0], 10_000, 7000);
    assert_eq!(
        (status, answer["error"].as_str().unwrap().contains("73260000 bytes")),
        (413, true),
        "{answer}"
    );
    // Sixty megabytes at once.
    thread::scope(|scope| {
        for worker in workers.iter().chain(&workers) {
            scope.spawn(|| assert_eq!(ask(*worker, 8000, 1700).0, 200));
        }
    });
    Publisher::of(&crew, workers[1]).publish("behind it");
    assert_eq!(hear(&mut client).text, "behind it");
    assert_eq!(crew.children(), workers);
}

#[test]
fn a_key_is_known_to_every_worker() {
    let crew = Crew::start("--workers 2");
    let mut client = crew.client();
    let answers: Vec<(u16, Value)> = crew
        .children()
        .into_iter()
        .map(|pid| Publisher::of(&crew, pid).post("once", "Idempotency-Key: k\r\n").unwrap())
        .collect();
    assert_eq!(answers[0], answers[1]);
    for pid in crew.children() {
        let (status, _) = Publisher::of(&crew, pid).post("something else", "Idempotency-Key: k\r\n").unwrap();
        assert_eq!(status, 422);
    }
    assert_eq!(hear(&mut client).text, "once");
    assert_nothing_more(&mut client);
}

#[test]
fn the_periodic_notification_counts_the_clients_of_all_workers() {
    let crew = Crew::start("--workers 3 --notify-interval 0.05");
    let mut clients = crew.clients(2);
    for client in clients.values_mut().flatten() {
        // Those who were only met on the way may still be counted in the first.
        let mut counts_all = || {
            let message: Value = serde_json::from_str(&client.hear()).unwrap();
            assert!(message["message"].as_str().unwrap().starts_with("Periodic notification #"), "{message}");
            message["active_connections"] == 6
        };
        assert!((0..100).any(|_| counts_all()), "never 6");
    }
}
