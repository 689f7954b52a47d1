//! Hundreds of seeded worlds in which subscribers are cut off and resume while others publish, servers are redeployed
//! or crash, and history forgets: virtual sockets, a virtual clock, no sleep. Everyone hears each publication of its
//! topics once and in order, or is told `resumed: false`. A seed that fails is printed; `SIMULATION_SEED=42 cargo test
//! --test resume` runs that one alone.

#[path = "resume/bursts.rs"]
mod bursts;
#[path = "resume/draw.rs"]
mod draw;
#[path = "world/ear.rs"]
#[allow(dead_code)]
mod ear;
#[path = "resume/publisher.rs"]
mod publisher;
#[path = "world/random.rs"]
#[allow(dead_code)] // Shared with the other simulation.
mod random;
#[path = "world/socket.rs"]
#[allow(dead_code)]
mod socket;
#[path = "world/speech.rs"]
#[allow(dead_code)]
mod speech;
#[path = "world/spin.rs"]
mod spin;
#[path = "world/subscriber.rs"]
mod subscriber;
#[path = "world/truth.rs"]
mod truth;
#[path = "resume/turns.rs"]
mod turns;
#[path = "world/verdict.rs"]
mod verdict;
#[path = "resume/world.rs"]
mod world;

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use slackwater::policy::history::HistoryLimits;
use slackwater::server::terms::Terms;

use crate::draw::{GENEROUS, draw_world, end, patient_terms};
use crate::ear::{Heard, Id};
use crate::random::Random;
use crate::socket::Line;
use crate::speech::handshake;
use crate::verdict::Tally;
use crate::world::World;

/// Runs one story for each seed, or for the one that is asked for.
fn for_each_seed(seeds: Range<u64>, mut story: impl FnMut(u64)) {
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("This was seed {0}. Again: SIMULATION_SEED={0} cargo test --test resume", self.0);
            }
        }
    }
    for seed in asked_seed().map_or(seeds, |seed| seed..seed + 1) {
        let _named = Named(seed);
        story(seed);
    }
}

fn asked_seed() -> Option<u64> {
    std::env::var("SIMULATION_SEED").ok().map(|seed| seed.parse().expect("a number"))
}

/// What one world after another has told.
fn told_by(seeds: Range<u64>, draw_history: impl Fn(&mut Random) -> HistoryLimits) -> Tally {
    let mut tally = Tally::default();
    for_each_seed(seeds, |seed| {
        let mut random = Random::new(seed);
        let history = draw_history(&mut random);
        let mut world = draw_world(random, history);
        world.run_until(Duration::from_secs(5));
        end(world, &mut tally);
    });
    tally
}

#[test]
fn whoever_comes_back_hears_all_that_it_missed() {
    let tally = told_by(0..170, |_| GENEROUS);
    let has_all = tally.resumed > 600
        && tally.long_replays > 50
        && tally.unknown_epochs > 100
        && tally.overlaps > 10_000
        && tally.commands > 1000
        && tally.commands_in_replay > 50
        && tally.overtaken > 30
        && tally.too_slow > 5
        && tally.farewells > 100
        && tally.retries > 500
        && tally.refused_requests > 1000
        && tally.redeployments > 80
        && tally.crashes > 30;
    assert!(has_all || asked_seed().is_some(), "too little happened: {tally:?}");
}

#[test]
fn whoever_comes_back_too_late_is_told_so() {
    let tally = told_by(1000..1170, |random| match random.below(3) {
        0 => HistoryLimits { publications: random.below(40), ..GENEROUS },
        1 => HistoryLimits { bytes: random.within(1000..150_000), ..GENEROUS },
        _ => HistoryLimits { age: random.millis(100..3000), ..GENEROUS },
    });
    let has_all = tally.refused > 200 && tally.resumed > 300 && tally.redeployments > 80;
    assert!(has_all || asked_seed().is_some(), "too little happened: {tally:?}");
}

