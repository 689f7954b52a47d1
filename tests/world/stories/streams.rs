//! Event streams among the other clients: what they are told while they live, when they end, and where they go on.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use slackwater::policy::reconnect_notices::ReconnectTerms;

use crate::compression::Window;
use crate::draw::{SECOND, house, patient};
use crate::ear::{Heard, Id};
use crate::fates::Fate;
use crate::for_each_seed;
use crate::reign::Setup;
use crate::socket::Line;
use crate::speech::handshake;
use crate::stories::{answers, count, heard, last_heard, positions, publish, stream};
use crate::world::World;

fn compressing(workers: usize) -> Setup {
    let mut setup = patient(workers);
    setup.terms.compresses = true;
    setup
}

/// A WebSocket that resumes behind this, and inflates.
fn inflating(world: &mut World, last: Option<Id>) -> Rc<RefCell<Line>> {
    let query = last.map(|id| format!("&last_event_id={id}")).unwrap_or_default();
    let offer = "Host: x\r\nSec-WebSocket-Extensions: permessage-deflate";
    let request = handshake(&format!("topic=news{query}")).replacen("Host: x", offer, 1);
    let line = world.connect_to_any(&request);
    line.borrow_mut().ear.window = Some(Window::LARGEST);
    line
}

/// One of each kind, which resume behind this.
fn one_of_each(world: &mut World, last: Option<Id>) -> [Rc<RefCell<Line>>; 3] {
    let query = last.map(|id| format!("&last_event_id={id}")).unwrap_or_default();
    let plain = world.connect_to_any(&handshake(&format!("topic=news{query}")));
    [plain, inflating(world, last), world.connect_to_any(&stream(last))]
}

/// How a stream has begun.
fn primed(line: &RefCell<Line>) -> Option<(Duration, Option<Id>)> {
    line.borrow().ear.heard.iter().find_map(|(_, heard)| match heard {
        Heard::Primed { retry, id } => Some((*retry, *id)),
        _ => None,
    })
}

/// The last id that a client has read of, be it that it was told of a gap.
fn last_read(line: &RefCell<Line>) -> Option<Id> {
    let line = line.borrow();
    let read = line.ear.heard.iter().take_while(|(end, _)| *end <= line.read_bytes);
    read.fold(None, |last, (_, heard)| match heard {
        Heard::Publication(id, _) | Heard::Gap(Some(id)) => Some(*id),
        Heard::Primed { id, .. } | Heard::Heartbeat(id) | Heard::Parting { id, .. } => id.or(last),
        _ => last,
    })
}

/// The last thing that was said, be it that nothing follows.
fn last_word(line: &RefCell<Line>) -> Option<Heard> {
    let line = line.borrow();
    let words = line.ear.heard.iter().rev().map(|(_, heard)| heard);
    words.into_iter().find(|heard| **heard != Heard::Complete).cloned()
}

fn id(position: u64) -> Id {
    Id { epoch: 0xbeef, position }
}

/// All read what there is, and whoever is told to go goes.
fn read_and_obey(lines: &[Rc<RefCell<Line>>]) {
    for line in lines {
        let mut line = line.borrow_mut();
        line.take(usize::MAX);
        if line.ear.has_parted() || line.outbound_ended {
            line.end();
        }
    }
}

