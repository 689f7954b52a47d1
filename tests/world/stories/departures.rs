//! Whoever is gone is let go of in the turn that is told so, whatever it was doing, and no limit of time has to be reached.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;

use slackwater::policy::rate::Rate;
use support::frames::TEXT;

use crate::draw::{house, patient};
use crate::for_each_seed;
use crate::random::Random;
use crate::socket::Line;
use crate::speech::{frame, handshake};
use crate::stories::{publish, resume_behind};
use crate::world::World;

/// Somebody in one of the phases.
fn in_phase(world: &mut World, random: &mut Random, phase: usize) -> Rc<RefCell<Line>> {
    let whole = 1 << 20;
    let little = random.within(1..250);
    let page = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let watches = handshake("topic=notifications");
    let (capacity, request) = match phase {
        0 => (whole, ""),
        1 => (whole, "GET / HT"),
        2 => (whole, page),
        3 => (little, page),
        4 => (whole, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
        5 => (little, &*watches),
        6 => (little + 250, &*resume_behind(1)),
        _ => (whole, &*watches),
    };
    let line = world.connect(capacity, request);
    match phase {
        // Not masked: it has broken the protocol, and is told so.
        7 => line.borrow_mut().send(b"\x81\x01x"),
        // It says more than it may, and is held back.
        8 => (0..50).for_each(|_| line.borrow_mut().send(&frame(random, TEXT, b"x"))),
        _ => {}
    }
    line
}

#[test]
fn whoever_is_reset_is_let_go_of_at_once_whatever_it_was_doing_and_before_or_behind_its_end() {
    for_each_seed(12_500..12_600, |seed| {
        let mut random = Random::new(seed);
        let mut setup = patient(0);
        setup.terms.messages = Some(Rate::new(0.01, 10.0));
        let mut world = house(seed, setup);
        publish(&mut world, 0, 1..=20, 100);
        world.calm_down();
        let line = in_phase(&mut world, &mut random, (seed % 10) as usize);
        (0..random.below(10)).for_each(|_| world.turn());
        if random.chance(50) {
            line.borrow_mut().end();
            (0..random.below(10)).for_each(|_| world.turn());
        }
        line.borrow_mut().fail(ErrorKind::ConnectionReset);
        (0..5).for_each(|_| world.turn());
        assert!(line.borrow().dropped, "{line:?}");
    });
}

#[test]
fn whoever_closes_before_it_is_answered_is_let_go_of_with_the_answer() {
    for_each_seed(12_600..12_700, |seed| {
        let mut random = Random::new(seed);
        let mut world = house(seed, patient(0));
        publish(&mut world, 0, 1..=20, 100);
        world.calm_down();
        let line = in_phase(&mut world, &mut random, (seed % 8) as usize);
        line.borrow_mut().close();
        (0..5).for_each(|_| world.turn());
        assert!(line.borrow().dropped, "{line:?}");
    });
}
