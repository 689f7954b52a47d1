//! Hundreds of seeded worlds of virtual clients against the real peers, sessions, outboxes, hub and drain: stingy
//! sockets, a virtual clock, no sleep. A seed that fails is printed; `SIMULATION_SEED=42 cargo test --test simulation`
//! runs that one alone.

#[path = "simulation/behaviour.rs"]
mod behaviour;
#[path = "simulation/client.rs"]
mod client;
#[path = "world/ear.rs"]
mod ear;
#[path = "simulation/guided.rs"]
mod guided;
#[path = "simulation/limits.rs"]
mod limits;
#[path = "world/random.rs"]
mod random;
#[path = "world/socket.rs"]
mod socket;
#[path = "world/speech.rs"]
mod speech;
#[path = "world/spin.rs"]
mod spin;
#[path = "simulation/verdict.rs"]
mod verdict;
#[path = "simulation/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use slackwater::policy::drain::Outcome;
use slackwater::server::terms::Terms;

use crate::client::{Act, Character, Client};
use crate::world::World;

/// Runs one story for each seed, or for the one that is asked for; how often each close code was written.
fn for_each_seed(seeds: Range<u64>, story: impl Fn(u64) -> World) -> BTreeMap<Option<u16>, usize> {
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!(
                    "This was seed {0}. Again: SIMULATION_SEED={0} cargo test --test simulation",
                    self.0
                );
            }
        }
    }
    let mut codes = BTreeMap::new();
    for seed in asked_seed().map_or(seeds, |seed| seed..seed + 1) {
        let _named = Named(seed);
        for (code, count) in story(seed).judge.codes {
            *codes.entry(code).or_default() += count;
        }
    }
    codes
}

fn asked_seed() -> Option<u64> {
    std::env::var("SIMULATION_SEED").ok().map(|seed| seed.parse().expect("a number"))
}

/// A world with clients of every kind that arrive over some seconds.
fn crowd(seed: u64, most: usize, may_stay: bool) -> World {
    let mut world = World::new(seed);
    for _ in 0..world.random.within(1..most) {
        let arrival = world.random.millis(0..8000);
        let character = behaviour::draw(&mut world.random, &world.terms, may_stay);
        world.invite(arrival, character);
    }
    world
}

/// A world whose limits are too long to come to the help of anything that is forgotten.
fn patient_world(seed: u64) -> World {
    let mut world = World::new(seed);
    let (mut terms, hour) = (world.terms.clone(), Duration::from_secs(3600));
    (terms.concurrency, terms.limits.ping_interval, terms.limits.ping_timeout) = (None, None, None);
    (terms.limits.handshake, terms.limits.keep_alive, terms.limits.write) = (hour, hour, hour);
    world.set_terms(terms);
    world.spurious_percent = 0;
    world
}

fn run_to_the_end(mut world: World) -> World {
    world.run();
    if world.outcome.is_none() {
        assert_eq!(world.server.clients(), 0);
        assert!(world.clients.iter().all(|client| client.line.borrow().dropped), "all are buried");
    }
    world
}

#[test]
fn every_client_hears_every_notification_once_in_order_or_is_told_why_not() {
    let codes = for_each_seed(0..800, |seed| run_to_the_end(crowd(seed, 20, false)));
    let all = [1000, 1001, 3000, 4321, 1002, 1003, 1007, 1009, 4001, 4003].map(Some);
    let rare: Vec<_> = all.iter().chain(&[None]).filter(|code| !codes.contains_key(code)).collect();
    assert!(rare.is_empty() || asked_seed().is_some(), "{rare:?} was never seen: {codes:?}");
}

#[test]
fn every_limit_is_kept_though_nobody_else_is_there() {
    for_each_seed(2000..3000, |seed| run_to_the_end(crowd(seed, 3, false)));
}