#[test]
fn a_drain_of_all_kinds_of_clients_ends_once_each_has_heard_all_and_was_told_its_moment() {
    for_each_seed(13_000..13_005, |seed| {
        let mut setup = compressing(0);
        let spread = 10 * SECOND;
        setup.patience = 30 * SECOND;
        setup.terms.reconnect = Some(ReconnectTerms { spread, close_after: Some(SECOND), max_age: None });
        setup.has_witness = false;
        let mut world = house(seed, setup);
        let lines: Vec<_> = (0..8).flat_map(|_| one_of_each(&mut world, None)).collect();
        world.calm_down();
        publish(&mut world, 0, 1..=5, 1000);
        world.calm_down();
        let begun = world.now;
        world.fulfil(Fate::Redeployed);
        let (mut moments, mut told) = (vec![], [false; 24]);
        world.turn();
        while world.reigns.iter().any(|reign| reign.number == 0) {
            world.sleep(begun + 40 * SECOND);
            assert!(world.now < begun + 20 * SECOND, "it does not end");
            world.turn();
            read_and_obey(&lines);
            for (line, told) in lines.iter().zip(&mut told).skip(2).step_by(3) {
                if line.borrow().ear.has_parted() && !std::mem::replace(told, true) {
                    moments.push(world.now - begun);
                }
            }
        }
        for (nth, line) in lines.iter().enumerate() {
            assert_eq!(positions(line), [1, 2, 3, 4, 5]);
            let is_notice =
                |heard: &Heard| matches!(heard, Heard::Reconnect(_) | Heard::Parting { notice: Some(_), .. });
            assert_eq!(count(line, is_notice), 1, "{:?}", answers(line));
            let parting = last_word(line).expect("something");
            assert_eq!(nth % 3 == 2, is_notice(&parting), "{parting:?}");
            assert!(nth % 3 == 2 || parting == Heard::Close(Some(1012)), "{parting:?}");
        }
        let early = moments.iter().filter(|moment| **moment < spread / 2).count();
        assert!(moments.len() == 8 && (3..=5).contains(&early), "{moments:?}");
    });
}

#[test]
fn whoever_resumes_at_a_successor_hears_what_it_missed_whichever_kind_it_is() {
    for workers in [0, 2] {
        for_each_seed(13_010..13_013, |seed| {
            let mut world = house(seed, compressing(workers));
            let lines = one_of_each(&mut world, None);
            world.calm_down();
            let spaced = "{\"topic\":\"news\",\"data\":{\"n\":1,\r\n\"x\":[2,\n3,\r4]}}";
            let length = spaced.len();
            let fields = "Host: x\r\nContent-Type: application/json";
            let post =
                format!("POST /publish HTTP/1.1\r\n{fields}\r\nContent-Length: {length}\r\n\r\n{spaced}");
            world.connect_to_any(&post);
            world.calm_down();
            publish(&mut world, 0, 2..=3, 1000);
            world.calm_down();
            world.fulfil(Fate::Redeployed);
            while world.reigns.iter().any(|reign| reign.number == 0) {
                world.turn();
                read_and_obey(&lines);
                world.sleep(world.now + SECOND);
            }
            world.begin_calmly();
            let [plain, inflating, event_stream] = &lines;
            assert!([plain, inflating].iter().all(|line| last_heard(line) == Some(Heard::Close(Some(1012)))));
            let Some(Heard::Parting { retry, .. }) = last_word(event_stream) else { panic!("no word") };
            assert!((SECOND..3 * SECOND).contains(&retry));
            assert!(lines.iter().all(|line| last_read(line) == Some(id(3))));
            publish(&mut world, 0, 4..=5, 1000);
            world.calm_down();
            for last in [0, 1, 3, 5] {
                let lines = one_of_each(&mut world, Some(id(last)));
                world.calm_down();
                let [plain, inflating, event_stream] = &lines;
                let missed = Vec::from_iter(last + 1..=5);
                assert_eq!([heard(plain), heard(inflating)], [(); 2].map(|()| (Some(true), missed.clone())));
                assert_eq!(positions(event_stream), missed);
                assert_eq!(primed(event_stream).and_then(|(_, id)| id), Some(id(last)));
            }
        });
    }
}

