//! Whoever comes back is brought what it has missed, a part in each turn, while others go on.

use std::cell::RefCell;
use std::rc::Rc;

use crate::draw::{SECOND, house, patient};
use crate::ear::{Heard, Id};
use crate::for_each_seed;
use crate::reign::Setup;
use crate::socket::Line;
use crate::speech::{TEXT, frame, handshake};
use crate::stories::{last_heard, news, positions, post, publish, resume_behind};
use crate::world::World;

/// A world in which so many publications of so many bytes were made to `news` while nobody was there.
fn world_with_news(seed: u64, setup: Setup, count: u64, bytes: usize) -> World {
    let mut world = house(seed, setup);
    let publisher = world.connect(1 << 20, "");
    for token in 1..=count {
        publisher.borrow_mut().send(news(token, bytes).as_bytes());
    }
    world.calm_down();
    publisher.borrow_mut().end();
    assert_eq!(world.truth.newest(0xbeef), count);
    world
}

#[test]
fn what_comes_in_one_turn_is_not_too_much_for_who_reads() {
    for_each_seed(2000..2020, |seed| {
        let mut setup = patient(0);
        setup.terms.limits.outbox_bytes = 10_000;
        let mut world = house(seed, setup);
        let listener = world.connect(1 << 20, &handshake("topic=news"));
        world.turn();
        for token in 1..=5 {
            world.connect(1000, &news(token, 3000));
        }
        let command = frame(&mut world.random, TEXT, br#"{"type":"subscribe","topic":"news"}"#);
        listener.borrow_mut().send(&command);
        world.calm_down();
        assert_eq!(positions(&listener), [1, 2, 3, 4, 5]);
    });
}

#[test]
fn one_client_s_replay_never_delays_others() {
    for_each_seed(2100..2102, |seed| {
        let mut world = world_with_news(seed, patient(0), 60, 15_000);
        let listener = world.connect(1 << 20, &handshake("topic=orders"));
        let publisher = world.connect(1 << 20, "");
        world.turn();
        let replaying: Vec<_> = (0..40).map(|_| world.connect(1 << 40, &resume_behind(0))).collect();
        for line in &replaying[1..] {
            line.borrow_mut().ear.is_deaf = true;
        }
        let mut turns = 0;
        while replaying.iter().any(|line| line.borrow().unread_by_client() < 60 * 15_000) {
            let before: Vec<_> = replaying.iter().map(|line| line.borrow().unread_by_client()).collect();
            turns += 1;
            publisher.borrow_mut().send(post("orders", turns, 10).as_bytes());
            world.turn();
            world.tick();
            assert_eq!(positions(&listener).last(), Some(&(60 + turns)), "it was not heard in its turn");
            for (line, before) in replaying.iter().zip(before) {
                let written = line.borrow().unread_by_client() - before;
                assert!(written < 64 * 1024 + 16_000, "{written} bytes of one replay in one turn");
            }
        }
        assert!((30..120).contains(&turns), "the replays took {turns} turns");
        world.calm_down();
        assert_eq!(positions(&replaying[0]), Vec::from_iter(1..=60));
    });
}

#[test]
fn what_of_a_replay_is_not_taken_yet_waits_in_history() {
    for_each_seed(2200..2212, |seed| {
        let (mut setup, is_small) = (patient(0), seed % 2 == 0);
        setup.terms.limits.outbox_bytes = if is_small { 100_000 } else { 1 << 20 };
        let mut world = world_with_news(seed, setup, 100, 12_000);
        let capacity = world.random.within(1000..50_000);
        let line = world.connect(capacity, &resume_behind(0));
        let publisher = world.connect(1 << 20, "");
        world.calm_down();
        let mut token = 100;
        while line.borrow().unread_by_client() > 0 {
            let taken = world.random.within(1..20_000);
            line.borrow_mut().take(taken);
            if token < 130 {
                token += 1;
                publisher.borrow_mut().send(news(token, 300).as_bytes());
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
        let mut world = world_with_news(seed, patient(0), count, 1);
        world.connect(1 << 20, &post("orders", 0, 1));
        world.calm_down();
        let line = world.connect(1 << 20, &handshake("topic=orders&last_event_id=0000beef-0"));
        world.calm_down();
        assert_eq!(positions(&line), [count + 1]);
    });
}

#[test]
fn who_comes_back_in_the_middle_of_a_fan_out_hears_it_once() {
    for_each_seed(2600..2603, |seed| {
        let mut world = world_with_news(seed, patient(0), 10, 300);
        let publisher = world.connect(1 << 20, "");
        let crowd: Vec<_> = (0..300).map(|_| world.connect(1 << 40, &handshake("topic=news"))).collect();
        crowd.iter().for_each(|line| line.borrow_mut().ear.is_deaf = true);
        let mut returned = Vec::new();
        for token in 11..=60 {
            publisher.borrow_mut().send(news(token, 300).as_bytes());
            let after = world.random.within(0..usize::try_from(token).expect("few")) as u64;
            returned.push((after, world.connect(1 << 20, &resume_behind(after))));
            world.turn();
            world.tick();
        }
        world.calm_down();
        for (after, line) in &returned {
            assert_eq!(positions(line), Vec::from_iter(after + 1..=60), "behind {after}");
        }
        // Once they have gone, a fan-out is as short as if they had never been there.
        crowd.iter().chain(returned.iter().map(|(_, line)| line)).for_each(|line| line.borrow_mut().end());
        world.calm_down();
        let last = world.connect(1 << 20, &handshake("topic=news"));
        world.calm_down();
        publisher.borrow_mut().send(news(61, 300).as_bytes());
        world.turn();
        assert!(positions(&last) == [61] && !world.worker(0).has_work());
    });
}

#[test]
fn a_replay_that_history_overtakes_is_broken_off() {
    for_each_seed(2300..2320, |seed| {
        let mut setup = patient(0);
        setup.terms.history.bytes = 400_000;
        let mut world = world_with_news(seed, setup, 40, 8000);
        let line = world.connect(5000, &resume_behind(0));
        world.calm_down();
        let mut publisher = String::new();
        (41..=75).for_each(|token| publisher += &news(token, 8000));
        world.connect(1 << 20, &publisher);
        world.turn();
        while line.borrow_mut().take(usize::MAX) > 0 {
            world.turn();
            world.tick();
        }
        assert_eq!(last_heard(&line), Some(Heard::Close(Some(4001))));
        let heard = positions(&line);
        assert!(heard.len() < 30 && heard.iter().copied().eq(1..=heard.len() as u64), "{heard:?}");
        let line = world.connect(5000, &resume_behind(heard.len() as u64));
        world.calm_down();
        let newest = Id { epoch: 0xbeef, position: 75 };
        let welcome = Heard::Welcome { last: newest, resumed: false, topics: vec!["news".to_owned()] };
        assert_eq!(last_heard(&line), Some(welcome));
    });
}

#[test]
fn publishers_are_held_back_while_news_pile_up_and_go_on_afterwards() {
    let mut waits = 0;
    for_each_seed(2400..2403, |seed| {
        let mut setup = patient(0);
        // Who takes all at once has no need of it.
        setup.terms.history.bytes = [1, 4, 16][usize::try_from(seed % 3).unwrap()] << 20;
        let mut world = house(seed, setup);
        let query = if seed % 2 == 0 { "topic=news" } else { "topic=*&topic=news" };
        let count = world.random.within(300..500);
        let listeners: Vec<_> = (0..count).map(|_| world.connect(1 << 40, &handshake(query))).collect();
        listeners.iter().for_each(|line| line.borrow_mut().ear.is_deaf = true);
        let publishers: Vec<_> = (0..16).map(|_| world.connect(1000, "")).collect();
        world.calm_down();
        for (line, nth) in publishers.iter().zip(0..) {
            for token in 0..6 {
                line.borrow_mut().send(news(nth * 6 + token, 100_000).as_bytes());
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
            if world.is_at_rest() {
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
        assert_eq!(world.truth.newest(0xbeef), 96);
        let has_all = |line: &Rc<RefCell<Line>>| line.borrow().unread_by_client() > 96 * 100_000;
        assert!(listeners.iter().all(has_all), "not everyone has heard everything");
    });
    assert!(waits > 100, "publishers waited for {waits} turns");
}

#[test]
fn what_becomes_too_old_wakes_the_server_whatever_it_has_looked_at_before() {
    for_each_seed(4720..4722, |seed| {
        let mut setup = patient(0);
        setup.terms.history.age = 10 * SECOND;
        setup.terms.limits.handshake = SECOND;
        setup.has_witness = false;
        let mut world = house(seed, setup);
        publish(&mut world, 0, 1..=1, 10);
        world.calm_down();
        let mute = world.connect(1 << 20, "");
        world.run_for(5 * SECOND);
        assert!(mute.borrow().outbound_ended);
        let worker = world.worker(0);
        let timeout = worker.server.next_timeout().expect("it is to look at its history");
        assert!(timeout < 10 * SECOND, "{timeout:?}");
    });
}

#[test]
fn whoever_has_a_large_last_message_of_a_replay_to_take_is_not_cut_for_the_next() {
    for_each_seed(4730..4735, |seed| {
        let mut setup = patient(0);
        setup.terms.limits.outbox_bytes = 100_000;
        let mut world = house(seed, setup);
        publish(&mut world, 0, 1..=1, 200_000);
        world.calm_down();
        let line = world.connect(1000, &resume_behind(0));
        world.run_for(3 * SECOND);
        publish(&mut world, 0, 2..=2, 10);
        world.calm_down();
        while positions(&line).len() < 2 {
            line.borrow_mut().take(usize::MAX);
            world.run_for(SECOND / 100);
            assert_ne!(last_heard(&line), Some(Heard::Close(Some(4001))));
        }
    });
}
