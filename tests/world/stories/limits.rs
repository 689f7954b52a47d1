//! Who is too slow, too much or too quiet is let go in time and finds out why; whoever only seems so is kept.

use std::ops::Range;
use std::time::Duration;

use crate::client::{Act, Character};
use crate::crowd::Codes;
use crate::draw::{SECOND, alone};
use crate::random::Random;
use crate::world::World;
use crate::{behaviour, for_each_seed, speech};

#[test]
fn who_overflows_is_sent_nothing_but_what_it_had_begun_to_receive() {
    for_each_seed(4200..4220, |seed| {
        let mut random = Random::new(seed);
        let mut world = alone(seed, |setup| {
            setup.terms.limits.outbox_bytes = 5500;
            setup.notify_interval = Some(SECOND / 10);
        });
        // 22 notifications and their places are too many; it wakes while the server lingers.
        let capacity = random.within(1..500);
        let sleeper = behaviour::sleeper(&mut random, capacity, Duration::from_millis(2900));
        world.crowd.invite(Duration::ZERO, sleeper);
        let world = world.run_to_the_end();
        assert_eq!(world.crowd.judge.codes, [(Some(4001), 1)].into());
        let heard = world.crowd.clients[0].line.borrow().ear.heard.len();
        assert!(heard <= 6, "{heard} things were heard");
    });
}

#[test]
fn who_wakes_while_the_server_lingers_finds_out_why_it_was_left() {
    for_each_seed(7000..7040, |seed| {
        let mut random = Random::new(seed);
        let write = random.millis(500..5000);
        let mut world = alone(seed, |setup| {
            setup.terms.limits.write = write;
            setup.notify_interval = None;
        });
        // Less than the 101 and the welcome: it stalls at once, in the middle of something.
        let capacity = random.within(1..250);
        let sleeper = behaviour::sleeper(&mut random, capacity, write + Duration::from_millis(600));
        world.crowd.invite(Duration::ZERO, sleeper);
        let world = world.run_to_the_end();
        assert_eq!(world.crowd.judge.codes, [(Some(4001), 1)].into());
    });
}

/// A client that reads 2 kB a second while 50 kB come at once, and is pinged every second meanwhile.
fn slow_reader(seed: u64, answers_pings: bool, capacity: Range<usize>) -> World {
    let mut random = Random::new(seed);
    let mut world = alone(seed, |setup| {
        let limits = &mut setup.terms.limits;
        (limits.ping_interval, limits.ping_timeout) = (Some(SECOND), Some(SECOND));
        (limits.write, limits.outbox_bytes) = (3 * SECOND, 1 << 20);
        setup.notify_interval = None;
    });
    let capacity = random.within(capacity);
    let mut reader = Character { answers_pings, capacity, ..behaviour::listener(&mut random) };
    reader.script.push_back((Duration::ZERO, Act::Trickle(200, SECOND / 10)));
    world.crowd.invite(Duration::ZERO, reader);
    world.run_until(2 * SECOND);
    world.reign().notify_every(Some(Duration::from_millis(1)));
    world.run_while(|world| world.published() < 300);
    world.reign().notify_every(None);
    world
}

#[test]
fn a_slow_but_steady_reader_is_there_though_a_ping_waits_behind_what_it_reads() {
    for_each_seed(9000..9040, |seed| {
        let mut world = slow_reader(seed, true, 500..6000);
        world.run_until(60 * SECOND);
        assert_eq!(world.crowd.judge.codes, Codes::new());
        assert_eq!(world.crowd.clients[0].line.borrow().ear.newest(), Some(300));
    });
}

#[test]
fn a_ping_has_not_left_while_what_is_ahead_of_it_is_being_taken_from_the_socket() {
    for_each_seed(9050..9060, |seed| {
        let mut world = slow_reader(seed, true, 60_000..70_000);
        world.run_until(60 * SECOND);
        assert_eq!(world.crowd.judge.codes, Codes::new());
    });
}

#[test]
fn a_slow_reader_that_has_taken_all_and_says_nothing_is_cut() {
    for_each_seed(9100..9110, |seed| {
        let world = slow_reader(seed, false, 500..6000).run_to_the_end();
        assert_eq!(world.crowd.judge.codes, [(Some(4003), 1)].into());
    });
}

#[test]
fn who_does_not_take_its_close_is_reset_and_who_does_is_not() {
    for_each_seed(9200..9220, |seed| {
        let mut random = Random::new(seed);
        let mut world = alone(seed, |setup| setup.terms.limits.write = SECOND);
        // It wakes half a second after it is told, or too late.
        let is_deaf = random.chance(50);
        let wakes_after = Duration::from_millis(if is_deaf { 4000 } else { 1500 });
        let sleeper = behaviour::sleeper(&mut random, 100, wakes_after);
        world.crowd.invite(Duration::ZERO, sleeper);
        let world = world.run_to_the_end();
        assert_eq!(world.crowd.clients[0].line.borrow().aborted, is_deaf);
    });
}

#[test]
fn a_long_turn_of_the_servers_own_is_not_the_peers_time() {
    for_each_seed(9300..9310, |seed| {
        let mut random = Random::new(seed);
        let mut world = alone(seed, |setup| {
            setup.terms.limits.handshake = SECOND;
            setup.notify_interval = None;
        });
        let mut newcomer = behaviour::listener(&mut random);
        let upgrade = Act::Say(speech::upgrade(&mut random));
        newcomer.script = [(5 * SECOND + SECOND / 2, upgrade)].into();
        world.crowd.invite(Duration::ZERO, newcomer);
        world.turn();
        // Whoever was let in then has come at the end of it.
        world.stretch_turn(5 * SECOND);
        world.crowd.clients[0].connected_at += 5 * SECOND;
        world.run_until(7 * SECOND);
        assert!(world.crowd.clients[0].line.borrow().ear.is_switched());
    });
}

#[test]
fn a_loud_client_never_gets_more_than_its_share_of_a_turn() {
    let mut random = Random::new(8000);
    let mut world = alone(8000, |setup| setup.notify_interval = None);
    world.crowd.invite(Duration::ZERO, behaviour::flooder(&mut random, 10, 500_000));
    world.run_while(|world| {
        let mut line = world.crowd.clients[0].line.borrow_mut();
        let read = std::mem::take(&mut line.read_this_turn);
        assert!(read <= 256 * 1024, "{read} bytes were read from one client in one turn");
        !line.dropped
    });
    assert_eq!(world.crowd.judge.codes, [(Some(1000), 1)].into());
}
