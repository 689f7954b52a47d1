//! Facts about the relay, told by links whose ends say at once what is to be said, and take as much as they are let.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::value::RawValue;

use super::*;
use crate::policy::idempotency::Scope;
use crate::policy::topic::TopicName;
use crate::server::far_end::{FarEnd, Wire};
use crate::wire::link;
use crate::wire::publish::{Draft, Drafts, Submission};

const MIB: usize = 1 << 20;

/// A relay with so many workers that take everything.
pub(super) fn relay_with(workers: u32, now: Now) -> (Relay<Wire>, Vec<Rc<RefCell<FarEnd>>>) {
    let limits = HistoryLimits { publications: 1000, bytes: MIB, age: Duration::from_secs(1000) };
    let (mut relay, mut ends) = (Relay::new(7, limits), vec![]);
    for id in 0..workers {
        let end = FarEnd::open();
        relay.admit(id, id, id, Wire(end.clone()));
        ends.push(end);
    }
    relay.settle(now);
    ends.iter().for_each(|end| end.borrow_mut().taken.clear());
    (relay, ends)
}

/// A worker asks for one publication of so much to each of so many topics.
pub(super) fn ask(end: &RefCell<FarEnd>, topics: usize, bytes: usize) {
    let draft = Draft {
        topics: vec![TopicName::parse("much").unwrap(); topics],
        data: RawValue::from_string(format!("\"{}\"", "x".repeat(bytes))).unwrap(),
        key: None,
    };
    let drafts = Drafts { list: vec![draft], is_batch: true };
    end.borrow_mut().say(&ToSupervisor::Publish(Submission { key: None, scope: Scope::OPERATORS, drafts }));
}

pub(super) fn turn(relay: &mut Relay<Wire>, now: Now) {
    relay.listen(now);
    relay.settle(now);
}

/// How many submissions a worker was told that they are published, and of how many publications it has heard.
fn heard(end: &RefCell<FarEnd>) -> (usize, usize) {
    let (octets, mut count) = (std::mem::take(&mut end.borrow_mut().taken), (0, 0));
    let mut input = &octets[..];
    while let Some(message) = link::next::<ToWorker<'_>>(&mut input).unwrap() {
        match message {
            ToWorker::Published(_) => count.0 += 1,
            ToWorker::Publication(_) => count.1 += 1,
            ToWorker::Line(_) | ToWorker::CaughtUp => {}
            other => panic!("told {other:?}"),
        }
    }
    count
}

#[test]
fn what_is_published_in_one_turn_is_bounded_however_much_is_asked_for_at_once() {
    let now = Now::read();
    let (mut relay, ends) = relay_with(2, now);
    (0..20).for_each(|_| ask(&ends[0], 100, 9000));
    relay.on_ready(0, now);
    let mut told = (0, 0);
    while relay.has_work(now.instant) {
        turn(&mut relay, now);
        let now_told = heard(&ends[0]);
        assert!(now_told.1 <= 500, "{} publications in one turn", now_told.1);
        assert_eq!(heard(&ends[1]), (0, now_told.1));
        told = (told.0 + now_told.0, told.1 + now_told.1);
    }
    assert_eq!(told, (20, 2000));
}

#[test]
fn what_was_asked_ahead_of_a_question_counts_in_its_turn() {
    let now = Now::read();
    let (mut relay, ends) = relay_with(1, now);
    for _ in 0..10 {
        ask(&ends[0], 500, 9000);
        ends[0].borrow_mut().say(&ToSupervisor::Sync);
    }
    relay.on_ready(0, now);
    turn(&mut relay, now);
    assert!(ends[0].borrow().taken.len() < 5 * MIB);
}

#[test]
fn what_a_worker_that_has_ended_had_asked_for_is_bounded_too() {
    let now = Now::read();
    let (mut relay, ends) = relay_with(2, now);
    (0..20).for_each(|_| ask(&ends[0], 100, 9000));
    ends[0].borrow_mut().is_closed = true;
    relay.forget(0, now);
    relay.settle(now);
    assert_eq!(heard(&ends[1]), (0, 500));
    assert!(!relay.has_work(now.instant) && relay.overview(now.instant).workers.len() == 1);
}

#[test]
fn each_worker_has_its_turn_though_one_has_always_more_to_say() {
    let now = Now::read();
    let (mut relay, ends) = relay_with(3, now);
    (0..10).for_each(|_| ask(&ends[0], 500, 9000));
    ask(&ends[1], 500, 9000);
    ask(&ends[2], 1, 1);
    (0..3).for_each(|id| relay.on_ready(id, now));
    (0..3).for_each(|_| turn(&mut relay, now));
    let told: Vec<usize> = ends.iter().map(|end| heard(end).0).collect();
    assert_eq!(told, [2, 1, 1]);
}

#[test]
fn only_a_worker_that_takes_nothing_is_stuck_however_much_was_queued_at_once() {
    let start = Now::read();
    let (mut relay, ends) = relay_with(2, start);
    ends[1].borrow_mut().room = 0;
    ask(&ends[0], 80, MIB);
    relay.on_ready(0, start);
    while relay.order.published() == 0 {
        turn(&mut relay, start);
    }
    relay.take_events();
    let mut now = start;
    for _ in 0..10 {
        turn(&mut relay, now);
        let events = relay.take_events();
        assert!(!events.iter().any(|(_, event)| *event == WorkerEvent::Stuck), "{events:?}");
        ask(&ends[0], 1, 1);
        now = Now { instant: now.instant + STALL_LIMIT * 9 / 10, ..now };
        ends[1].borrow_mut().room = 1000;
        relay.on_ready(1, now);
        assert_eq!(relay.take_events(), [(1, WorkerEvent::Alive)]);
    }
    assert_eq!(relay.order.published(), 80, "nothing more is published meanwhile");
    turn(&mut relay, now);
    assert!(!relay.take_events().contains(&(1, WorkerEvent::Stuck)));
    now = Now { instant: now.instant + STALL_LIMIT, ..now };
    turn(&mut relay, now);
    assert!(relay.take_events().contains(&(1, WorkerEvent::Stuck)));
}

#[test]
fn taking_what_there_was_no_room_for_is_a_sign_of_life() {
    let now = Now::read();
    let (mut relay, ends) = relay_with(1, now);
    relay.take_events();
    // The machine takes that in for it.
    ends[0].borrow_mut().room = 3;
    relay.tell(0, &ToWorker::Beat);
    relay.settle(now);
    relay.settle(now);
    assert_eq!(relay.take_events(), []);
    ends[0].borrow_mut().room = 1;
    relay.settle(now);
    assert_eq!(relay.take_events(), [(0, WorkerEvent::Alive)]);
}

#[test]
fn a_worker_that_joins_is_told_the_whole_history_however_long_it_is() {
    let now = Now::read();
    for count in [1, 255, 256, 257, 512, 513] {
        let (mut relay, ends) = relay_with(1, now);
        ask(&ends[0], count, 1);
        relay.on_ready(0, now);
        turn(&mut relay, now);
        let end = FarEnd::open();
        relay.admit(1, 1, 1, Wire(end.clone()));
        relay.settle(now);
        assert_eq!(heard(&end), (0, count));
    }
}
