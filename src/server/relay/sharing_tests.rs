//! Facts about a relay whose order an engine gives: a script on the other end of its connections.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::super::tests::{ask, relay_with, turn};
use super::*;
use crate::policy::engine::step::Line as EngineLine;
use crate::policy::fingerprint::Fingerprint;
use crate::server::far_end::{FarEnd, Wire};
use crate::wire::engine::Speaker;
use crate::wire::link;
use crate::wire::overview::{EngineState, EngineStatus, Overview};

const GREETING: &str =
    "%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$4\r\nrole\r\n$6\r\nmaster\r\n";
const BEGUN: &str = "*3\r\n:7\r\n$3\r\n7-0\r\n$0\r\n\r\n";
const PAGE: &str = "*1\r\n*2\r\n$3\r\n7-0\r\n*4\r\n$5\r\nbegin\r\n$1\r\na\r\n$5\r\nafter\r\n$0\r\n\r\n";

/// A relay of two workers which shares its order, and the ends of the workers.
fn sharing(now: Now) -> (Relay<Wire>, Vec<Rc<RefCell<FarEnd>>>) {
    let (mut relay, ends) = relay_with(2, now);
    let speaker = Speaker::new("slackwater", Fingerprint([0; 16]), 1000);
    let name = "redis://here".to_owned();
    relay.share_order(
        EngineTerms { speaker, name, sentinels: vec![], page: 100, wait_ms: None, seed: 1 },
        now,
    );
    (relay, ends)
}

/// Connects to an engine that has nothing to tell; gives back its ends of the writer and the reader.
fn connect(relay: &mut Relay<Wire>, now: Now) -> [Rc<RefCell<FarEnd>>; 2] {
    let [writer, reader] = [(); 2].map(|()| FarEnd::open());
    for (line, end, reply) in [
        (EngineLine::Writer, &writer, GREETING),
        (EngineLine::Writer, &writer, BEGUN),
        (EngineLine::Reader, &reader, GREETING),
        (EngineLine::Reader, &reader, PAGE),
    ] {
        relay.hear_engine(now);
        for wanted in relay.take_wanted() {
            relay.on_connected(&wanted, Ok(Wire(end.clone())), now);
        }
        end.borrow_mut().said.extend(reply.as_bytes());
        relay.on_engine_ready(line);
        relay.hear_engine(now);
    }
    [writer, reader]
}

/// What each worker is told, when it asks how everything stands.
fn overviews(relay: &mut Relay<Wire>, ends: &[Rc<RefCell<FarEnd>>], now: Now) -> Vec<Overview> {
    for (id, end) in (0..).zip(ends) {
        end.borrow_mut().taken.clear();
        end.borrow_mut().say(&ToSupervisor::Overview);
        relay.on_ready(id, now);
    }
    turn(relay, now);
    let mut told = vec![];
    for end in ends {
        let octets = std::mem::take(&mut end.borrow_mut().taken);
        let mut input = &octets[..];
        while let Some(message) = link::next::<ToWorker<'_>>(&mut input).unwrap() {
            told.extend(if let ToWorker::Overview(overview) = message { Some(*overview) } else { None });
        }
    }
    told
}

fn engine(relay: &mut Relay<Wire>, ends: &[Rc<RefCell<FarEnd>>], now: Now) -> EngineStatus {
    let told = overviews(relay, ends, now);
    assert!(told.len() == 2 && told[0] == told[1], "{told:?}");
    told[0].engine.clone().expect("there is one")
}