#[test]
fn every_drain_ends() {
    let codes = for_each_seed(3000..3600, |seed| {
        let mut world = crowd(seed, 20, true);
        let first = world.random.millis(0..12_000);
        world.signals = vec![first];
        if world.random.chance(30) {
            world.signals.insert(0, first + world.random.millis(0..5000));
        }
        let world = run_to_the_end(world);
        assert!(world.outcome.is_some());
        world
    });
    assert!(codes.contains_key(&Some(1012)) || asked_seed().is_some(), "{codes:?}");
}

#[test]
fn a_drain_forgets_nobody_in_the_middle_of_a_fan_out() {
    for_each_seed(4000..4004, |seed| {
        let mut world = World::new(seed);
        let terms = Terms { concurrency: None, ..world.terms.clone() };
        world.set_terms(terms);
        let second = Duration::from_secs(1);
        world.notify_every(Some(2 * second));
        for _ in 0..300 {
            let (listener, arrival) = (behaviour::listener(&mut world.random), world.random.millis(0..500));
            world.invite(arrival, listener);
        }
        world.signals = vec![2 * second, 2 * second];
        let world = run_to_the_end(world);
        assert_eq!(world.outcome, Some(Outcome::Forced));
        assert_eq!(world.judge.codes, BTreeMap::from([(Some(1012), 300)]));
        world
    });
}

#[test]
fn the_farewell_reaches_whoever_still_takes_what_is_ahead_of_it() {
    for_each_seed(4400..4420, |seed| {
        let mut world = patient_world(seed);
        let mut terms = world.terms.clone();
        terms.limits.outbox_bytes = 1 << 20;
        world.set_terms(terms);
        world.notify_every(Some(Duration::from_millis(100)));
        let second = Duration::from_secs(1);
        let mut slow = behaviour::sleeper(&mut world.random, 300, 2 * second);
        let wakes = slow.script.back_mut().expect("it wakes");
        wakes.1 = Act::Trickle(200, Duration::from_millis(400));
        world.invite(Duration::ZERO, slow);
        // It takes some six seconds over what has come until then.
        world.signals = vec![2 * second, 2 * second];
        let world = run_to_the_end(world);
        assert_eq!(world.outcome, Some(Outcome::Forced));
        assert_eq!(world.judge.codes, BTreeMap::from([(Some(1012), 1)]));
        world
    });
}

#[test]
fn what_is_published_during_a_fan_out_is_heard_by_all() {
    for_each_seed(4100..4104, |seed| {
        let mut world = patient_world(seed);
        let mut terms = world.terms.clone();
        terms.limits.outbox_bytes = 1 << 20;
        world.set_terms(terms);
        world.notify_every(None);
        for _ in 0..300 {
            let (listener, arrival) = (behaviour::listener(&mut world.random), world.random.millis(0..500));
            world.invite(arrival, listener);
        }
        world.run_until(Duration::from_secs(4));
        // One in each turn, and a pass takes three.
        world.notify_every(Some(Duration::from_micros(100)));
        while world.published() < 30 {
            world.turn();
            world.sleep();
        }
        world.notify_every(None);
        world.run_until(world.now + Duration::from_secs(1));
        let all_have_all = world.clients.iter().all(|client| client.line.borrow().ear.newest() >= Some(30));
        assert!(all_have_all && world.clients.len() == 300);
        world
    });
}

#[test]
fn a_crowd_that_speaks_at_one_moment_is_served_in_slices() {
    for_each_seed(4300..4303, |seed| {
        let mut world = patient_world(seed);
        world.notify_every(Some(Duration::from_secs(1)));
        let most_bytes = world.terms.limits.rules.max_message_bytes;
        for _ in 0..600 {
            let chorister = behaviour::chorister(&mut world.random, most_bytes);
            world.invite(Duration::from_millis(500), chorister);
        }
        run_to_the_end(world)
    });
}

