//! What several machines owe each other, their engine and those who publish: retries that are published once, one periodic
//! notification, patience with an engine that is gone, and few questions.

use std::time::Duration;

use crate::draw::{HOUR, SECOND};
use crate::fleet::engine::{Left, Replaced};
use crate::fleet::judge::Tally;
use crate::fleet::listener::{Hearing, Listener, Said};
use crate::fleet::machine::Sharing;
use crate::fleet::mishap::Mishap;
use crate::for_each_seed;
use crate::pipe::Side;
use crate::stories::engines::{MANY, fleet};

const SHORT: Duration = Duration::from_millis(400);

#[test]
fn all_workers_of_all_machines_hear_one_order() {
    let mut told = Tally::default();
    let mishaps = [
        Mishap::Restart(Left::AllBut(9), SHORT),
        Mishap::FailOver(Replaced::Lives(3 * SECOND)),
        Mishap::WorkerDies,
        Mishap::MachineDies(SECOND),
        Mishap::Flush,
        Mishap::CutOne,
    ];
    for_each_seed(0..36, |seed| {
        let mut fleet = fleet(seed, &[2, 0, 1], MANY);
        fleet.run_for(3 * SECOND);
        fleet.befall(mishaps[usize::try_from(seed).expect("few") % mishaps.len()]);
        fleet.run_for(4 * SECOND);
        told.add(&fleet.end());
    });
    assert!(told.gaps > 8 && told.resumed > 3, "{told:?}");
}

#[test]
fn a_retry_with_its_key_is_published_once_on_any_machine() {
    let mut told = Tally::default();
    let mishaps = [Mishap::CutBoth, Mishap::Stop(9 * SECOND), Mishap::Restart(Left::Everything, SHORT)];
    for_each_seed(0..15, |seed| {
        let mut fleet = fleet(seed, &[0, 1], MANY);
        fleet.authors.iter_mut().for_each(|author| author.key_percent = 100);
        for _ in 0..3 {
            fleet.run_for(SECOND);
            fleet.befall(mishaps[usize::try_from(seed).expect("few") % mishaps.len()]);
        }
        fleet.run_for(3 * SECOND);
        told.add(&fleet.end());
    });
    assert!(told.retried > 60 && told.unknown > 8 && told.lost == 0, "{told:?}");
}

#[test]
fn what_a_replica_has_confirmed_outlives_the_master() {
    let mut told = Tally::default();
    for_each_seed(0..8, |seed| {
        let mut fleet = fleet(seed, &[0, 0], Sharing { wait_ms: Some(300), ..MANY });
        fleet.engine.master().lag = Some(fleet.random.pick(&[SECOND / 20, SECOND / 5, HOUR]));
        fleet.run_for(3 * SECOND);
        fleet.befall(Mishap::FailOver(Replaced::Dead));
        fleet.run_for(2 * SECOND);
        told.add(&fleet.end());
    });
    assert!(told.answered > 100 && told.unknown > 50 && told.lost == 0, "{told:?}");
}

#[test]
fn one_machine_at_a_time_publishes_the_periodic_notification_and_another_goes_on_at_once() {
    for_each_seed(0..6, |seed| {
        let mut fleet = fleet(seed, &[0, 1, 0], MANY);
        fleet.run_for(3 * SECOND);
        for _ in 0..4 {
            fleet.befall(Mishap::MachineDies(2 * SECOND));
            fleet.run_for(4 * SECOND);
        }
        let newest = fleet.engine.master().store.newest().expect("there are some");
        let chronicle = &fleet.engine.chronicle;
        let times = chronicle.line(newest).into_iter().filter_map(|id| chronicle.periodic_at(id));
        let times: Vec<u64> = times.collect();
        let pauses: Vec<u64> = times.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(times.len() > 12 && pauses.iter().all(|pause| (800..2100).contains(pause)), "{pauses:?}");
    });
}

#[test]
fn machines_come_back_to_an_engine_that_was_gone_one_by_one() {
    for_each_seed(0..3, |seed| {
        let mut fleet = fleet(seed, &[0; 12], MANY);
        fleet.authors.clear();
        fleet.run_for(2 * SECOND);
        fleet.engine.attempts.clear();
        fleet.befall(Mishap::Unreachable(60 * SECOND));
        fleet.run_for(70 * SECOND);
        let attempts = &fleet.engine.attempts;
        for machine in 0..12 {
            let count = attempts.iter().filter(|(_, of)| *of == machine).count();
            assert!((8..40).contains(&count), "{count} of machine {machine}");
        }
        // Some seconds later nothing is left of their having begun together.
        let late: Vec<Duration> = attempts.iter().map(|(at, _)| *at).filter(|at| *at > 10 * SECOND).collect();
        assert!(late.windows(5).all(|five| five[4] - five[0] > SECOND / 50), "{late:?}");
    });
}

#[test]
fn a_crowd_that_comes_to_a_machine_that_lags_behind_costs_the_engine_a_question_or_two_and_misses_nothing() {
    for_each_seed(0..4, |seed| {
        let mut fleet = fleet(seed, &[0, if seed % 2 == 0 { 0 } else { 2 }], MANY);
        (fleet.listeners, fleet.open) = (vec![], Some(0));
        for _ in 0..100 {
            let listener = Listener::of_all(fleet.random.fork());
            fleet.listeners.push(listener);
        }
        fleet.run_for(2 * SECOND);
        let until = fleet.now + SECOND;
        for connection in fleet.engine.master().connections.iter().filter(|it| it.machine == 1) {
            connection.pipe.borrow_mut().hold_toward(Side::Supervisor, until);
        }
        fleet.run_for(SECOND / 2);
        (fleet.open, fleet.engine.master().tails) = (Some(1), 0);
        let now = fleet.now;
        fleet.listeners.iter_mut().for_each(|listener| listener.come_again(now));
        fleet.run_for(3 * SECOND);
        let tails = fleet.engine.master().tails;
        assert!((1..4).contains(&tails), "{tails} questions");
        let is_resumed = |listener: &Listener| listener.hearings[1].said.first() == Some(&Said::Resumed);
        assert!(fleet.listeners.iter().all(is_resumed));
        let told = fleet.end();
        assert!(told.gaps == 0 && told.not_resumed == 0, "{told:?}");
    });
}

#[test]
fn who_comes_to_a_machine_that_could_not_read_the_engine_yet_is_refused_and_hears_all_once_when_it_has() {
    for_each_seed(0..12, |seed| {
        let mut fleet = fleet(seed, &[if seed % 2 == 0 { 0 } else { 2 }], MANY);
        fleet.run_for(3 * SECOND);
        fleet.befall(Mishap::Unreachable(6 * SECOND));
        fleet.kill(0, SECOND / 10);
        fleet.run_for(2 * SECOND);
        fleet.listeners.push(Listener::of_all(fleet.random.fork()));
        fleet.run_for(3 * SECOND);
        let refused = |listener: &Listener| {
            let past = |hearing: &&Hearing| hearing.is_past && hearing.said.is_empty();
            listener.hearings.iter().filter(past).count()
        };
        assert!(fleet.listeners.iter().all(|listener| refused(listener) > 0 && !listener.is_welcome()));
        let told = fleet.end();
        assert_eq!((told.gaps, told.not_resumed, told.lost, told.resumed), (0, 0, 0, 2), "{told:?}");
    });
}
