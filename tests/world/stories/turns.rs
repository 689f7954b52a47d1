//! What one turn of a server does at most.

use std::cell::RefCell;
use std::ops::Range;

use crate::draw::{house, patient};
use crate::socket::Line;
use crate::speech::handshake;
use crate::stories::{news, post};
use crate::world::World;

/// One process that nobody listens to.
fn deserted(seed: u64) -> World {
    let mut setup = patient(0);
    setup.has_witness = false;
    house(seed, setup)
}

/// How much has been answered, all of which it takes.
fn answers(line: &RefCell<Line>) -> usize {
    line.borrow_mut().take(usize::MAX);
    line.borrow().ear.heard.len()
}

/// Short, and makes a megabyte of publications.
fn megabyte(token: u64) -> String {
    post(&("news&topic=news".to_owned() + &"&topic=news".repeat(248)), token, 4000)
}

#[test]
fn what_is_published_in_one_turn_is_bounded_and_each_publisher_has_its_turn() {
    const REQUESTS: u64 = 8;
    let mut world = deserted(2500);
    let mut connect = |tokens: Range<u64>| world.connect(1 << 40, &tokens.map(megabyte).collect::<String>());
    let many = connect(0..REQUESTS);
    let others: Vec<_> = (REQUESTS..16).map(|token| connect(token..token + 1)).collect();
    let (mut answered, mut turns) = (0, 0);
    while turns == 0 || world.worker(0).has_work() {
        world.turn();
        let now_answered = answers(&many) + others.iter().map(|line| answers(line)).sum::<usize>();
        assert!(now_answered - answered <= 5, "{} in one turn", now_answered - answered);
        (answered, turns) = (now_answered, turns + 1);
        if turns == 2 {
            let have_all_had_theirs = answers(&many) < 8 && others.iter().any(|line| answers(line) == 1);
            assert!(have_all_had_theirs, "only one had its turn");
        }
    }
    assert_eq!(answered, 16);
}

#[test]
fn what_is_handed_to_listeners_in_one_turn_is_bounded_however_much_each_has_to_hear() {
    let mut world = deserted(2600);
    let listeners: Vec<_> = (0..16).map(|_| world.connect(1 << 40, &handshake("topic=news"))).collect();
    listeners.iter().for_each(|line| line.borrow_mut().ear.is_deaf = true);
    world.connect(1 << 40, &megabyte(1));
    let unread = || listeners.iter().map(|line| line.borrow().unread_by_client()).sum::<usize>();
    let mut heard = 0;
    while heard == 0 || world.worker(0).has_work() {
        world.turn();
        assert!(unread() - heard < 6 << 20, "{} bytes in one turn", unread() - heard);
        heard = unread();
    }
    assert!(heard > 16 * 250 * 4000);
}

#[test]
fn requests_that_have_come_together_are_answered_in_one_turn_whatever_is_among_them() {
    // A world whose socket takes the answers at once.
    let mut world = deserted(2701);
    let request: String = (0..50).map(|token| news(token, 10) + support::HEALTHZ).collect();
    let line = world.connect(1 << 40, &request);
    world.turn();
    assert_eq!(answers(&line), 100);
}
