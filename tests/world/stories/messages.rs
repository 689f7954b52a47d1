//! Clients that send more messages than they may are held back: nothing of it is lost, and nobody is closed for it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use slackwater::policy::rate::Rate;
use slackwater::process::crew::Signal;
use support::frames::{CLOSE, PING, TEXT};

use crate::draw::{SECOND, alone};
use crate::ear::Heard;
use crate::for_each_seed;
use crate::random::Random;
use crate::reign::Setup;
use crate::socket::Line;
use crate::speech::{frame, handshake};
use crate::stories::count;
use crate::world::World;

/// A server that takes so many messages of each client, and says nothing by itself unless this changes it.
fn limited(seed: u64, rate: Rate, change: impl FnOnce(&mut Setup)) -> World {
    alone(seed, |setup| {
        setup.terms.messages = Some(rate);
        let limits = &mut setup.terms.limits;
        (limits.rules.max_message_bytes, limits.outbox_bytes) = (1000, 1 << 20);
        (limits.ping_interval, setup.notify_interval) = (None, None);
        change(setup);
    })
}

/// The numbers of the messages that were answered.
fn answered(line: &RefCell<Line>) -> Vec<usize> {
    line.borrow_mut().take(usize::MAX);
    let number = |(_, heard): &(usize, Heard)| match heard {
        Heard::Echo(text, _) => text.strip_prefix("nr ")?.split(' ').next()?.parse().ok(),
        _ => None,
    };
    line.borrow().ear.heard.iter().filter_map(number).collect()
}

/// A client that says so many numbered messages at once behind its handshake, with pings between them.
fn loud(world: &mut World, random: &mut Random, messages: usize) -> Rc<RefCell<Line>> {
    let line = world.connect(1 << 30, &handshake("topic=notifications"));
    for nr in 0..messages {
        let text = format!("nr {nr} {}", "x".repeat(random.below(300)));
        let message = frame(random, TEXT, text.as_bytes());
        line.borrow_mut().send(&message);
        if random.chance(10) {
            let ping = frame(random, PING, b"?");
            line.borrow_mut().send(&ping);
        }
    }
    line
}

#[test]
fn what_is_too_much_is_heard_later_in_its_order_and_never_faster_than_the_rate() {
    for_each_seed(11_000..11_020, |seed| {
        let mut random = Random::new(seed);
        let (rate, burst) = (random.within(1..40) as f64, random.within(1..30) as f64);
        let mut world = limited(seed, Rate::new(rate, burst), |_| {});
        let messages = random.within(50..150);
        let line = loud(&mut world, &mut random, messages);
        let began = world.now;
        loop {
            world.run_for(Duration::from_millis(20));
            let so_far = answered(&line);
            assert_eq!(so_far, (0..so_far.len()).collect::<Vec<_>>());
            let most = burst + rate * (world.now - began).as_secs_f64();
            assert!(so_far.len() as f64 <= most + 0.001, "{} answers of {most}", so_far.len());
            if so_far.len() == messages {
                break;
            }
            // Nor is anything forgotten.
            let at_rate = (messages as f64 - burst).max(0.0) / rate;
            assert!((world.now - began).as_secs_f64() < at_rate + 0.5, "{} answers", so_far.len());
        }
        assert_eq!(count(&line, |heard| matches!(heard, Heard::Close(_))), 0);
    });
}

#[test]
fn who_is_held_back_hears_what_is_published_and_is_not_taken_for_silent() {
    for_each_seed(11_100..11_110, |seed| {
        let mut random = Random::new(seed);
        let mut world = limited(seed, Rate::new(0.1, 1.0), |setup| {
            let limits = &mut setup.terms.limits;
            (limits.ping_interval, limits.ping_timeout) = (Some(SECOND), Some(SECOND));
            setup.notify_interval = Some(SECOND);
        });
        let line = loud(&mut world, &mut random, 3);
        world.run_for(9 * SECOND);
        assert_eq!(answered(&line), [0]);
        assert!(count(&line, |heard| matches!(heard, Heard::Publication(..))) >= 8);
        assert_eq!(count(&line, |heard| matches!(heard, Heard::Close(_))), 0);
        world.run_for(15 * SECOND);
        assert_eq!(answered(&line), [0, 1, 2]);
    });
}

#[test]
fn who_is_held_back_and_is_closed_can_part_in_peace() {
    for_each_seed(11_200..11_210, |seed| {
        let mut random = Random::new(seed);
        let mut world = limited(seed, Rate::new(0.1, 1.0), |_| {});
        let line = loud(&mut world, &mut random, 500);
        // What it says last is there already when it is let go, and no event announces it again.
        let close = frame(&mut random, CLOSE, &1000_u16.to_be_bytes());
        line.borrow_mut().send(&close);
        line.borrow_mut().end();
        world.run_for(SECOND);
        assert_eq!((answered(&line), line.borrow().dropped), (vec![0], false));
        world.reign().signal(Signal::Leave("SIGTERM"));
        world.reign().signal(Signal::Leave("SIGTERM"));
        let told_at = world.now;
        world.run_while(|_| !line.borrow().dropped);
        assert!(world.now < told_at + SECOND / 2 && !line.borrow().dropped_over_unread);
        assert_eq!(count(&line, |heard| matches!(heard, Heard::Close(_))), 1);
    });
}