#[test]
fn a_stream_whose_worker_steps_down_in_the_middle_of_its_replay_goes_on_at_another() {
    for_each_seed(13_020..13_025, |seed| {
        let mut setup = patient(2);
        setup.patience = 3 * SECOND;
        let mut world = house(seed, setup);
        publish(&mut world, 0, 1..=60, 15_000);
        world.calm_down();
        let mut last = Some(id(0));
        let mut line = world.connect_to(1, 20_000, &stream(last));
        let mut heard = vec![];
        world.run_for(SECOND / 10);
        world.fulfil(Fate::Shrink);
        let mut visits = 1;
        while heard.last() != Some(&60) {
            let taken = world.random.within(1..8_000);
            line.borrow_mut().take(taken);
            world.run_for(SECOND / 50);
            let is_over = line.borrow().outbound_ended || line.borrow().dropped;
            if is_over || last_read(&line) == Some(id(60)) {
                line.borrow_mut().take(usize::MAX);
                let read = last_read(&line);
                heard.extend(positions(&line).into_iter().filter(|position| Some(id(*position)) <= read));
                last = read;
                line.borrow_mut().end();
                line = world.connect_to(0, 20_000, &stream(last));
                visits += 1;
            }
            assert!(world.now < 60 * SECOND, "it never hears all");
        }
        assert_eq!(heard, Vec::from_iter(1..=60));
        assert!(visits > 2, "its worker did not leave");
    });
}

#[test]
fn who_is_too_slow_is_ended_with_or_without_a_word_and_goes_on_where_it_was() {
    for_each_seed(13_030..13_040, |seed| {
        let mut setup = compressing(0);
        (setup.terms.limits.outbox_bytes, setup.terms.limits.write) = (20_000, 2 * SECOND);
        let mut world = house(seed, setup);
        let lines = one_of_each(&mut world, None);
        world.calm_down();
        for line in &lines {
            let mut line = line.borrow_mut();
            line.take(usize::MAX);
            line.capacity = world.random.within(500..5000);
        }
        publish(&mut world, 0, 1..=60, 3000);
        world.run_for(4 * SECOND);
        let [plain, inflating, event_stream] = &lines;
        // Behind what it has begun to receive, if anything fits into the socket any more.
        for line in [plain, inflating] {
            line.borrow_mut().take(usize::MAX);
            assert!(line.borrow().dropped || last_heard(line) == Some(Heard::Close(Some(4001))));
        }
        let line = event_stream.borrow();
        assert!(line.dropped && line.outbound_ended <= line.ear.is_whole(), "{line:?}");
        assert!(!line.ear.has_parted());
        drop(line);
        event_stream.borrow_mut().take(usize::MAX);
        let last = last_read(event_stream);
        assert!(last < Some(id(60)));
        let again = world.connect_to_any(&stream(last));
        world.calm_down();
        assert_eq!(positions(event_stream).len() as u64, last.expect("primed").position);
        assert_eq!([positions(event_stream), positions(&again)].concat(), Vec::from_iter(1..=60));
    });
}

#[test]
fn a_stream_that_cannot_be_brought_what_it_missed_hears_of_a_gap_and_goes_on_from_there() {
    for workers in [0, 2] {
        for_each_seed(13_050..13_053, |seed| {
            let mut setup = patient(workers);
            setup.terms.history.publications = 3;
            let mut world = house(seed, setup);
            publish(&mut world, 0, 1..=10, 100);
            world.calm_down();
            for (last, is_gap) in [(Some(id(6)), true), (Some(id(7)), false), (None, false)] {
                let line = world.connect_to_any(&stream(last));
                world.calm_down();
                line.borrow_mut().take(usize::MAX);
                assert_eq!(count(&line, |heard| *heard == Heard::Gap(Some(id(10)))) == 1, is_gap);
                assert_eq!(last_read(&line), Some(id(10)), "from there on it resumes");
            }
            let unknown = "GET /events?topic=news&last_event_id=x HTTP/1.1\r\nHost: x\r\n\r\n";
            let line = world.connect_to_any(unknown);
            world.calm_down();
            assert_eq!(last_heard(&line), Some(Heard::Gap(Some(id(10)))));
        });
    }
}

