//! Machines that share one engine: whatever becomes of it, of them and of their connections, all clients hear one order, nothing
//! twice, and nothing is missing without a word.

use std::time::Duration;

use crate::draw::{SECOND, patient};
use crate::fleet::Fleet;
use crate::fleet::author::Author;
use crate::fleet::engine::{Left, Replaced};
use crate::fleet::judge::Tally;
use crate::fleet::listener::Listener;
use crate::fleet::machine::Sharing;
use crate::fleet::mishap::Mishap;
use crate::for_each_seed;
use crate::pipe::Side;
use crate::random::Random;

pub const MANY: Sharing = Sharing { kept: 100_000, wait_ms: None };

/// Machines of so many workers each, or of one process where that is none; some who hear everything, and authors.
pub fn fleet(seed: u64, workers: &[usize], sharing: Sharing) -> Fleet {
    let mut random = Random::new(seed);
    let mut setup = patient(0);
    setup.notify_interval = Some(SECOND);
    let mut fleet = Fleet::new(random.fork(), setup, sharing, workers);
    for _ in 0..workers.len() + 1 {
        fleet.listeners.push(Listener::of_all(random.fork()));
    }
    for number in 0..2 {
        fleet.authors.push(Author::new(random.fork(), number, 150));
    }
    fleet.engine.master().lag = Some(random.millis(0..600));
    fleet
}

/// What all are told where this happens in the midst of everything.
fn told_after(seeds: std::ops::Range<u64>, mishap: Mishap) -> Tally {
    let mut all = Tally::default();
    for_each_seed(seeds, |seed| {
        let mut fleet = fleet(seed, &[0, 0], MANY);
        let at = 3 * SECOND + fleet.random.millis(0..1000);
        fleet.run_until(at);
        fleet.befall(mishap);
        fleet.run_for(8 * SECOND);
        all.add(&fleet.end());
    });
    all
}

const GONE: Duration = Duration::from_millis(700);

#[test]
fn all_machines_hear_one_order() {
    let told = told_after(0..6, Mishap::CutOne);
    assert!(told.heard > 2000 && told.gaps == 0 && told.lost == 0, "{told:?}");
}

#[test]
fn an_engine_that_comes_back_with_everything_costs_nobody_anything() {
    let told = told_after(10..16, Mishap::Restart(Left::Everything, GONE));
    assert!(told.gaps == 0 && told.lost == 0 && told.refused > 20, "{told:?}");
}

#[test]
fn whoever_has_heard_what_the_engine_has_lost_is_told_of_a_gap() {
    let told = told_after(20..26, Mishap::Restart(Left::AllBut(9), GONE));
    assert!(told.gaps >= 18 && told.lost > 10, "{told:?}");
}

/// What all are told where machines hear nothing for a while before the engine loses what it was given meanwhile.
fn told_after_losing_unheard(seeds: std::ops::Range<u64>, deaf: Option<usize>, mishap: Mishap) -> Tally {
    let mut all = Tally::default();
    for_each_seed(seeds, |seed| {
        let mut fleet = fleet(seed, &[0, 0], MANY);
        fleet.run_for(3 * SECOND);
        fleet.befall(Mishap::Deafen(deaf, 5 * SECOND));
        fleet.run_for(SECOND);
        fleet.befall(mishap);
        fleet.run_for(8 * SECOND);
        all.add(&fleet.end());
    });
    all
}

#[test]
fn all_are_told_of_a_gap_where_the_engine_has_lost_what_was_acknowledged_and_nobody_or_not_everybody_had_heard()
 {
    for (nth, deaf) in (0..).zip([None, Some(0), Some(1)]) {
        let told = told_after_losing_unheard(
            160 + 10 * nth..166 + 10 * nth,
            deaf,
            Mishap::Restart(Left::AllBut(5), GONE),
        );
        assert!(told.lost > 10 && (18..=24).contains(&told.gaps), "{told:?}");
    }
}

#[test]
fn an_engine_that_comes_back_with_nothing_is_a_gap_for_all() {
    let told = told_after(30..36, Mishap::Restart(Left::Nothing, GONE));
    assert!(told.gaps >= 18 && told.lost > 100, "{told:?}");
}

#[test]
fn a_replica_that_lagged_behind_becomes_the_master_and_whoever_heard_more_is_told_of_a_gap() {
    for (nth, old) in (0..).zip([Replaced::Dead, Replaced::Follows, Replaced::Lives(8 * SECOND)]) {
        let told = told_after(40 + 10 * nth..45 + 10 * nth, Mishap::FailOver(old));
        assert!(told.gaps > 0 && told.lost > 0, "{old:?}: {told:?}");
    }
}

#[test]
fn an_engine_that_is_stopped_for_a_while_loses_nothing() {
    for (nth, seconds) in (0..).zip([2, 12]) {
        let told = told_after(70 + 10 * nth..74 + 10 * nth, Mishap::Stop(seconds * SECOND));
        assert!(told.gaps == 0 && told.lost == 0, "{told:?}");
        assert_eq!(told.unknown > 0, seconds > 10, "{told:?}");
    }
}

#[test]
fn a_stream_that_is_flushed_or_evicted_is_a_gap_for_all() {
    for (nth, mishap) in (0..).zip([Mishap::Flush, Mishap::Evict]) {
        let told = told_after(90 + 10 * nth..95 + 10 * nth, mishap);
        assert!(told.gaps >= 15 && told.lost > 100, "{told:?}");
    }
}

#[test]
fn a_stream_that_is_set_back_has_lost_what_followed_and_nothing_is_heard_of_what_has_its_ids() {
    let told = told_after(190..196, Mishap::SetBack(20));
    assert!(told.gaps >= 18 && told.lost > 20, "{told:?}");
    let told = told_after_losing_unheard(200..206, None, Mishap::SetBack(5));
    assert!(told.gaps >= 18 && told.lost > 20, "{told:?}");
}

#[test]
fn a_stream_that_is_gone_is_noticed_though_nobody_publishes() {
    for_each_seed(150..158, |seed| {
        let mut fleet = fleet(seed, &[0, 0], MANY);
        fleet.run_for(3 * SECOND);
        fleet.authors.clear();
        let mut machines = fleet.machines.iter_mut().flatten();
        machines.by_ref().for_each(|machine| machine.processes[0].turn.notify_every(None));
        fleet.run_for(SECOND);
        fleet.befall(Mishap::Flush);
        if seed % 2 == 0 {
            // What it begins may have a lower number than all that is known: it knows of nothing.
            fleet.kill(0, SECOND / 10);
        }
        fleet.run_for(12 * SECOND);
        let told = fleet.end();
        assert!(told.gaps > 0, "{told:?}");
    });
}

#[test]
fn an_engine_that_refuses_for_want_of_memory_is_heard_as_before() {
    let told = told_after(110..114, Mishap::Full(5 * SECOND));
    assert!(told.gaps == 0 && told.lost == 0 && told.refused > 20 && told.unknown == 0, "{told:?}");
}

#[test]
fn nothing_is_missing_while_a_machine_cannot_be_reached() {
    for (nth, side) in (0..).zip([Side::Supervisor, Side::Worker]) {
        let told = told_after(120 + 10 * nth..124 + 10 * nth, Mishap::HoldUp(side, 12 * SECOND));
        assert!(told.gaps == 0 && told.lost == 0, "{told:?}");
    }
    let told = told_after(140..144, Mishap::Unreachable(20 * SECOND));
    assert!(told.gaps == 0 && told.lost == 0 && told.refused > 20, "{told:?}");
}
