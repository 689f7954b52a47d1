//! Who is too slow, too much or too quiet is let go in time and finds out why; whoever only seems so is kept.

use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;

use crate::client::{Act, Character};
use crate::compression::Offer;
use crate::crowd::Codes;
use crate::draw::{SECOND, alone, house, patient};
use crate::ear::Heard;
use crate::random::Random;
use crate::socket::Line;
use crate::speech::{self, handshake};
use crate::stories::{answers, count, news, positions, publish};
use crate::world::World;
use crate::{behaviour, for_each_seed};

fn is_pinged(line: &RefCell<Line>) -> bool {
    count(line, |heard| *heard == Heard::Ping) > 0
}

fn is_closed(line: &RefCell<Line>) -> bool {
    count(line, |heard| matches!(heard, Heard::Close(_))) > 0
}

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
        let upgrade = Act::Say(speech::upgrade(&mut random, &Offer::default()));
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

#[test]
fn whoever_has_answered_while_the_server_was_stopped_is_read_before_it_is_judged() {
    for_each_seed(4620..4625, |seed| {
        let mut setup = patient(0);
        setup.terms.limits.ping_interval = Some(SECOND);
        setup.terms.limits.ping_timeout = Some(SECOND);
        setup.has_witness = false;
        let mut world = house(seed, setup);
        let lines = [(); 4].map(|()| world.connect(1 << 20, &handshake("topic=news")));
        world.run_while(|_| !lines.iter().all(|line| is_pinged(line)));
        world.worker(0).events_per_look = 1;
        world.worker(0).frozen_until = world.now + 5 * SECOND;
        lines.iter().for_each(|line| line.borrow_mut().send(b"\x8a\x80mask"));
        world.run_for(5 * SECOND + SECOND / 100);
        for line in &lines {
            assert!(!is_closed(line), "{:?}", answers(line));
        }
    });
}

#[test]
fn a_ping_that_has_left_is_not_held_against_who_has_still_to_take_what_came_behind_it() {
    for_each_seed(4630..4635, |seed| {
        let mut setup = patient(0);
        setup.terms.limits.ping_interval = Some(20 * SECOND);
        setup.terms.limits.ping_timeout = Some(2 * SECOND);
        setup.terms.limits.write = 10 * SECOND;
        setup.has_witness = false;
        let mut world = house(seed, setup);
        let line = world.connect(5000, &handshake("topic=news"));
        world.run_while(|_| !is_pinged(&line));
        publish(&mut world, 0, 1..=5, 3000);
        world.run_for(4 * SECOND);
        assert!(line.borrow().blocked);
        line.borrow_mut().send(b"\x8a\x80mask");
        for _ in 0..20 {
            line.borrow_mut().take(usize::MAX);
            world.turn();
            world.sleep(world.now + SECOND / 100);
        }
        assert_eq!(positions(&line), [1, 2, 3, 4, 5], "{:?}", answers(&line));
    });
}

#[test]
fn whoever_has_sent_more_than_a_turn_reads_is_read_before_it_is_judged() {
    for_each_seed(4640..4645, |seed| {
        let mut setup = patient(0);
        setup.terms.limits.handshake = SECOND;
        let mut world = house(seed, setup);
        let request = news(1, 500_000);
        let (start, rest) = request.split_at(10);
        let line = world.connect(1 << 20, start);
        world.run_for(SECOND / 2);
        world.worker(0).frozen_until = world.now + 2 * SECOND;
        line.borrow_mut().send(rest.as_bytes());
        world.run_for(3 * SECOND);
        assert_eq!(answers(&line), ["200 id"]);
    });
}

#[test]
fn whoever_takes_its_last_word_ever_so_slowly_is_cut_in_the_end() {
    for_each_seed(4650..4655, |seed| {
        let mut setup = patient(0);
        setup.has_witness = false;
        let mut world = house(seed, setup);
        let line = world.connect(6000, &handshake("topic=news"));
        publish(&mut world, 0, 1..=10, 10_000);
        world.run_for(SECOND / 10);
        // Not masked: it has broken the protocol.
        line.borrow_mut().send(b"\x81\x01x");
        let start = world.now;
        while !line.borrow().dropped {
            line.borrow_mut().take(2500);
            world.run_for(SECOND / 2);
            assert!(world.now < start + 12 * SECOND, "it is waited for for ever");
        }
        assert!(world.now > start + 9 * SECOND && line.borrow().aborted);
    });
}

#[test]
fn a_stall_begins_at_the_end_of_the_long_turn_in_which_it_was_met() {
    for_each_seed(4670..4675, |seed| {
        let mut setup = patient(0);
        setup.terms.limits.write = SECOND;
        setup.has_witness = false;
        let mut world = house(seed, setup);
        let line = world.connect(1000, &handshake("topic=news"));
        world.run_for(SECOND / 10);
        publish(&mut world, 0, 1..=1, 5000);
        world.run_while(|_| !line.borrow().blocked);
        world.stretch_turn(5 * SECOND);
        world.run_for(SECOND / 2);
        while positions(&line).is_empty() {
            line.borrow_mut().take(usize::MAX);
            world.turn();
            world.sleep(world.now + SECOND / 100);
            assert!(!is_closed(&line), "{:?}", answers(&line));
        }
    });
}

#[test]
fn a_last_response_may_wait_for_its_reader_as_long_as_any_other() {
    for_each_seed(4690..4695, |seed| {
        let mut setup = patient(0);
        setup.terms.limits.write = 5 * SECOND;
        let mut world = house(seed, setup);
        let line = world.connect(300, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        world.run_for(3 * SECOND);
        while !line.borrow().outbound_ended {
            line.borrow_mut().take(usize::MAX);
            world.run_for(SECOND / 100);
            assert!(!line.borrow().aborted);
        }
        assert_eq!(answers(&line).len(), 1);
    });
}

#[test]
fn whoever_has_taken_its_close_and_does_not_end_its_side_is_reset() {
    for_each_seed(4700..4705, |seed| {
        let mut world = house(seed, patient(0));
        let line = world.connect(1 << 20, &handshake("topic=news"));
        world.calm_down();
        // Not masked: it has broken the protocol.
        line.borrow_mut().send(b"\x81\x01x");
        world.calm_down();
        line.borrow_mut().take(usize::MAX);
        world.run_for(2 * SECOND);
        assert!(line.borrow().dropped && line.borrow().aborted);
    });
}

#[test]
fn pings_that_are_due_together_leave_in_slices_and_all_before_the_server_sleeps() {
    let mut setup = patient(0);
    setup.terms.limits.ping_interval = Some(10 * SECOND);
    setup.has_witness = false;
    let mut world = house(4710, setup);
    let lines = [(); 100].map(|()| world.connect(1 << 20, &handshake("topic=news")));
    world.calm_down();
    let end = world.now + 15 * SECOND + SECOND / 10;
    world.worker(0).frozen_until = world.now + 15 * SECOND;
    let pinged = || lines.iter().filter(|line| is_pinged(line)).count();
    while pinged() < lines.len() {
        let before = pinged();
        world.turn();
        assert!(pinged() - before <= 32, "{} in one turn keep others waiting", pinged() - before);
        world.sleep(end);
        assert!(world.now < end || pinged() == lines.len(), "the server sleeps over them");
    }
}
