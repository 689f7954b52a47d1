//! Who has agreed on compression among others: each publication is compressed once, for whoever has room for it, and nobody
//! waits for anybody's inflating.

use std::cell::RefCell;
use std::rc::Rc;

use crate::compression::Window;
use crate::draw::{SECOND, alone, house, patient};
use crate::ear::Heard;
use crate::for_each_seed;
use crate::random::Random;
use crate::reign::Setup;
use crate::socket::Line;
use crate::speech::{self, TEXT, frame, handshake};
use crate::stories::{count, heard, last_heard, positions, publish, resume_behind};
use crate::world::World;

fn compressing(workers: usize) -> Setup {
    let mut setup = patient(workers);
    setup.terms.compresses = true;
    setup
}

/// Connects somebody with a window of so many bits, or without any.
fn connect(world: &mut World, worker: u32, bits: Option<u8>, request: &str) -> Rc<RefCell<Line>> {
    let offer = bits.map(|bits| format!("permessage-deflate; server_max_window_bits={bits}"));
    let fields = offer.map(|offer| format!("Host: x\r\nSec-WebSocket-Extensions: {offer}"));
    let request = request.replacen("Host: x", fields.as_deref().unwrap_or("Host: x"), 1);
    let line = world.connect_to(worker, 1 << 20, &request);
    line.borrow_mut().ear.window = bits.map(Window::named);
    line
}

/// How many publications have come compressed.
fn deflated(line: &RefCell<Line>) -> usize {
    line.borrow().ear.deflated.len()
}

#[test]
fn a_publication_is_compressed_once_for_all_whose_windows_have_room_for_it() {
    for_each_seed(12_000..12_005, |seed| {
        let mut world = house(seed, compressing(0));
        let bits = [None, Some(9), Some(10), Some(11), Some(12), Some(15), None, Some(12)];
        let lines = bits.map(|bits| connect(&mut world, 0, bits, &handshake("topic=news")));
        world.calm_down();
        // Some 120 bytes more in a message; a window of 11 bits has 2048.
        publish(&mut world, 0, 1..=1, 1800);
        publish(&mut world, 0, 2..=2, 2000);
        publish(&mut world, 0, 3..=3, 100);
        world.calm_down();
        assert!(lines.iter().all(|line| positions(line) == [1, 2, 3]));
        assert_eq!(lines.each_ref().map(|line| deflated(line)), [0, 0, 0, 1, 2, 2, 0, 2]);
        assert_eq!(world.ask_for_compressed(), 2);
    });
}

#[test]
fn what_nobody_has_room_for_or_hears_is_not_compressed() {
    for_each_seed(12_010..12_015, |seed| {
        let mut world = house(seed, compressing(0));
        for bits in [None, Some(9), Some(10)] {
            connect(&mut world, 0, bits, &handshake("topic=news"));
        }
        connect(&mut world, 0, Some(15), &handshake("topic=orders"));
        world.calm_down();
        publish(&mut world, 0, 1..=5, 2000);
        world.calm_down();
        assert_eq!(world.ask_for_compressed(), 0);
    });
}

#[test]
fn whoever_comes_back_hears_what_was_compressed_for_others_and_each_worker_has_compressed_it_once() {
    for_each_seed(12_020..12_025, |seed| {
        let mut world = house(seed, compressing(2));
        for worker in [0, 1] {
            connect(&mut world, worker, Some(15), &handshake("topic=news"));
        }
        world.calm_down();
        publish(&mut world, 0, 1..=5, 2000);
        world.calm_down();
        for worker in [0, 1] {
            for bits in [Some(15), Some(14), None] {
                let line = connect(&mut world, worker, bits, &resume_behind(2));
                world.calm_down();
                let compressed = if bits.is_some() { 3 } else { 0 };
                assert_eq!((heard(&line), deflated(&line)), ((Some(true), vec![3, 4, 5]), compressed));
            }
        }
        assert_eq!(world.ask_for_compressed(), 10);
    });
}

