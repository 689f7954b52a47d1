//! Whoever is connected lives on from one process to the next, and misses nothing.

use std::time::Instant;

use support::HEALTHZ;
use support::client::Client;
use support::events::Listener;
use support::peer::Peer;
use support::publisher::Publisher;

use super::server::Service;
use crate::halves::{Half, Requesting};

#[test]
fn everybody_stays_on_the_same_connection_through_several_restarts_and_hears_all_once_and_in_order() {
    let mut service = Service::start("");
    let address = service.address();
    let (mut client, mut stream) = (service.client(), Listener::join(address, "/events"));
    let mut publisher = Publisher::connect(address);
    publisher.publish("0");
    for n in 1..=4 {
        assert_eq!(service.restart(), address);
        assert!(publisher.publish(&n.to_string()).ends_with(&format!("-{}", n + 1)), "the order goes on");
    }
    for n in 0..=4 {
        let n = n.to_string();
        assert_eq!((client.hear_data(), stream.hear_data()), (n.clone().into(), n.into()));
    }
    client.echo("still here");
    service.client().leave();
}

#[test]
fn what_is_half_said_is_said_to_its_end_while_nobody_serves_or_later() {
    let mut service = Service::start("");
    let mut halves = Half::all(service.address());
    let requesting = Requesting::begin(service.address());
    // Once it is answered, all who have connected before have been accepted.
    assert_eq!(service.process().door().get("/healthz").status, 200);
    service.park();
    halves.iter_mut().step_by(2).for_each(Half::say_rest);
    service.go_on();
    halves.iter_mut().skip(1).step_by(2).for_each(Half::say_rest);
    halves.into_iter().for_each(Half::assert_answered);
    requesting.assert_answered();
}

#[test]
fn who_connects_or_asks_while_nobody_serves_is_answered_by_the_next() {
    let mut service = Service::start("");
    let address = service.address();
    let mut kept = Publisher::connect(address);
    kept.publish("before");
    service.park();
    let mut waiting = Peer::connect(address);
    waiting.send(HEALTHZ);
    kept.0.send(HEALTHZ);
    service.go_on();
    assert_eq!((waiting.response().status, kept.0.response().status), (200, 200));
}

#[test]
fn who_is_slow_hears_the_rest_from_the_next() {
    let mut service = Service::start("");
    let mut publisher = Publisher::connect(service.address());
    let filler = "z".repeat(50_000);
    let mut slow: Vec<Peer> = (0..3).map(|_| Peer::with_little_room(service.address()).upgraded()).collect();
    (0..30).for_each(|n| _ = publisher.publish(&format!("{n} {filler}")));
    let door = service.process().door();
    door.metrics_with("a full outbox", |now| now.of("slackwater_outbox_bytes") > 0.0);
    service.restart();
    publisher.publish("last");
    for peer in &mut slow {
        for n in 0..30 {
            assert_eq!(peer.message()["data"], format!("{n} {filler}"));
        }
        assert_eq!(peer.message()["data"], "last");
    }
}

#[test]
fn the_numbers_go_on_and_tell_of_it() {
    let mut service = Service::start("");
    let mut clients: Vec<Client> = (0..3).map(|_| service.client()).collect();
    Publisher::connect(service.address()).publish("x");
    let before = service.process().door().metrics();
    service.restart();
    let door = service.process().door();
    let after = door.metrics();
    after.assert_not_below(&before);
    assert_eq!(after.of("slackwater_connections_active"), 3.0);
    assert_eq!(after.of("slackwater_connections_total"), 3.0);
    assert_eq!(after.of("slackwater_publications_total"), 1.0);
    assert_eq!(after.of("slackwater_handovers_total{result=\"completed\"}"), 1.0);
    assert!(after.of("slackwater_handover_connections_total{result=\"moved\"}") >= 3.0);
    assert_eq!(after.of("slackwater_handover_connections_total{result=\"stayed\"}"), 0.0);
    assert!(after.of("slackwater_handover_seconds") > 0.0);
    assert_eq!(door.status()["handover"]["result"], "completed");
    clients.iter_mut().for_each(|client| assert_eq!(client.hear_data(), "x"));
}

#[test]
fn who_is_told_by_the_service_manager_is_told_that_it_stops() {
    let mut service = Service::start("");
    let address = service.address();
    assert_eq!(service.manager.hear(), ["READY=1".to_owned(), format!("STATUS=Serving on {address}")]);
    let _client = service.client();
    service.park();
    assert_eq!(service.manager.told(), [["STOPPING=1", "STATUS=Parked 1 connections"]]);
    service.go_on();
    assert_eq!(service.manager.hear()[0], "READY=1");
}

#[test]
fn five_thousand_live_on() {
    let mut service = Service::start("--backlog 10000");
    let address = service.address();
    let mut peers: Vec<Peer> = (0..5000).map(|_| Peer::connect(address).upgraded()).collect();
    let mut publisher = Publisher::connect(address);
    publisher.publish("0");
    for n in 1..=2 {
        let began = Instant::now();
        let lines = service.park();
        let took = began.elapsed();
        assert!(lines.iter().any(|line| line.contains("Parked 5001 connections")), "{lines:#?}");
        service.go_on();
        eprintln!("parked in {took:?}: {}", service.process().line("] Took up 5001 connections"));
        publisher.publish(&n.to_string());
    }
    for peer in &mut peers {
        for n in 0..=2 {
            assert_eq!(peer.message()["data"], n.to_string());
        }
    }
}

#[test]
fn it_parks_as_well_what_it_was_handed_over() {
    let mut service = Service::start("");
    let mut client = service.client();
    let first = service.process().pid();
    service.process().signal("HUP");
    service.process().line("] Took over 1 connections");
    service.process().count("] Serving ", 2);
    let successor = service.process().until("a successor", |lines| {
        let line = lines.iter().find(|line| line.contains("] Handed over "))?;
        line.split_once(" to process ")?.1.split(':').next()?.parse::<u32>().ok()
    });
    assert_ne!(first, successor);
    crate::process::signal(successor, "TERM");
    service.parked();
    service.go_on();
    client.echo("x");
}