#[test]
fn who_overflows_is_sent_nothing_but_what_it_had_begun_to_receive() {
    for_each_seed(4200..4220, |seed| {
        let mut world = patient_world(seed);
        let mut terms = world.terms.clone();
        terms.limits.outbox_bytes = 5500;
        world.set_terms(terms);
        world.notify_every(Some(Duration::from_millis(100)));
        // 25 notifications and their places are too many; it wakes while the server lingers.
        let capacity = world.random.within(1..500);
        let sleeper = behaviour::sleeper(&mut world.random, capacity, Duration::from_millis(3200));
        world.invite(Duration::ZERO, sleeper);
        let world = run_to_the_end(world);
        assert_eq!(world.judge.codes, BTreeMap::from([(Some(4001), 1)]));
        let heard = world.clients[0].line.borrow().ear.heard.len();
        assert!(heard <= 6, "{heard} things were heard");
        world
    });
}

#[test]
fn edge_triggered_readiness_is_never_lost() {
    for_each_seed(5000..5100, |seed| {
        let mut world = patient_world(seed);
        let impatient = World::new(seed).terms;
        for _ in 0..world.random.within(1..8) {
            let mut talker = behaviour::talker(&mut world.random, &impatient, false);
            talker.capacity = world.random.within(1..60);
            let arrival = world.random.millis(0..2000);
            world.invite(arrival, talker);
            let surfer = behaviour::asks_ahead(&mut world.random);
            world.invite(arrival, surfer);
        }
        run_to_the_end(world)
    });
}

#[test]
fn a_stalled_client_never_delays_the_others() {
    for_each_seed(6000..6004, |seed| {
        let mut world = patient_world(seed);
        world.notify_every(Some(Duration::from_secs(1)));
        for nth in 0..250 {
            let character = match nth % 3 {
                0 => behaviour::sleeper(&mut world.random, 300, Duration::from_secs(100)),
                _ => Character { capacity: 1500, ..behaviour::listener(&mut world.random) },
            };
            world.invite(Duration::ZERO, character);
        }
        world.run_until(Duration::from_millis(900));
        let mut late_turns = 0;
        while world.published() < 20 {
            world.turn();
            world.sleep();
            let newest = world.published() as u64;
            let has_all = |client: &Client| client.line.borrow().ear.newest() == Some(newest);
            let all_have_all = world.named("listener").all(has_all) || newest == 0;
            late_turns = if all_have_all { 0 } else { late_turns + 1 };
            // 256 keys, 128 a turn: one turn more than the first.
            assert!(late_turns <= 1, "after {late_turns} turns someone has not heard number {newest}");
        }
        world
    });
}

#[test]
fn who_wakes_while_the_server_lingers_finds_out_why_it_was_left() {
    for_each_seed(7000..7040, |seed| {
        let mut world = patient_world(seed);
        let mut terms = world.terms.clone();
        terms.limits.write = world.random.millis(500..5000);
        world.set_terms(terms.clone());
        world.notify_every(None);
        // Less than the 101 and the welcome: it stalls at once, in the middle of something.
        let capacity = world.random.within(1..250);
        let wakes_after = terms.limits.write + Duration::from_millis(600);
        let sleeper = behaviour::sleeper(&mut world.random, capacity, wakes_after);
        world.invite(Duration::ZERO, sleeper);
        let world = run_to_the_end(world);
        assert_eq!(world.judge.codes, BTreeMap::from([(Some(4001), 1)]));
        world
    });
}

/// A client that reads 2 kB a second while 50 kB come at once, and is pinged every second meanwhile.
fn slow_reader(seed: u64, answers_pings: bool, capacity: std::ops::Range<usize>) -> World {
    let (mut world, second) = (patient_world(seed), Duration::from_secs(1));
    let mut terms = world.terms.clone();
    (terms.limits.ping_interval, terms.limits.ping_timeout) = (Some(second), Some(second));
    (terms.limits.write, terms.limits.outbox_bytes) = (3 * second, 1 << 20);
    world.set_terms(terms);
    let capacity = world.random.within(capacity);
    let mut reader = Character { answers_pings, capacity, ..behaviour::listener(&mut world.random) };
    reader.script.push_back((Duration::ZERO, Act::Trickle(200, Duration::from_millis(100))));
    world.invite(Duration::ZERO, reader);
    world.notify_every(None);
    world.run_until(2 * second);
    world.notify_every(Some(Duration::from_millis(1)));
    while world.published() < 300 {
        world.turn();
        world.sleep();
    }
    world.notify_every(None);
    world
}

