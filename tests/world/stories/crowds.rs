//! Clients of every kind: each hears everything once and in order or is told why not, and no limit is forgotten.

use slackwater::policy::reconnect_notices::ReconnectTerms;

use crate::crowd::{codes_of, crowd, told_by_crowds};
use crate::draw::{alone, strict};
use crate::fates::Fate;
use crate::pipe::Pace;
use crate::random::Random;
use crate::world::World;
use crate::{asked_seed, behaviour};

fn drawn(seed: u64, most: usize) -> World {
    let mut random = Random::new(seed);
    let setup = strict(&mut random);
    crowd(&mut random, setup, most, false).run_to_the_end()
}

#[test]
fn every_client_hears_every_notification_once_in_order_or_is_told_why_not() {
    let (codes, of_streams) = told_by_crowds(0..800, |seed| drawn(seed, 20));
    let all = [1000, 1001, 3000, 4321, 1002, 1003, 1007, 1009, 4001, 4003].map(Some);
    let rare: Vec<_> = all.iter().chain(&[None]).filter(|code| !codes.contains_key(code)).collect();
    assert!(rare.is_empty() || asked_seed().is_some(), "{rare:?} was never seen: {codes:?}");
    let has_all = of_streams.heartbeats > 10 && of_streams.postponed > 10;
    assert!(has_all || asked_seed().is_some(), "{of_streams:?}");
}

#[test]
fn every_limit_is_kept_though_nobody_else_is_there() {
    codes_of(2000..3000, |seed| drawn(seed, 3));
}

#[test]
fn edge_triggered_readiness_is_never_lost() {
    codes_of(5000..5100, |seed| {
        let mut world = alone(seed, |_| ());
        let mut random = Random::new(seed);
        let impatient = strict(&mut random).terms;
        for _ in 0..random.within(1..8) {
            let mut talker = behaviour::talker(&mut random, &impatient, false);
            talker.capacity = random.within(1..60);
            let arrival = random.millis(0..2000);
            world.crowd.invite(arrival, talker);
            world.crowd.invite(arrival, behaviour::asks_ahead(&mut random));
        }
        world.run_to_the_end()
    });
}

#[test]
fn the_clients_of_every_worker_are_served_as_those_of_one_process_while_workers_come_and_go() {
    let fates = [Fate::Signalled, Fate::Grow, Fate::Shrink, Fate::Killed];
    let (codes, of_streams) = told_by_crowds(8000..8150, |seed| {
        let mut random = Random::new(seed);
        let mut setup = strict(&mut random);
        (setup.workers, setup.has_witness) = (random.within(1..4), true);
        let (spread, close_after) = (random.millis(0..5000), Some(random.millis(0..5000)));
        setup.terms.reconnect =
            random.chance(50).then_some(ReconnectTerms { spread, close_after, max_age: None });
        setup.pace = random.chance(80).then_some(Pace::PROMPT);
        let mut world = crowd(&mut random, setup, 20, true);
        let leaves_at = random.millis(3000..12_000);
        world.fates = vec![(leaves_at, Fate::Redeployed)];
        for _ in 0..random.below(4) {
            world.fates.push((random.millis(0..3000), random.pick(&fates)));
        }
        world.fates.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let world = world.run_to_the_end();
        assert!(world.has_left());
        world
    });
    let all = [1000, 1002, 1012, 4001, 4003].map(Some);
    assert!(of_streams.partings > 30 || asked_seed().is_some(), "{of_streams:?}");
    assert!(all.iter().all(|code| codes.contains_key(code)) || asked_seed().is_some(), "{codes:?}");
}
