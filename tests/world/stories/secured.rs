//! Clients who speak TLS: whatever their server does, it is said to them as to any other, and moves with them.

use std::cell::RefCell;
use std::rc::Rc;

use slackwater::server::control::Control;

use crate::draw::{SECOND, house, patient};
use crate::for_each_seed;
use crate::random::Random;
use crate::socket::Line;
use crate::speech::{TEXT, frame, handshake};
use crate::stories::{answers, positions, publish};
use crate::world::World;

/// A client of one process that takes so much at once.
fn listener(world: &mut World, capacity: usize) -> Rc<RefCell<Line>> {
    let line = world.connect_by_tls(0, capacity, &handshake("topic=news"));
    world.calm_down();
    line
}

/// Reads a little at a time for so long.
fn read_slowly(world: &mut World, line: &RefCell<Line>, seconds: u32) {
    for nth in 0..seconds * 50 {
        line.borrow_mut().take(1 + nth as usize % 900);
        world.run_for(SECOND / 50);
    }
}

#[test]
fn whoever_takes_little_hears_all_once_and_in_order_through_several_servers() {
    for_each_seed(36_000..36_010, |seed| {
        let mut world = house(seed, patient(0));
        let line = listener(&mut world, 40_000);
        for nth in 0..4 {
            publish(&mut world, 0, nth * 10 + 1..=nth * 10 + 10, 5000);
            read_slowly(&mut world, &line, 1);
            assert!(world.begin_succession(0, None));
            world.run_while(|world| world.succession.is_some());
            line.borrow_mut().send(&frame(&mut Random::new(1), TEXT, b"it speaks meanwhile"));
        }
        read_slowly(&mut world, &line, 20);
        assert_eq!(world.handovers, [0, 4]);
        assert_eq!(positions(&line), Vec::from_iter(1..=40));
    });
}

#[test]
fn who_does_not_end_a_handshake_in_time_stays_and_who_has_not_begun_moves() {
    for_each_seed(36_100..36_110, |seed| {
        let mut world = house(seed, patient(0));
        let silent = world.connect_by_tls(0, 1 << 20, "");
        // It takes nothing of what it is answered.
        let deaf = world.connect_by_tls(0, 100, &handshake("topic=news"));
        world.calm_down();
        assert!(world.begin_succession(0, None));
        world.run_while(|world| world.succession.is_some());
        world.run_for(3 * SECOND);
        assert_eq!(world.handovers, [0, 1]);
        assert!(!silent.borrow().dropped && positions(&deaf).is_empty());
        silent.borrow_mut().send(handshake("topic=news").as_bytes());
        world.calm_down();
        publish(&mut world, 0, 1..=1, 10);
        world.calm_down();
        assert_eq!(positions(&silent).len(), 1);
    });
}

#[test]
fn whoever_has_closed_its_side_hears_the_rest_and_the_end() {
    for_each_seed(36_200..36_210, |seed| {
        let mut world = house(seed, patient(0));
        let line = listener(&mut world, 1 << 20);
        line.borrow_mut().close_tls();
        world.run_for(3 * SECOND);
        assert!(line.borrow().outbound_ended);
    });
}

#[test]
fn who_is_parted_with_is_told_why() {
    for_each_seed(36_300..36_310, |seed| {
        let mut world = house(seed, patient(0));
        let line = listener(&mut world, 1 << 20);
        (0..2).for_each(|_| world.worker(0).signal(Control::Leave("SIGTERM")));
        world.run_for(10 * SECOND);
        assert_eq!(answers(&line).last().map(String::as_str), Some("Close(Some(1012))"));
        assert!(line.borrow().outbound_ended);
    });
}
