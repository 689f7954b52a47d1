//! Links that fail for a while, and links that fail for good: the first is nobody's end, the second nobody's death.

use std::time::Duration;

use slackwater::policy::roster::WorkerId;
use slackwater::server::relay::WorkerEvent;

use crate::draw::{HOUR, SECOND, house, patient};
use crate::for_each_seed;
use crate::pipe::Side;
use crate::speech::handshake;
use crate::stories::{answers, heard, hold, news, positions, publish, resume_behind};
use crate::world::World;

/// From here on all that is read and written at this end of a worker's link fails for want of memory, or nothing any more.
fn run_short(world: &mut World, worker: WorkerId, side: Side, is_short: bool) {
    let percent = if is_short { 100 } else { 0 };
    world.worker(worker).link().run_short(side, percent);
}

#[test]
fn a_link_without_memory_for_a_while_is_tried_again_and_nobody_is_killed() {
    for side in [Side::Supervisor, Side::Worker] {
        for_each_seed(4300..4305, |seed| {
            // Neither beats nor answers wake this worker: only that it tries again.
            let (is_quiet, mut setup) = (seed % 2 == 1, patient(2));
            setup.healthcheck = if is_quiet { HOUR } else { setup.healthcheck };
            let mut world = house(seed, setup);
            let listener = world.connect_to(0, 1 << 20, &handshake("topic=news"));
            world.calm_down();
            run_short(&mut world, 0, side, true);
            let publisher = (!is_quiet).then(|| world.connect_to(0, 1 << 20, &news(1, 10)));
            publish(&mut world, 1, 2..=3, 10);
            // Longer than a worker may be silent.
            world.run_for(8 * SECOND);
            assert!(positions(&listener).len() < 2);
            run_short(&mut world, 0, side, false);
            world.run_for(SECOND);
            let count = if is_quiet { 2 } else { 3 };
            assert_eq!(positions(&listener), Vec::from_iter(1..=count));
            assert!(publisher.is_none_or(|line| answers(&line) == ["200 id"]));
            assert_eq!((world.reigns[0].supervisor().kills, world.reigns[0].supervisor().starts), (0, 2));
        });
    }
}

#[test]
fn the_processes_sleep_while_a_link_has_no_memory() {
    let mut world = house(0, patient(1));
    for side in [Side::Supervisor, Side::Worker] {
        run_short(&mut world, 0, side, true);
    }
    publish(&mut world, 0, 1..=3, 10);
    // A loop that never slept would take thousands of turns: run_while and sleep watch that it rests.
    for _ in 0..40 {
        world.calm_down();
        world.sleep(world.now + Duration::from_millis(100));
    }
    assert_eq!(world.truth.newest(0xbeef), 0);
}

#[test]
fn a_worker_whose_link_is_broken_leaves_gently_and_is_replaced_at_once() {
    for side in [Side::Supervisor, Side::Worker] {
        for_each_seed(4400..4405, |seed| {
            let mut world = house(seed, patient(2));
            let client = world.connect_to(0, 1 << 20, &handshake("topic=news"));
            world.calm_down();
            let start = world.now;
            world.worker(0).link().break_at(side);
            publish(&mut world, 1, 1..=1, 10);
            world.run_while(|world| world.reigns[0].supervisor().starts < 3 || !world.reigns[0].is_whole());
            assert!(world.now < start + 2 * SECOND, "it waits for what cannot come");
            let line = world.connect_to(2, 1 << 20, &resume_behind(0));
            world.run_for(5 * SECOND);
            assert_eq!((heard(&line), world.reigns[0].supervisor().kills), ((Some(true), vec![1]), 0));
            // It was told to go when its worker's patience was over, and not cut.
            assert_eq!(answers(&client).last().map(String::as_str), Some("Close(Some(1012))"), "{side:?}");
        });
    }
}

#[test]
fn a_worker_that_has_no_time_to_take_what_waits_for_it_leaves_gently_and_is_replaced() {
    for_each_seed(4500..4505, |seed| {
        let mut world = house(seed, patient(2));
        let client = world.connect_to(0, 1 << 20, &handshake("topic=news"));
        world.calm_down();
        hold(&mut world, 0, SECOND / 2);
        publish(&mut world, 1, 1..=3, 10);
        world.calm_down();
        world.supervisor().crew.on_event(0, WorkerEvent::Stuck);
        world.supervisor().is_woken = true;
        world.run_while(|world| world.reigns[0].supervisor().starts < 3 || !world.reigns[0].is_whole());
        let line = world.connect_to(2, 1 << 20, &resume_behind(0));
        world.run_for(5 * SECOND);
        assert_eq!((heard(&line), world.reigns[0].supervisor().kills), ((Some(true), vec![1, 2, 3]), 0));
        assert_eq!(answers(&client).last().map(String::as_str), Some("Close(Some(1012))"));
    });
}

#[test]
fn what_has_come_at_once_is_read_to_its_end_though_it_is_more_than_a_turn_reads() {
    for_each_seed(4600..4605, |seed| {
        let mut world = house(seed, patient(2));
        let listener = world.connect_to(1, 1 << 40, &handshake("topic=news"));
        hold(&mut world, 1, SECOND);
        publish(&mut world, 0, 1..=20, 100_000);
        world.run_for(SECOND + SECOND / 10);
        assert_eq!(positions(&listener), Vec::from_iter(1..=20));
    });
}