#[test]
fn a_slow_but_steady_reader_is_there_though_a_ping_waits_behind_what_it_reads() {
    for_each_seed(9000..9040, |seed| {
        let mut world = slow_reader(seed, true, 500..6000);
        world.run_until(Duration::from_secs(60));
        assert_eq!(world.judge.codes, BTreeMap::new());
        assert_eq!(world.clients[0].line.borrow().ear.newest(), Some(300));
        world
    });
}

#[test]
fn a_ping_has_not_left_while_what_is_ahead_of_it_is_being_taken_from_the_socket() {
    for_each_seed(9050..9060, |seed| {
        let mut world = slow_reader(seed, true, 60_000..70_000);
        world.run_until(Duration::from_secs(60));
        assert_eq!(world.judge.codes, BTreeMap::new());
        world
    });
}

#[test]
fn a_slow_reader_that_has_taken_all_and_says_nothing_is_cut() {
    for_each_seed(9100..9110, |seed| {
        let world = run_to_the_end(slow_reader(seed, false, 500..6000));
        assert_eq!(world.judge.codes, BTreeMap::from([(Some(4003), 1)]));
        world
    });
}

#[test]
fn who_does_not_take_its_close_is_reset_and_who_does_is_not() {
    for_each_seed(9200..9220, |seed| {
        let mut world = patient_world(seed);
        let mut terms = world.terms.clone();
        terms.limits.write = Duration::from_secs(1);
        world.set_terms(terms);
        // It wakes half a second after it is told, or too late.
        let is_deaf = world.random.chance(50);
        let wakes_after = Duration::from_millis(if is_deaf { 4000 } else { 1500 });
        let sleeper = behaviour::sleeper(&mut world.random, 100, wakes_after);
        world.invite(Duration::ZERO, sleeper);
        let world = run_to_the_end(world);
        assert_eq!(world.clients[0].line.borrow().aborted, is_deaf);
        world
    });
}

#[test]
fn a_long_turn_of_the_servers_own_is_not_the_peers_time() {
    for_each_seed(9300..9310, |seed| {
        let (mut world, second) = (patient_world(seed), Duration::from_secs(1));
        let mut terms = world.terms.clone();
        terms.limits.handshake = second;
        world.set_terms(terms);
        world.notify_every(None);
        let mut newcomer = behaviour::listener(&mut world.random);
        let handshake = Act::Say(speech::upgrade(&mut world.random));
        newcomer.script = [(5 * second + second / 2, handshake)].into();
        world.invite(Duration::ZERO, newcomer);
        world.turn();
        world.stretch_turn(5 * second);
        world.run_until(7 * second);
        assert!(world.clients[0].line.borrow().ear.is_switched());
        world
    });
}

#[test]
fn a_loud_client_never_gets_more_than_its_share_of_a_turn() {
    for_each_seed(8000..8001, |seed| {
        let mut world = patient_world(seed);
        world.notify_every(None);
        let flooder = behaviour::flooder(&mut world.random, 10, 500_000);
        world.invite(Duration::ZERO, flooder);
        while world.clients.iter().all(|client| !client.line.borrow().dropped) || world.clients.is_empty() {
            world.turn();
            world.sleep();
            let read = std::mem::take(&mut world.clients[0].line.borrow_mut().read_this_turn);
            assert!(read <= 256 * 1024, "{read} bytes were read from one client in one turn");
        }
        assert_eq!(world.judge.codes, BTreeMap::from([(Some(1000), 1)]));
        world
    });
}