/// Publishes so many bytes.
fn publish(topic: &str, token: u64, bytes: usize) -> String {
    let body = format!("{token} {}", "x".repeat(bytes));
    format!("POST /publish?topic={topic} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A world in which so many publications of so many bytes were made to `news` while nobody was there.
fn world_with_news(seed: u64, terms: Terms, count: u64, bytes: usize) -> World {
    let mut world = World::new(Random::new(seed), terms);
    let publisher = world.connect(1 << 20, "");
    for token in 1..=count {
        publisher.borrow_mut().send(publish("news", token, bytes).as_bytes());
    }
    calm_down(&mut world);
    publisher.borrow_mut().end();
    assert_eq!(world.servers[0].newest, count);
    world
}

/// Takes turns until there is nothing left to do.
fn calm_down(world: &mut World) {
    loop {
        world.turn();
        if world.servers[0].is_at_rest() {
            return;
        }
        world.tick();
    }
}

/// The positions of the publications on a line, whether read or not.
fn positions(line: &RefCell<Line>) -> Vec<u64> {
    let position = |(_, heard): &(usize, Heard)| match heard {
        Heard::Publication(id, _) => Some(id.position),
        _ => None,
    };
    line.borrow().ear.heard.iter().filter_map(position).collect()
}

fn last_heard(line: &RefCell<Line>) -> Option<Heard> {
    line.borrow().ear.heard.last().map(|(_, heard)| heard.clone())
}

#[test]
fn what_comes_in_one_turn_is_not_too_much_for_who_reads() {
    for_each_seed(2000..2020, |seed| {
        let mut terms = patient_terms();
        terms.limits.outbox_bytes = 10_000;
        let mut world = World::new(Random::new(seed), terms);
        let listener = world.connect(1 << 20, &handshake("topic=news"));
        world.turn();
        for token in 1..=5 {
            world.connect(1000, &publish("news", token, 3000));
        }
        let mut random = world.random.fork();
        let command = speech::frame(&mut random, speech::TEXT, br#"{"type":"subscribe","topic":"news"}"#);
        listener.borrow_mut().send(&command);
        calm_down(&mut world);
        assert_eq!(positions(&listener), [1, 2, 3, 4, 5]);
    });
}

#[test]
fn one_client_s_replay_never_delays_others() {
    for_each_seed(2100..2102, |seed| {
        let mut world = world_with_news(seed, patient_terms(), 60, 15_000);
        let listener = world.connect(1 << 20, &handshake("topic=orders"));
        let publisher = world.connect(1 << 20, "");
        world.turn();
        let replaying: Vec<_> = (0..40)
            .map(|_| world.connect(1 << 40, &handshake("topic=news&last_event_id=0000beef-0")))
            .collect();
        for line in &replaying[1..] {
            line.borrow_mut().ear.is_deaf = true;
        }
        let mut turns = 0;
        while replaying.iter().any(|line| line.borrow().unread_by_client() < 60 * 15_000) {
            let before: Vec<_> = replaying.iter().map(|line| line.borrow().unread_by_client()).collect();
            turns += 1;
            publisher.borrow_mut().send(publish("orders", turns, 10).as_bytes());
            world.turn();
            world.tick();
            assert_eq!(positions(&listener).last(), Some(&(60 + turns)), "it was not heard in its turn");
            for (line, before) in replaying.iter().zip(before) {
                let written = line.borrow().unread_by_client() - before;
                assert!(written < 64 * 1024 + 16_000, "{written} bytes of one replay in one turn");
            }
        }
        assert!((30..120).contains(&turns), "the replays took {turns} turns");
        calm_down(&mut world);
        assert_eq!(positions(&replaying[0]), Vec::from_iter(1..=60));
    });
}

#[test]
fn what_of_a_replay_is_not_taken_yet_waits_in_history() {
    for_each_seed(2200..2212, |seed| {
        let (mut terms, is_small) = (patient_terms(), seed % 2 == 0);
        terms.limits.outbox_bytes = if is_small { 100_000 } else { 1 << 20 };
        let mut world = world_with_news(seed, terms, 100, 12_000);
        let capacity = world.random.within(1000..50_000);
        let line = world.connect(capacity, &handshake("topic=news&last_event_id=0000beef-0"));
        let publisher = world.connect(1 << 20, "");
        calm_down(&mut world);
        let mut token = 100;
        while line.borrow().unread_by_client() > 0 {
            let taken = world.random.within(1..20_000);
            line.borrow_mut().take(taken);
            if token < 130 {
                token += 1;
                publisher.borrow_mut().send(publish("news", token, 300).as_bytes());
            }
            world.turn();
            world.tick();
        }
        assert_eq!(positions(&line), Vec::from_iter(1..=token));
        let most = line.borrow().most_offered;
        assert!(
            most < 64 * 1024 + 13_000 && (is_small || most > 60_000),
            "{most} bytes waited in the outbox"
        );
    });
}

#[test]
fn a_long_way_through_what_others_listen_to_leaves_nothing_out() {
    // A replay looks at 1024 publications at once.
    for_each_seed(2500..2504, |seed| {
        let count = 1022 + seed % 4;
        let mut world = world_with_news(seed, patient_terms(), count, 1);
        world.connect(1 << 20, &publish("orders", 0, 1));
        calm_down(&mut world);
        let line = world.connect(1 << 20, &handshake("topic=orders&last_event_id=0000beef-0"));
        calm_down(&mut world);
        assert_eq!(positions(&line), [count + 1]);
    });
}

#[test]
fn who_comes_back_in_the_middle_of_a_fan_out_hears_it_once() {
    for_each_seed(2600..2603, |seed| {
        let mut world = world_with_news(seed, patient_terms(), 10, 300);
        let publisher = world.connect(1 << 20, "");
        let crowd: Vec<_> = (0..300).map(|_| world.connect(1 << 40, &handshake("topic=news"))).collect();
        crowd.iter().for_each(|line| line.borrow_mut().ear.is_deaf = true);
        let mut returned = Vec::new();
        for token in 11..=60 {
            publisher.borrow_mut().send(publish("news", token, 300).as_bytes());
            let after = world.random.within(0..usize::try_from(token).expect("few")) as u64;
            let query = format!("topic=news&last_event_id=0000beef-{after}");
            returned.push((after, world.connect(1 << 20, &handshake(&query))));
            world.turn();
            world.tick();
        }
        calm_down(&mut world);
        for (after, line) in &returned {
            assert_eq!(positions(line), Vec::from_iter(after + 1..=60), "behind {after}");
        }
        // Once they have gone, a fan-out is as short as if they had never been there.
        crowd.iter().chain(returned.iter().map(|(_, line)| line)).for_each(|line| line.borrow_mut().end());
        calm_down(&mut world);
        let last = world.connect(1 << 20, &handshake("topic=news"));
        calm_down(&mut world);
        publisher.borrow_mut().send(publish("news", 61, 300).as_bytes());
        world.turn();
        assert!(positions(&last) == [61] && !world.servers[0].has_work());
    });
}

#[test]
fn a_replay_that_history_overtakes_is_broken_off() {
    for_each_seed(2300..2320, |seed| {
        let mut terms = patient_terms();
        terms.history.bytes = 400_000;
        let mut world = world_with_news(seed, terms, 40, 8000);
        let line = world.connect(5000, &handshake("topic=news&last_event_id=0000beef-0"));
        calm_down(&mut world);
        let mut publisher = String::new();
        (41..=75).for_each(|token| publisher += &publish("news", token, 8000));
        world.connect(1 << 20, &publisher);
        world.turn();
        while line.borrow_mut().take(usize::MAX) > 0 {
            world.turn();
            world.tick();
        }
        assert_eq!(last_heard(&line), Some(Heard::Close(Some(4001))));
        let heard = positions(&line);
        assert!(heard.len() < 30 && heard.iter().copied().eq(1..=heard.len() as u64), "{heard:?}");
        let last = Id { epoch: 0xbeef, position: heard.len() as u64 };
        let line = world.connect(5000, &handshake(&format!("topic=news&last_event_id={last}")));
        calm_down(&mut world);
        let newest = Id { epoch: 0xbeef, position: 75 };
        let welcome = Heard::Welcome { last: newest, resumed: false, topics: vec!["news".to_owned()] };
        assert_eq!(last_heard(&line), Some(welcome));
    });
}

#[test]
fn publishers_are_held_back_while_news_pile_up_and_go_on_afterwards() {
    let mut waits = 0;
    for_each_seed(2400..2403, |seed| {
        let mut terms = patient_terms();
        // Who takes all at once has no need of it.
        terms.history.bytes = [1, 4, 16][usize::try_from(seed % 3).unwrap()] << 20;
        let mut world = World::new(Random::new(seed), terms);
        let query = if seed % 2 == 0 { "topic=news" } else { "topic=*&topic=news" };
        let count = world.random.within(300..500);
        let listeners: Vec<_> = (0..count).map(|_| world.connect(1 << 40, &handshake(query))).collect();
        listeners.iter().for_each(|line| line.borrow_mut().ear.is_deaf = true);
        let publishers: Vec<_> = (0..16).map(|_| world.connect(1000, "")).collect();
        calm_down(&mut world);
        for (line, nth) in publishers.iter().zip(0..) {
            for token in 0..6 {
                line.borrow_mut().send(publish("news", nth * 6 + token, 100_000).as_bytes());
            }
        }
        loop {
            publishers.iter().for_each(|line| line.borrow_mut().read_this_turn = 0);
            world.turn();
            for line in &publishers {
                let mut line = line.borrow_mut();
                waits += usize::from(line.unread_by_server() > 0 && line.read_this_turn == 0);
                line.take(usize::MAX);
            }
            if world.servers[0].is_at_rest() {
                break;
            }
            world.tick();
        }
        for line in &publishers {
            let line = line.borrow();
            let is_answered =
                |(_, heard): &(usize, Heard)| matches!(heard, Heard::Response { status: 200, .. });
            assert!(line.ear.heard.len() == 6 && line.ear.heard.iter().all(is_answered), "{line:?}");
        }
        assert_eq!(world.servers[0].newest, 96);
        let has_all = |line: &Rc<RefCell<Line>>| line.borrow().unread_by_client() > 96 * 100_000;
        assert!(listeners.iter().all(has_all), "not everyone has heard everything");
    });
    assert!(waits > 100, "publishers waited for {waits} turns");
}
