//! Machines and their engine drawn by lot: whatever happens, everybody hears one order, nothing twice, and nothing is missing
//! without a word.

use std::ops::Range;
use std::time::Duration;

use slackwater::policy::history::HistoryLimits;

use crate::draw::{GENEROUS, HOUR, SECOND, patient};
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

/// What the engine survives with all that it has acknowledged.
fn harmless(random: &mut Random) -> Mishap {
    let (short, long) = (random.millis(50..1500), random.millis(3000..9000));
    match random.below(11) {
        0 => Mishap::Restart(Left::Everything, short),
        1 => Mishap::Stop(random.pick(&[short, long])),
        2 => Mishap::HoldUp(Side::Supervisor, random.pick(&[short, long])),
        3 => Mishap::HoldUp(Side::Worker, random.pick(&[short, long])),
        4 | 5 => Mishap::CutOne,
        6 => Mishap::CutBoth,
        7 => Mishap::Unreachable(random.pick(&[short, long])),
        8 => Mishap::Full(short),
        9 => Mishap::Deafen(random.pick(&[None, Some(0)]), random.pick(&[short, long])),
        _ => of_machines(random),
    }
}

fn of_machines(random: &mut Random) -> Mishap {
    match random.below(3) {
        0 => Mishap::MachineDies(random.millis(1..1500)),
        1 => Mishap::MachineStops(random.millis(1..3000)),
        _ => Mishap::WorkerDies,
    }
}

/// What costs some or all of it.
fn harmful(random: &mut Random) -> Mishap {
    let short = random.millis(50..1500);
    match random.below(9) {
        0 | 1 => Mishap::Restart(Left::AllBut(random.within(1..25)), short),
        2 => Mishap::Restart(Left::Nothing, short),
        3 => Mishap::FailOver(Replaced::Dead),
        4 => Mishap::FailOver(Replaced::Follows),
        5 => Mishap::FailOver(Replaced::Lives(random.millis(100..9000))),
        6 => Mishap::Flush,
        7 => Mishap::Evict,
        _ => Mishap::Trim(random.pick(&[0, 1, 5, 50])),
    }
}

fn draw(seed: u64, kept: &[usize], befalls: fn(&mut Random) -> Mishap) -> Fleet {
    let mut random = Random::new(seed);
    let mut setup = patient(0);
    setup.notify_interval = random.chance(50).then(|| random.millis(300..1500));
    setup.terms.history = match random.below(4) {
        0 => HistoryLimits { publications: random.pick(&[1, 10, 40]), ..GENEROUS },
        _ => GENEROUS,
    };
    let wait_ms = random.chance(20).then_some(200);
    let sharing = Sharing { kept: random.pick(kept), wait_ms };
    let workers: Vec<usize> = (0..random.within(1..4)).map(|_| random.pick(&[0, 0, 1, 2])).collect();
    let mut fleet = Fleet::new(random.fork(), setup, sharing, &workers);
    for _ in 0..random.within(2..7) {
        let stays = random.chance(70).then_some(4 * SECOND);
        let comes_at = random.millis(0..2000);
        fleet.listeners.push(Listener::new(random.fork(), stays, comes_at));
    }
    for number in 0..random.within(1..4) {
        let pause = random.pick(&[60, 200, 800]);
        fleet.authors.push(Author::new(random.fork(), number as u64, pause));
    }
    fleet.engine.master().lag = Some(random.pick(&[Duration::ZERO, SECOND / 5, SECOND, HOUR]));
    // What is lost is lost a second after an epoch has begun, as epochs are numbered by seconds.
    let mut at = SECOND;
    for _ in 0..random.within(1..6) {
        at += random.millis(1100..4000);
        fleet.mishaps.push((at, befalls(&mut random)));
    }
    fleet.mishaps.reverse();
    fleet
}

fn told_by(seeds: Range<u64>, kept: &[usize], befalls: fn(&mut Random) -> Mishap) -> Tally {
    let mut all = Tally::default();
    for_each_seed(seeds, |seed| {
        let mut fleet = draw(seed, kept, befalls);
        let end = fleet.mishaps.first().map_or(SECOND, |(at, _)| *at + 2 * SECOND);
        fleet.run_until(end);
        all.add(&fleet.end());
    });
    all
}

#[test]
fn all_machines_hear_one_order_and_every_gap_is_told() {
    let told = told_by(0..60, &[10, 100, 100_000], |random| {
        if random.chance(50) { harmless(random) } else { harmful(random) }
    });
    assert!(told.resumed > 50 && told.gaps > 20 && told.lost > 20 && told.retried > 20, "{told:?}");
}

#[test]
fn nobody_is_told_of_a_gap_while_the_engine_keeps_all() {
    let told = told_by(1000..1030, &[100_000], harmless);
    assert!(told.lost == 0 && told.gaps == 0 && told.resumed > 100 && told.in_vain == 0, "{told:?}");
}
