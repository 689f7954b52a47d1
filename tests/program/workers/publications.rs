//! One order for the clients of all workers, whoever was asked to publish.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use serde_json::json;
use support::client::Client;
use support::publisher::Publisher;

use super::crew::{Crew, stop};
use super::heard::{Heard, hear};
use crate::process::signal;

#[test]
fn every_client_of_every_worker_hears_each_publication_once_and_in_one_order() {
    const EACH: usize = 50;
    let crew = Crew::start("--workers 3");
    let mut clients = crew.clients(2);
    let publishers: Vec<_> = crew
        .children()
        .into_iter()
        .map(|pid| {
            let mut publisher = crew.publisher_of(pid);
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
        client.echo("anything else?");
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
    let mut publisher = crew.publisher_of(crew.process(1, 1));
    let first = publisher.publish("one");
    publisher.publish("two");
    publisher.publish("three");
    let mut met = BTreeSet::new();
    while met != pids {
        let mut client = Client::resume(crew.address(), &first);
        assert_eq!(client.welcome["resumed"], true);
        assert_eq!([client.hear_data(), client.hear_data()], ["two", "three"]);
        client.echo("anything else?");
        met.insert(crew.server_of(client.stream()));
    }
    let stranger = Client::resume(crew.address(), "0badcafe-1");
    assert_eq!(stranger.welcome["resumed"], false, "an id of another history");
}

#[test]
fn an_id_that_was_just_answered_is_known_to_every_worker() {
    let crew = Crew::start("--workers 3 --timeout-keep-alive 60");
    let mut publishers: Vec<Publisher> =
        crew.children().into_iter().map(|pid| crew.publisher_of(pid)).collect();
    for round in 0..30 {
        for publisher in &mut publishers {
            let id = publisher.publish(&format!("round {round}"));
            let mut client = Client::resume(crew.address(), &id);
            assert_eq!(client.welcome["resumed"], true);
            client.echo("anything else?");
        }
    }
}

#[test]
fn a_worker_that_is_behind_resumes_who_is_ahead_of_it() {
    let crew = Crew::start("--workers 2 --timeout-worker-healthcheck 60");
    let behind = crew.process(2, 1);
    let mut publisher = crew.publisher_of(crew.process(1, 1));
    stop(behind);
    // More than it reads at once, and less than others are made to wait for.
    let ids: Vec<String> = (0..50).map(|_| publisher.publish(&"x".repeat(50_000))).collect();
    let mut waiting = crew.ask(&format!("/ws?last_event_id={}", ids[49]), 40);
    signal(behind, "CONT");
    for newcomer in &mut waiting {
        assert_eq!(newcomer.head().status, 101);
        assert_eq!(newcomer.message()["resumed"], true);
    }
}

#[test]
fn short_requests_that_make_much_kill_no_worker() {
    let crew = Crew::start("--workers 2");
    let workers = crew.children();
    let mut client = crew.client();
    let ask = |mut publisher: Publisher, topics: usize, bytes: usize| {
        let body = json!({ "topics": vec!["much"; topics], "data": "x".repeat(bytes) }).to_string();
        publisher.post("/publish", "Content-Type: application/json\r\n", &body)
    };
    let refused = ask(crew.publisher_of(workers[0]), 10_000, 7000);
    assert!(refused.status == 413 && refused.text().contains("73260000 bytes"), "{refused:?}");
    // Sixty megabytes at once.
    thread::scope(|scope| {
        for worker in workers.iter().chain(&workers) {
            let publisher = crew.publisher_of(*worker);
            scope.spawn(|| assert_eq!(ask(publisher, 8000, 1700).status, 200));
        }
    });
    crew.publisher_of(workers[1]).publish("behind it");
    assert_eq!(client.hear_data(), "behind it");
    assert_eq!(crew.children(), workers);
}

#[test]
fn a_key_is_known_to_every_worker() {
    let crew = Crew::start("--workers 2");
    let mut client = crew.client();
    let ask = |pid, text| crew.publisher_of(pid).post("/publish", "Idempotency-Key: k\r\n", text);
    let workers = crew.children();
    let first = ask(workers[0], "once").json();
    assert!(first["id"].is_string(), "{first}");
    assert_eq!(ask(workers[1], "once").json(), first);
    for pid in workers {
        assert_eq!(ask(pid, "something else").status, 422);
    }
    assert_eq!(client.hear_data(), "once");
    client.echo("anything else?");
}

#[test]
fn the_periodic_notification_counts_the_clients_of_all_workers() {
    let crew = Crew::start("--workers 3 --notify-interval 0.05");
    let mut clients = crew.clients(2);
    for client in clients.values_mut().flatten() {
        // Those who were only met on the way may still be counted in the first.
        let mut counts_all = || {
            let message = client.hear();
            assert!(message["message"].as_str().unwrap().starts_with("Periodic notification #"), "{message}");
            message["active_connections"] == 6
        };
        assert!((0..100).any(|_| counts_all()), "never 6");
    }
}
