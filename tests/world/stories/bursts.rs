//! More than an outbox holds, over several turns: whoever takes it hears all of it, and whoever does not is cut.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::draw::{house, patient};
use crate::ear::Heard;
use crate::for_each_seed;
use crate::socket::Line;
use crate::speech::handshake;
use crate::stories::{last_heard, news, positions};
use crate::world::World;

/// A listener with room for so much in its socket, and a publisher.
fn listener_and_publisher(
    seed: u64,
    outbox_bytes: usize,
    capacity: usize,
) -> (World, [Rc<RefCell<Line>>; 2]) {
    let mut setup = patient(0);
    setup.terms.limits.outbox_bytes = outbox_bytes;
    // What somebody is still being brought is kept all the same.
    setup.terms.history.publications = 0;
    let mut world = house(seed, setup);
    let lines = [world.connect(capacity, &handshake("topic=news")), world.connect(1 << 20, "")];
    world.calm_down();
    (world, lines)
}

#[test]
fn a_burst_of_many_times_the_outbox_is_heard_by_whoever_keeps_reading() {
    for_each_seed(2700..2720, |seed| {
        let (mut world, [listener, publisher]) = listener_and_publisher(seed, 10_000, 5000);
        for turn in 0..60 {
            (1..=3).for_each(|n| publisher.borrow_mut().send(news(turn * 3 + n, 1000).as_bytes()));
            world.turn();
            world.tick();
            listener.borrow_mut().take(2000);
        }
        let most = listener.borrow().most_offered;
        assert!(most < 16_000, "{most} bytes waited in the outbox");
        while positions(&listener).len() < 180 {
            assert!(listener.borrow_mut().take(2000) > 0 || world.worker(0).has_work(), "it is forgotten");
            world.turn();
            world.tick();
        }
        assert_eq!(positions(&listener), Vec::from_iter(1..=180));
    });
}

#[test]
fn whoever_takes_nothing_for_a_second_is_cut_when_too_much_waits() {
    for_each_seed(2800..2810, |seed| {
        let (mut world, [listener, publisher]) = listener_and_publisher(seed, 10_000, 3000);
        for token in 1..=13 {
            publisher.borrow_mut().send(news(token, 1000).as_bytes());
            world.turn();
            world.now += Duration::from_millis(150);
        }
        listener.borrow_mut().take(usize::MAX);
        world.calm_down();
        assert_eq!(last_heard(&listener), Some(Heard::Close(Some(4001))));
    });
}
