//! Many clients at once: none is left out or kept waiting for another, and each has its share of a turn.

use std::time::Duration;

use crate::client::{Character, Client};
use crate::draw::{SECOND, alone, house, patient};
use crate::random::Random;
use crate::speech::{TEXT, frame, handshake};
use crate::stories::{positions, publish};
use crate::{behaviour, for_each_seed};

#[test]
fn what_is_published_during_a_fan_out_is_heard_by_all() {
    for_each_seed(4100..4104, |seed| {
        let mut random = Random::new(seed);
        let mut world = alone(seed, |setup| {
            setup.terms.limits.outbox_bytes = 1 << 20;
            setup.notify_interval = None;
        });
        for _ in 0..300 {
            world.crowd.invite(random.millis(0..500), behaviour::listener(&mut random));
        }
        world.run_until(4 * SECOND);
        // One in each turn, and a pass takes three.
        world.reign().notify_every(Some(Duration::from_micros(100)));
        world.run_while(|world| world.published() < 30);
        world.reign().notify_every(None);
        world.run_until(world.now + SECOND);
        let has_all = |client: &Client| client.line.borrow().ear.newest() >= Some(30);
        assert!(world.crowd.clients.iter().all(has_all) && world.crowd.clients.len() == 300);
    });
}

#[test]
fn a_crowd_that_speaks_at_one_moment_is_served_in_slices() {
    for_each_seed(4300..4303, |seed| {
        let mut random = Random::new(seed);
        let mut world = alone(seed, |setup| setup.notify_interval = Some(SECOND));
        let most_bytes = world.setup.terms.limits.rules.max_message_bytes;
        for _ in 0..600 {
            world.crowd.invite(SECOND / 2, behaviour::chorister(&mut random, most_bytes));
        }
        world.run_to_the_end();
    });
}

#[test]
fn a_stalled_client_never_delays_the_others() {
    for_each_seed(6000..6004, |seed| {
        let mut random = Random::new(seed);
        let mut world = alone(seed, |setup| setup.notify_interval = Some(SECOND));
        for nth in 0..250 {
            let character = match nth % 3 {
                0 => behaviour::sleeper(&mut random, 300, 100 * SECOND),
                _ => Character { capacity: 1500, ..behaviour::listener(&mut random) },
            };
            world.crowd.invite(Duration::ZERO, character);
        }
        world.run_until(Duration::from_millis(900));
        let mut late_turns = 0;
        world.run_while(|world| {
            let newest = world.published();
            let has_all = |client: &Client| client.line.borrow().ear.newest() == Some(newest);
            let all_have_all = world.crowd.named("listener").all(has_all) || newest == 0;
            late_turns = if all_have_all { 0 } else { late_turns + 1 };
            // 256 keys, 128 a turn: one turn more than the first.
            assert!(late_turns <= 1, "after {late_turns} turns someone has not heard number {newest}");
            newest < 20
        });
    });
}

#[test]
fn whoever_changes_what_it_listens_to_during_a_fan_out_hears_what_was_published_before() {
    for command in
        [&br#"{"type":"unsubscribe","topic":"news"}"#[..], br#"{"type":"subscribe","topic":"more"}"#]
    {
        let mut world = house(4740, patient(0));
        let mut random = Random::new(4740);
        let lines: Vec<_> = (0..300).map(|_| world.connect(1 << 20, &handshake("topic=news"))).collect();
        world.calm_down();
        publish(&mut world, 0, 1..=1, 10);
        world.turn();
        for line in &lines {
            line.borrow_mut().send(&frame(&mut random, TEXT, command));
        }
        world.calm_down();
        assert!(lines.iter().all(|line| positions(line) == [1]));
    }
}
