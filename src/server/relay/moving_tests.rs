//! Facts about a relay that is handed over, and one that takes over.

use std::cell::RefCell;
use std::rc::Rc;

use super::super::tests::{ask, relay_with, turn};
use super::*;
use crate::server::far_end::{FarEnd, Wire};
use crate::wire::link;
use crate::wire::metrics::Metrics;

const MOVE: ToWorker<'static> = ToWorker::Move { by: 7, format: 1 };

/// What a worker was told, by name.
fn told(end: &RefCell<FarEnd>) -> Vec<String> {
    let octets = std::mem::take(&mut end.borrow_mut().taken);
    let mut input = &octets[..];
    let messages = std::iter::from_fn(|| link::next::<ToWorker<'_>>(&mut input).unwrap());
    let name = |message: ToWorker<'_>| format!("{message:?}").split([' ', '(']).next().unwrap().to_owned();
    messages.map(name).collect()
}

fn all_told(ends: &[Rc<RefCell<FarEnd>>]) -> Vec<Vec<String>> {
    ends.iter().map(|end| told(end)).collect()
}

fn hear_all(relay: &mut Relay<Wire>, workers: u32, now: Now) {
    (0..workers).for_each(|id| relay.on_ready(id, now));
    turn(relay, now);
}

#[test]
fn what_is_asked_while_cut_off_is_answered_in_its_order_once_all_go_on() {
    let now = Now::read();
    let (mut relay, ends) = relay_with(2, now);
    ask(&ends[0], 1, 1);
    hear_all(&mut relay, 2, now);
    ends.iter().for_each(|end| drop(told(end)));
    relay.admit_nobody();
    relay.cut_off(&[0, 1], &MOVE);
    ends[0].borrow_mut().say(&ToSupervisor::Sync);
    ask(&ends[0], 2, 1);
    ends[0].borrow_mut().say(&ToSupervisor::Beat);
    ends[0].borrow_mut().say(&ToSupervisor::Overview);
    ask(&ends[1], 1, 1);
    hear_all(&mut relay, 2, now);
    assert_eq!(all_told(&ends), [vec!["Move"], vec!["Move"]]);
    assert_eq!(relay.snapshot_at_cut(now).publications.len(), 1, "nothing more is positioned");
    relay.go_on(now);
    turn(&mut relay, now);
    let all = ["Publication", "Publication", "Publication"];
    let [first, second] = all_told(&ends).try_into().unwrap();
    assert_eq!(first, [&["Synced", "Published", "Overview"][..], &all].concat());
    assert_eq!(second, [&["Published"][..], &all].concat());
}

#[test]
fn what_was_asked_while_cut_off_is_refused_once_all_is_another_process_s() {
    let now = Now::read();
    let (mut relay, ends) = relay_with(1, now);
    relay.cut_off(&[0], &MOVE);
    ask(&ends[0], 1, 1);
    ends[0].borrow_mut().say(&ToSupervisor::Sync);
    hear_all(&mut relay, 1, now);
    relay.part(now);
    ask(&ends[0], 1, 1);
    hear_all(&mut relay, 1, now);
    assert_eq!(all_told(&ends), [["Move", "Refused", "Synced", "Refused"]]);
}

#[test]
fn a_worker_that_does_not_move_is_told_nothing_at_the_cut_and_hears_what_follows() {
    let now = Now::read();
    let (mut relay, ends) = relay_with(2, now);
    relay.cut_off(&[0], &MOVE);
    relay.settle(now);
    assert_eq!(all_told(&ends), [vec!["Move"], vec![]]);
    relay.go_on(now);
    ask(&ends[0], 1, 1);
    hear_all(&mut relay, 2, now);
    assert_eq!(all_told(&ends), [vec!["Published", "Publication"], vec!["Publication"]]);
}

#[test]
fn who_could_serve_while_all_is_handed_over_does_so_once_all_go_on_and_has_heard_everything() {
    let now = Now::read();
    let (mut relay, mut ends) = relay_with(1, now);
    relay.admit_nobody();
    relay.cut_off(&[0], &MOVE);
    ends.push(FarEnd::open());
    relay.admit(1, 2, 2, Wire(ends[1].clone()));
    relay.settle(now);
    ends[1].borrow_mut().say(&ToSupervisor::Ready);
    ask(&ends[0], 1, 1);
    hear_all(&mut relay, 2, now);
    assert_eq!(all_told(&ends), [vec!["Move"], vec!["Line", "CaughtUp"]]);
    relay.take_events();
    relay.go_on(now);
    assert_eq!(relay.take_events(), [(1, WorkerEvent::Ready)]);
    turn(&mut relay, now);
    assert_eq!(all_told(&ends), [vec!["Published", "Publication"], vec!["Serve", "Publication"]]);
}

#[test]
fn a_successor_s_workers_hear_the_history_once_it_has_come_and_serve_once_they_are_told_to() {
    let now = Now::read();
    let (mut old, ends) = relay_with(1, now);
    ask(&ends[0], 3, 1);
    hear_all(&mut old, 1, now);
    old.cut_off(&[0], &MOVE);
    let snapshot = old.snapshot_at_cut(now);

    let nothing = || vec![Vec::<String>::new()];
    let (mut relay, ends) = (Relay::new(8, old.limits), vec![FarEnd::open()]);
    relay.await_history();
    relay.admit(0, 1, 1, Wire(ends[0].clone()));
    ends[0].borrow_mut().say(&ToSupervisor::There);
    hear_all(&mut relay, 1, now);
    assert_eq!((relay.waiting(), all_told(&ends)), ((1, 0), nothing()));
    assert!(!relay.has_work(now.instant), "it spins");
    relay.restore(snapshot, now);
    relay.begin_history();
    assert!(relay.has_work(now.instant));
    relay.settle(now);
    let history = vec!["Line", "Publication", "Publication", "Publication", "CaughtUp"];
    assert_eq!(all_told(&ends), [history]);
    ends[0].borrow_mut().say(&ToSupervisor::Ready);
    hear_all(&mut relay, 1, now);
    assert_eq!((relay.waiting(), all_told(&ends)), ((1, 1), nothing()));
    relay.let_serve(now);
    relay.settle(now);
    assert_eq!((relay.waiting(), all_told(&ends)), ((1, 0), vec![vec!["Serve".to_owned()]]));
}

#[test]
fn what_all_workers_have_counted_goes_on_also_of_those_that_have_ended() {
    let now = Now::read();
    let (mut relay, ends) = relay_with(2, now);
    for (end, messages_sent) in ends.iter().zip([3, 4]) {
        let metrics = Metrics { messages_sent, ..Metrics::default() };
        end.borrow_mut().say(&ToSupervisor::Metrics(metrics.into()));
    }
    hear_all(&mut relay, 2, now);
    relay.forget(0, now);
    let counted = relay.counted();
    assert_eq!(counted.messages_sent, 7);
    let (mut successor, _) = relay_with(1, now);
    successor.go_on_counting(&counted);
    assert_eq!(successor.counted().messages_sent, 7);
}