#[test]
fn all_workers_are_told_alike_how_the_engine_stands_also_while_it_owes_an_answer() {
    let start = Now::read();
    let (mut relay, ends) = sharing(start);
    let unknown = EngineStatus {
        address: "redis://here".to_owned(),
        software: None,
        state: EngineState::Down { why: None },
        has_been_read: false,
        lag_seconds: 0.0,
    };
    assert_eq!(engine(&mut relay, &ends, start), unknown);
    let [writer, _] = connect(&mut relay, start);
    ask(&ends[0], 1, 1);
    let up = EngineStatus {
        software: Some(("redis".to_owned(), "7.0.15".to_owned())),
        state: EngineState::Up { epoch: 7 },
        has_been_read: true,
        ..unknown
    };
    assert_eq!(engine(&mut relay, &ends, start), up);
    writer.borrow_mut().is_closed = true;
    let now = Now { instant: start.instant + Duration::from_millis(1500), ..start };
    relay.on_engine_ready(EngineLine::Writer);
    relay.hear_engine(start);
    let state = EngineState::Down { why: Some("it has closed the connection".to_owned()) };
    assert_eq!(engine(&mut relay, &ends, now), EngineStatus { state, lag_seconds: 1.5, ..up });
}

#[test]
fn a_reconnect_is_counted_once_a_machine_and_by_its_successor_too() {
    let mut now = Now::read();
    let (mut relay, ends) = sharing(now);
    for reconnects in [0, 1, 2] {
        let [writer, _] = connect(&mut relay, now);
        let told = overviews(&mut relay, &ends, now);
        assert_eq!(told.iter().map(|told| told.sum().engine_reconnects).collect::<Vec<_>>(), [reconnects; 2]);
        writer.borrow_mut().is_closed = true;
        relay.on_engine_ready(EngineLine::Writer);
        relay.hear_engine(now);
        now.instant += Duration::from_secs(10);
    }
    let (mut successor, ends) = sharing(now);
    successor.go_on_counting(&relay.counted());
    connect(&mut successor, now);
    assert_eq!(overviews(&mut successor, &ends, now)[0].sum().engine_reconnects, 2);
}

#[test]
fn what_was_heard_of_the_engine_is_counted_on_by_a_successor() {
    let now = Now::read();
    let (mut predecessor, _) = sharing(now);
    let [_, reader] = connect(&mut predecessor, now);
    for position in 1..=3 {
        let entry = format!("*2\r\n$3\r\n7-{position}\r\n*6\r\n{}", "+t\r\n+a\r\n+d\r\n+1\r\n+at\r\n+0\r\n");
        reader.borrow_mut().said.extend(format!("%1\r\n+{{slackwater}}:stream\r\n*1\r\n{entry}").as_bytes());
        predecessor.on_engine_ready(EngineLine::Reader);
        predecessor.hear_engine(now);
    }
    predecessor.cut_off(&[], &ToWorker::Resume);
    let (mut relay, ends) = sharing(now);
    relay.restore(predecessor.snapshot_at_cut(now), now);
    let (notifications, begun) = predecessor.counted_publications();
    relay.go_on_counting_publications(notifications, begun);
    assert_eq!(overviews(&mut relay, &ends, now)[0].publications, 3);
}

#[test]
fn a_successor_of_one_that_has_never_heard_the_engine_has_still_to_read_all_there_is() {
    let now = Now::read();
    let (mut predecessor, _) = sharing(now);
    predecessor.cut_off(&[], &ToWorker::Resume);
    let (mut relay, ends) = sharing(now);
    relay.restore(predecessor.snapshot_at_cut(now), now);
    assert!(!engine(&mut relay, &ends, now).has_been_read);
    connect(&mut relay, now);
    assert!(engine(&mut relay, &ends, now).has_been_read);
}

#[test]
fn a_successor_listens_to_the_engine_once_its_workers_have_taken_everybody_up() {
    let now = Now::read();
    let (mut predecessor, _) = sharing(now);
    connect(&mut predecessor, now);
    predecessor.cut_off(&[], &ToWorker::Resume);
    let (mut relay, _) = sharing(now);
    relay.await_history();
    relay.restore(predecessor.snapshot_at_cut(now), now);
    relay.begin_history();
    relay.hear_engine(now);
    assert!(relay.take_wanted().is_empty() && !relay.has_engine_work(now.instant));
    // They are told all the same what was published before.
    assert!(!relay.pause.awaits_history());
    relay.let_serve(now);
    relay.hear_engine(now);
    assert!(!relay.take_wanted().is_empty());
}
