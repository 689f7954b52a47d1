//! Worlds drawn by lot: whatever happens to its servers, everyone hears every publication once, in one order, or is told
//! why not.

use std::ops::Range;
use std::time::Duration;

use slackwater::policy::history::HistoryLimits;

use crate::draw::{GENEROUS, HOUR, Lot};
use crate::fates::Fate;
use crate::random::Random;
use crate::told::{Told, told_by};

const SHORT: Fate = Fate::Frozen(Duration::from_millis(300));

pub const WORKERS: [Fate; 9] = [
    Fate::Killed,
    Fate::Killed,
    SHORT,
    Fate::Frozen(HOUR),
    Fate::Signalled,
    Fate::Signalled,
    Fate::Signalled,
    Fate::Grow,
    Fate::Shrink,
];

const SUPERVISORS: [Fate; 5] = [Fate::Redeployed, Fate::Redeployed, Fate::Crashed, Fate::Killed, SHORT];

/// Servers of one process.
fn alone() -> Lot {
    let fates = [Fate::Redeployed, Fate::Redeployed, Fate::Redeployed, Fate::Crashed].into();
    Lot { millis: 5000, workers: 0..1, fates }
}

pub fn crew(fates: &[Fate]) -> Lot {
    Lot { millis: 1000, workers: 1..5, fates: fates.into() }
}

/// Little of everything, or everything for a little while.
fn forgetful(
    publications: &[usize],
    bytes: Range<usize>,
    millis: Range<usize>,
) -> impl FnMut(&mut Random) -> HistoryLimits {
    move |random| match random.below(3) {
        0 => HistoryLimits { publications: random.pick(publications), ..GENEROUS },
        1 => HistoryLimits { bytes: random.within(bytes.clone()), ..GENEROUS },
        _ => HistoryLimits { age: random.millis(millis.clone()), ..GENEROUS },
    }
}

#[test]
fn whoever_comes_back_hears_all_that_it_missed() {
    let told = told_by(0..170, &alone(), |_| GENEROUS);
    let Told { tally, published, redeployments, crashes, .. } = &told;
    let has_all = tally.resumed > 600
        && tally.long_replays > 50
        && tally.unknown_epochs > 100
        && tally.overlaps > 10_000
        && tally.commands > 1000
        && tally.commands_in_replay > 50
        && tally.overtaken > 5
        && tally.too_slow + tally.slow_streams > 3
        && tally.farewells > 100
        && tally.deflated > 1000
        && tally.too_long > 200
        && tally.useless > 80
        && tally.shared > 300
        && tally.events > 5000
        && tally.resumed_streams > 80
        && tally.gaps > 40
        && tally.partings > 50
        && published.retried > 500
        && published.wrong > 1000
        && *redeployments > 80
        && *crashes > 30;
    told.assert_enough(has_all);
}

#[test]
fn whoever_comes_back_too_late_is_told_so() {
    let history = forgetful(&[0, 1, 5, 10, 20, 40], 1000..150_000, 100..3000);
    let told = told_by(1000..1170, &alone(), history);
    told.assert_enough(told.tally.refused > 200 && told.tally.resumed > 300 && told.redeployments > 80);
}

#[test]
fn every_client_of_every_worker_hears_every_publication_once_in_one_order() {
    let told = told_by(2000..2130, &crew(&WORKERS), |_| GENEROUS);
    let Told { tally, published, ahead, kills, starts, .. } = &told;
    let has_all = tally.resumed > 200
        && tally.overlaps > 2000
        && tally.commands_in_replay > 10
        && tally.farewells > 50
        && tally.deflated > 500
        && tally.shared > 200
        && tally.events > 1000
        && published.answered > 2000
        && published.refused > 300
        && published.wrong > 1000
        && published.cut_published > 50
        && published.cut_lost > 100
        && published.retried > 300
        && *ahead > 5
        && *kills > 10
        && *starts > 400;
    told.assert_enough(has_all);
}

#[test]
fn a_successor_of_the_supervisor_goes_on_in_the_same_order() {
    let told = told_by(3000..3100, &crew(&SUPERVISORS), |_| GENEROUS);
    let Told { tally, published, .. } = &told;
    let has_all = tally.resumed > 100 && tally.unknown_epochs > 50 && published.refused > 500;
    told.assert_enough(has_all && tally.farewells > 80);
}

#[test]
fn whoever_comes_back_to_any_worker_too_late_is_told_so() {
    let fates = [&WORKERS[..], &SUPERVISORS[..]].concat();
    let history = forgetful(&[0, 0, 1, 5, 40], 100..50_000, 50..1000);
    let told = told_by(4000..4100, &crew(&fates), history);
    told.assert_enough(told.tally.refused > 60 && told.tally.resumed > 60);
}