#[test]
fn what_is_compressed_later_costs_no_publication_its_place() {
    for_each_seed(12_030..12_033, |seed| {
        let mut setup = compressing(0);
        (setup.has_witness, setup.terms.history.bytes) = (false, 100_000);
        let mut world = house(seed, setup);
        publish(&mut world, 0, 1..=200, 400);
        world.calm_down();
        let kept = |world: &mut World| world.worker(0).server.history().positions();
        let before = kept(&mut world);
        let reader = connect(&mut world, 0, Some(15), &resume_behind(*before.start() - 1));
        world.calm_down();
        assert!(deflated(&reader) > 0 && positions(&reader).iter().copied().eq(before.clone()));
        assert_eq!(kept(&mut world), before);
        world.worker(0).audit_history();
    });
}

#[test]
fn whoever_sends_what_inflates_to_much_keeps_nobody_waiting_and_is_answered_all() {
    const MESSAGES: usize = 300;
    for_each_seed(12_040..12_043, |seed| {
        let mut random = Random::new(seed);
        let mut world = alone(seed, |setup| {
            (setup.terms.compresses, setup.notify_interval) = (true, None);
            let limits = &mut setup.terms.limits;
            (limits.outbox_bytes, limits.rules.max_message_bytes) = (100_000, 50_000);
        });
        let hostile = connect(&mut world, 0, Some(15), &handshake("topic=news"));
        let long = "x".repeat(50_000);
        for _ in 0..MESSAGES {
            let said = speech::message(&mut random, Some(Window::LARGEST), true, long.as_bytes());
            hostile.borrow_mut().send(&said.bytes);
        }
        let others = [None, Some(12)].map(|bits| connect(&mut world, 0, bits, &handshake("topic=news")));
        let is_echo = |heard: &Heard| matches!(heard, Heard::Echo(..));
        let (mut turns, mut answered) = (0, 0);
        while answered < MESSAGES {
            turns += 1;
            let hello = frame(&mut random, TEXT, b"hello");
            others.iter().for_each(|line| line.borrow_mut().send(&hello));
            world.turn();
            world.tick();
            let [plain, compressing] = [0, 1].map(|other: usize| count(&others[other], is_echo));
            // Whoever may compress, too, is heard behind the other one, whose message may have taken a whole turn.
            assert!(plain == turns && compressing + 2 >= turns, "somebody waits");
            let now_answered = count(&hostile, is_echo);
            assert!(now_answered - answered <= 2, "{} in one turn", now_answered - answered);
            assert!(
                hostile.borrow_mut().take(usize::MAX) > 0 || world.worker(0).has_work(),
                "it is forgotten"
            );
            answered = now_answered;
        }
        let most = hostile.borrow().most_offered;
        assert!(most < 150_000, "{most} bytes waited");
    });
}

#[test]
fn a_message_that_inflates_to_one_byte_too_many_ends_who_sends_it_and_nobody_else() {
    for_each_seed(12_050..12_055, |seed| {
        let mut random = Random::new(seed);
        let mut world = house(seed, compressing(0));
        let mut send = |world: &mut World, bytes: usize| {
            let line = connect(world, 0, Some(15), &handshake("topic=news"));
            let text = "x".repeat(bytes);
            let said = speech::message(&mut random, Some(Window::LARGEST), true, text.as_bytes());
            line.borrow_mut().send(&said.bytes);
            line
        };
        let (good, bad) = (send(&mut world, 1000), send(&mut world, 1001));
        world.run_for(SECOND / 10);
        publish(&mut world, 0, 1..=1, 2000);
        world.calm_down();
        assert_eq!(last_heard(&bad), Some(Heard::Close(Some(1009))));
        assert_eq!((positions(&good), deflated(&good)), (vec![1], 1));
        assert_eq!(count(&good, |heard| matches!(heard, Heard::Echo(..))), 1);
    });
}