#[test]
fn whoever_asks_for_a_stream_while_the_server_leaves_is_told_when_to_come_back_in_every_phase() {
    for workers in [0, 1] {
        for_each_seed(13_060..13_070, |seed| {
            let mut setup = patient(workers);
            setup.patience = 20 * SECOND;
            let spread = 10 * SECOND;
            setup.terms.reconnect = Some(ReconnectTerms { spread, close_after: None, max_age: None });
            let mut world = house(seed, setup);
            world.connect_to_any(&handshake("topic=news"));
            let silent = world.connect_to_any("");
            world.calm_down();
            let request = stream(None);
            let (start, rest) = request.split_at(world.random.within(1..request.len()));
            let half = world.connect_to_any(start);
            world.calm_down();
            world.fulfil(Fate::Redeployed);
            for _ in 0..world.random.below(4) {
                world.turn();
            }
            half.borrow_mut().send(rest.as_bytes());
            silent.borrow_mut().send(request.as_bytes());
            world.run_for(SECOND / 2);
            for line in [&half, &silent] {
                let (retry, id) = primed(line).expect("it is answered");
                // Whoever was let in is told its moment when that has come.
                let was_let_in = !line.borrow().outbound_ended;
                let most = if was_let_in { 3 * SECOND } else { spread };
                assert!((SECOND..=most).contains(&retry) && id.is_some(), "{retry:?} {id:?}");
            }
        });
    }
}

#[test]
fn a_stream_that_hears_nothing_hears_every_25_seconds_that_it_lives_and_costs_no_other_turn() {
    for_each_seed(13_080..13_083, |seed| {
        let mut setup = patient(0);
        setup.has_witness = false;
        let mut world = house(seed, setup);
        let (begun, end) = (world.now, world.now + 100 * SECOND);
        let line = world.connect_to_any(&stream(None));
        let mut beats = vec![];
        while world.now < end {
            world.turn();
            let count = count(&line, |heard| *heard == Heard::Heartbeat(Some(id(0))));
            line.borrow_mut().take(usize::MAX);
            if count > beats.len() {
                beats.push(world.now - begun);
            }
            world.sleep(end);
        }
        let late = |beat: &Duration, nth: u32| beat.checked_sub(nth * 25 * SECOND);
        let is_in_time = |(beat, nth): (&Duration, u32)| late(beat, nth).is_some_and(|late| late < SECOND);
        assert!(beats.len() >= 3 && beats.iter().zip(1..).all(is_in_time), "{beats:?}");
    });
}

/// The end comes while it has taken a part of what was published, be it the first piece of an event and nothing else.
#[test]
fn a_stream_is_counted_as_a_websocket_is_by_all_that_it_was_told() {
    for_each_seed(13_090..13_110, |seed| {
        let mut setup = patient(0);
        (setup.has_witness, setup.terms.limits.ping_interval) = (false, Some(25 * SECOND));
        let (close_after, max_age) = (Some(SECOND), Some(60 * SECOND));
        setup.terms.reconnect = Some(ReconnectTerms { spread: SECOND, close_after, max_age });
        let mut world = house(seed, setup);
        for request in [handshake("topic=news"), stream(None)] {
            let before = world.ask_for("slackwater_messages_sent_total ");
            let line = world.connect_to(0, 1 << 20, &request);
            world.run_for(53 * SECOND);
            line.borrow_mut().take(usize::MAX);
            line.borrow_mut().capacity = 40;
            publish(&mut world, 0, 1..=10, 1000);
            while !line.borrow().outbound_ended {
                world.run_for(SECOND / 50);
                line.borrow_mut().take(20);
            }
            line.borrow_mut().end();
            let told = count(&line, |heard| {
                !matches!(heard, Heard::Switched | Heard::Streaming | Heard::Primed { .. })
            });
            assert!(told > 10 && count(&line, |heard| matches!(heard, Heard::Publication(..))) == 10);
            let counted = world.ask_for("slackwater_messages_sent_total ") - before;
            assert_eq!(counted, told, "{:?}", answers(&line));
        }
    });
}
