//! The life of event streams in virtual time: what keeps them alive, what ends them, and what they are told then.

use std::cell::Cell;

use support::events::Event;

use crate::server::peers::Readiness;
use crate::server::peers::house::{GET, House, SECOND, seconds};

#[path = "streaming_heard_tests.rs"]
mod heard;

#[test]
fn a_stream_is_told_every_25_seconds_that_it_lives_unless_it_was_told_anything_and_costs_nothing_else() {
    let mut house = House::with("");
    let stream = house.connect(GET);
    house.run_for(seconds(60));
    assert_eq!(house.told(stream, ":\nid: "), [25, 50].map(seconds));
    house.publish();
    house.run_for(seconds(24));
    assert_eq!(house.heard(stream).1.comments, 3, "the first is the opening's");
    house.turns = 0;
    house.run_for(seconds(40));
    assert_eq!(house.told(stream, ":\nid: "), [25, 50, 85, 110].map(seconds));
    assert!(house.turns <= 3, "{} turns", house.turns);
    let (events, reader) = house.heard(stream);
    assert_eq!((events.len(), reader.is_between_blocks()), (1, true));
    assert_eq!(reader.last_event_id, events[0].last_event_id);
}

#[test]
fn what_a_stream_sends_is_read_and_means_nothing_not_even_that_it_lives() {
    let mut house = House::with("");
    let stream = house.connect(&GET.repeat(3));
    let told = house.text(stream);
    assert_eq!(told.matches("HTTP/1.1").count(), 1);
    house.run_for(seconds(20));
    house.say(stream, "GET / HTTP/1.1\r\n\r\n\0".repeat(20_000));
    assert!(house.ends[stream].borrow().said.is_empty(), "it is read");
    assert_eq!(house.text(stream), told);
    house.run_for(seconds(5));
    assert_eq!(house.told(stream, ":\nid: "), [25].map(seconds));
}

#[test]
fn a_stream_that_takes_nothing_is_not_told_that_it_lives_and_ends_without_another_word() {
    let mut house = House::with("--write-timeout 10 --timeout-keep-alive 100");
    let stream = house.connect(GET);
    // Two bytes of the event get through.
    house.ends[stream].borrow_mut().room = 2;
    house.publish();
    house.run_for(seconds(9));
    assert_eq!((house.has_ended(stream), house.departures()), (false, vec![]));
    house.run_for(seconds(3));
    assert!(house.has_ended(stream));
    assert_eq!(house.departures(), [("too_slow".to_owned(), 0, 1)]);
    let (events, reader) = house.heard(stream);
    assert_eq!(events, []);
    assert!(reader.last_event_id.ends_with("-0"), "it resumes from the opening's id");
}

#[test]
fn at_an_age_a_stream_is_told_to_come_back_and_ended_at_its_moment_and_not_before() {
    let mut house = House::with("--max-connection-age 100 --drain-close-after 1000");
    let stream = house.connect(GET);
    house.run_for(seconds(89));
    assert!(!house.text(stream).contains("reconnect"));
    house.run_for(seconds(22));
    assert!(house.has_ended(stream));
    let (events, reader) = house.heard(stream);
    let [notice] = &events[..] else { panic!("{events:?}") };
    assert_eq!((notice.name.as_str(), &notice.json()["reason"]), ("reconnect", &"connection_age".into()));
    assert_eq!(notice.json()["after_ms"].as_u64(), reader.retry);
    assert_eq!(house.departures(), [("too_old".to_owned(), 0, 1)]);
}

#[test]
fn when_the_server_leaves_each_stream_is_ended_at_its_own_moment_behind_what_was_published() {
    let mut house = House::with("--drain-spread 60");
    let streams: Vec<usize> = (0..20).map(|_| house.connect(GET)).collect();
    house.publish();
    house.leave();
    house.turn();
    assert!(
        streams.iter().all(|stream| !house.text(*stream).contains("reconnect")),
        "nothing is said before"
    );
    for _ in 0..60 {
        house.run_for(SECOND);
        house.publish();
    }
    let mut moments = vec![];
    for stream in streams {
        let (events, reader) = house.heard(stream);
        let [.., before, notice] = &events[..] else { panic!("{events:?}") };
        assert_eq!(notice.json()["reason"], "server_restart");
        assert_eq!(notice.last_event_id, before.last_event_id, "it resumes behind the last");
        let told = &events[..events.len() - 1];
        let ids: Vec<_> = told.iter().map(|event| event.last_event_id.clone()).collect();
        let expected: Vec<_> = (1..=ids.len()).map(|n| format!("0000beef-{n}")).collect();
        assert!(ids == expected && reader.is_between_blocks(), "{ids:?}");
        moments.extend(house.told(stream, "event: reconnect"));
    }
    house.run_for(seconds(2));
    moments.sort_unstable();
    let halves = moments.iter().filter(|moment| **moment < seconds(30)).count();
    assert!(moments.len() == 20 && (9..=11).contains(&halves), "{moments:?}");
    assert_eq!(house.departures(), [("drained".to_owned(), 0, 20)]);
}

