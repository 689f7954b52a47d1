//! Clients of every kind: each hears everything once and in order or is told why not, and no limit is forgotten.

use crate::crowd::{codes_of, crowd};
use crate::draw::{alone, strict};
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
    let codes = codes_of(0..800, |seed| drawn(seed, 20));
    let all = [1000, 1001, 3000, 4321, 1002, 1003, 1007, 1009, 4001, 4003].map(Some);
    let rare: Vec<_> = all.iter().chain(&[None]).filter(|code| !codes.contains_key(code)).collect();
    assert!(rare.is_empty() || asked_seed().is_some(), "{rare:?} was never seen: {codes:?}");
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
