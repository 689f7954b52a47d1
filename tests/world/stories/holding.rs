//! Requests that are under way when all workers are held, as these hand over: whoever has asked is answered, if that takes no longer
//! than it may.

use std::time::Duration;

use slackwater::policy::handover::WINDING_UP;
use slackwater::policy::handover::crew::HOLDING;

use crate::draw::{SECOND, house, patient};
use crate::ear::Id;
use crate::for_each_seed;
use crate::stories::{answers, hold, hold_up, news, positions, publish, stream};

#[test]
fn a_request_that_is_under_way_when_all_are_held_is_answered_unless_it_takes_too_long() {
    let a_moment = Duration::from_millis(100);
    let in_time = WINDING_UP + a_moment..WINDING_UP + HOLDING - a_moment;
    let too_late = WINDING_UP + HOLDING + a_moment..4 * SECOND;
    for_each_seed(33_200..33_210, |seed| {
        for (takes, is_published) in
            [(in_time.start, true), (in_time.end, true), (too_late.start, false), (too_late.end, false)]
        {
            let mut world = house(seed, patient(2));
            let listener = world.connect_to(1, 1 << 20, &stream(None));
            let publisher = world.connect_to(0, 1 << 20, "");
            world.calm_down();
            // What it asks for is on its way to the supervisor all the time.
            hold_up(&mut world, 0, takes);
            publisher.borrow_mut().send(news(1, 10).as_bytes());
            world.turn();
            assert!(world.begin_succession(2, None));
            world.run_while(|world| world.succession.is_some());
            world.begin_calmly();
            world.run_for(5 * SECOND);
            world.connect_to_any(&news(2, 10));
            world.run_for(SECOND);
            let told = answers(&publisher);
            let status = if is_published { "200 " } else { "503 " };
            assert!(matches!(&told[..], [answer] if answer.starts_with(status)), "{takes:?}: {told:?}");
            assert_eq!(world.handovers, [0, 1]);
            let published = if is_published { 2 } else { 1 };
            assert_eq!(positions(&listener), Vec::from_iter(1..=published), "{takes:?}");
        }
    });
}

#[test]
fn a_stream_that_waits_for_what_its_client_has_heard_elsewhere_is_asked_for_again_rather_than_waited_for() {
    for to in [0, 1, 2] {
        let mut world = house(33_300, patient(2));
        // A worker is told late of what a client has heard elsewhere, and what it asks about that takes long.
        hold(&mut world, 0, SECOND / 2);
        hold_up(&mut world, 0, WINDING_UP + HOLDING + SECOND);
        publish(&mut world, 1, 1..=1, 10);
        world.run_for(SECOND / 10);
        let waits = world.connect_to(0, 1 << 20, &stream(Some(Id { epoch: 0xbeef, position: 1 })));
        world.turn();
        assert!(world.begin_succession(to, None));
        publish(&mut world, 1, 2..=3, 10);
        world.run_while(|world| world.succession.is_some());
        world.run_for(5 * SECOND);
        assert_eq!(world.handovers, [0, 1], "to {to}");
        let told = answers(&waits);
        let is_told_when =
            told.get(1).is_some_and(|it| it.starts_with("Primed { retry") && it.contains("id: None"));
        assert!(waits.borrow().outbound_ended && is_told_when && told.len() == 3, "to {to}: {told:?}");
    }
}