#[test]
fn whoever_asks_for_a_stream_while_the_server_leaves_is_told_its_moment_and_not_refused() {
    let mut house = House::with("--drain-spread 60");
    let [new, head, back] = [(); 3].map(|()| house.connect(""));
    house.leave();
    for (who, method, field) in [(new, "GET", ""), (head, "HEAD", ""), (back, "GET", "Last-Event-ID: x\r\n")]
    {
        house.say(who, format!("{method} /events HTTP/1.1\r\nHost: localhost\r\n{field}\r\n"));
        assert!(house.has_ended(who) && house.text(who).contains("\r\nContent-Type: text/event-stream"));
        let (events, reader) = house.heard(who);
        assert_eq!((events, reader.retry.is_some()), (vec![], who != head));
        assert!(reader.retry.is_none_or(|retry| (1000..=60_000).contains(&retry)), "{reader:?}");
        assert_eq!(reader.last_event_id.is_empty(), who != new, "only who has none is given an id");
    }
    let metrics = house.peers.metrics(house.now());
    let refused: Vec<_> =
        metrics.requests_refused.iter().map(|one| (&*one.what, &*one.why, one.count)).collect();
    assert_eq!((refused, metrics.connections_total), (vec![("/events", "draining", 3)], 0));
}

#[test]
fn at_the_end_of_a_drain_without_notices_streams_are_told_when_to_come_back_and_nothing_else() {
    let mut house = House::with("--no-drain-notice");
    let streams = [(); 3].map(|()| house.connect(GET));
    house.leave();
    house.run_for(seconds(100));
    assert!(streams.iter().all(|stream| !house.has_ended(*stream)));
    house.peers.say_farewell(house.now());
    house.turn();
    let mut waits = vec![];
    for stream in streams {
        assert!(house.has_ended(stream));
        let (events, reader) = house.heard(stream);
        let (Some(retry), []) = (reader.retry, &events[..]) else { panic!("{events:?} {reader:?}") };
        let end = format!("\nretry: {retry}\nid: 0000beef-0\n\n\r\n0\r\n\r\n");
        assert!(house.text(stream).ends_with(&end));
        waits.push(retry);
    }
    waits.dedup();
    assert!(waits.len() == 3 && waits.iter().all(|wait| (1000..3000).contains(wait)), "{waits:?}");
}

#[test]
fn however_a_stream_takes_what_it_is_told_nothing_is_missing_up_to_its_end_or_behind_its_last_id() {
    use proptest::prelude::*;
    let steps = prop::collection::vec((0..4_u64, prop::option::of(0..1500_usize)), 1..40);
    let (ended, whole) = (Cell::new(0), Cell::new(0));
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let outcome = runner.run(&(steps, 0..40_usize), |(steps, leaves_at)| {
        let mut house = House::with("--outbox-limit 1024 --write-timeout 1 --drain-spread 2");
        let stream = house.connect(GET);
        house.ends[stream].borrow_mut().room = 0;
        for (step, (publications, room)) in steps.iter().enumerate() {
            (0..*publications).for_each(|_| house.publish());
            if let Some(room) = room {
                house.ends[stream].borrow_mut().room = *room;
                house.peers.on_ready(stream, Readiness::Room, true, house.now());
                house.turn();
            }
            if step == leaves_at {
                house.leave();
            }
            // An end leaves it a second to take something more.
            house.run_for(SECOND / 4);
            if house.has_ended(stream) {
                break;
            }
        }
        let (events, reader) = house.heard(stream);
        let ids = |events: &[Event]| {
            let messages = events.iter().filter(|event| event.name == "message");
            messages.map(|event| event.last_event_id.clone()).collect::<Vec<_>>()
        };
        let mut heard = ids(&events);
        if house.has_ended(stream) {
            ended.set(ended.get() + 1);
            let is_told = events.last().is_some_and(|event| event.name == "reconnect");
            whole.set(whole.get() + usize::from(is_told));
        }
        // A successor would bring it the rest; here that is a server that has not begun to leave.
        let mut successor = House::with("");
        (0..house.published).for_each(|_| successor.publish());
        let field = format!("\r\nLast-Event-ID: {}\r\n\r\n", reader.last_event_id);
        let back = successor.connect(&GET.replace("\r\n\r\n", &field));
        heard.extend(ids(&successor.heard(back).0));
        let expected: Vec<_> = (1..=house.published).map(|n| format!("0000beef-{n}")).collect();
        prop_assert_eq!(heard, expected);
        Ok(())
    });
    outcome.unwrap();
    assert!(ended.get() > 10 && whole.get() > 10 && ended > whole, "{ended:?} {whole:?}");
}
