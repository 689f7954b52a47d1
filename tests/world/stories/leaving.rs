//! Those who are there while a worker steps down or a server leaves with a delay: nobody is lost without a word.

use std::time::Duration;

use slackwater::policy::reconnect_notices::ReconnectTerms;
use slackwater::process::crew::Signal;
use slackwater::server::control::Control;
use support::HEALTHZ;

use crate::client::Act;
use crate::crowd::{crowd, told_by_crowds};
use crate::draw::{GENEROUS, HOUR, Lot, SECOND, alone, house, patient, strict};
use crate::ear::Heard;
use crate::fates::Fate;
use crate::random::Random;
use crate::speech::handshake;
use crate::stories::drawn::crew;
use crate::stories::{answers, heard, hold_up, news, resume_behind};
use crate::told::Told;
use crate::world::World;
use crate::{asked_seed, behaviour, for_each_seed};

fn is_leaving(world: &World, id: u32) -> bool {
    world.workers().all(|worker| worker.place.id != id || worker.server.is_leaving())
}

#[test]
fn a_worker_that_steps_down_answers_newcomers_in_every_phase() {
    for is_signalled in [false, true] {
        for_each_seed(5000..5010, |seed| {
            let (mut world, mut random) = (house(seed, patient(1)), Random::new(seed));
            world.supervisor().setup.terms.reconnect =
                Some(ReconnectTerms { spread: SECOND, close_after: None, max_age: None });
            world.fulfil(Fate::Grow);
            world.run_while(|world| !world.reigns[0].is_whole());
            let client = world.connect_to(1, 1 << 20, &handshake("topic=orders"));
            world.calm_down();
            hold_up(&mut world, 1, SECOND / 4);
            let request = news(1, 10);
            let (start, rest) = request.split_at(random.within(1..request.len()));
            let mut connect = |request: &str| world.connect_to(1, 1 << 20, request);
            let [silent, mute, half, posting, upgrading] =
                ["", "", start, &news(2, 10), &resume_behind(0)].map(&mut connect);
            (0..random.below(4)).for_each(|_| world.turn());
            match is_signalled {
                false => world.fulfil(Fate::Shrink),
                true => world.worker(1).signal(Control::Leave("SIGTERM")),
            }
            world.run_while(|world| !is_leaving(world, 1));
            (0..random.below(4)).for_each(|_| world.turn());
            silent.borrow_mut().send(resume_behind(0).as_bytes());
            half.borrow_mut().send(rest.as_bytes());
            world.run_while(|world| world.workers().any(|worker| worker.place.id == 1));
            assert_eq!(
                (answers(&half), answers(&posting)),
                (vec!["200 id".to_owned()], vec!["200 id".to_owned()])
            );
            assert_eq!(
                [heard(&silent), heard(&upgrading)],
                [(Some(true), vec![1, 2]), (Some(true), vec![1, 2])]
            );
            for line in [&client, &silent, &upgrading] {
                let notices = answers(line).iter().filter(|answer| answer.starts_with("Reconnect")).count();
                assert_eq!(notices, 1, "whoever comes late is told to move, too");
                assert_eq!(answers(line).last().map(String::as_str), Some("Close(Some(1012))"));
            }
            assert!([half, posting].iter().all(|line| line.borrow().outbound_ended));
            assert!(mute.borrow().dropped && world.reigns[0].supervisor().kills == 0);
        });
    }
}

#[test]
fn a_server_that_leaves_with_a_delay_serves_until_then() {
    let (mut told, mut published) = (Told::default(), 0);
    for_each_seed(5100..5124, |seed| {
        let mut random = Random::new(seed);
        let crew = crew(&[Fate::Signalled, Fate::Grow]);
        let lot =
            if seed % 2 == 0 { crew } else { Lot { workers: 0..1, fates: vec![Fate::Insisted], ..crew } };
        let mut world = lot.draw(random.fork(), GENEROUS);
        world.setup.drain_delay = random.millis(100..400);
        world.fulfil(Fate::Crashed);
        world.run_until(random.millis(300..600));
        // Some take longer to begin, and workers of the one that has crashed may still serve.
        let serves = |world: &mut World| world.reign().workers.iter().any(|worker| worker.accepts);
        while !serves(&mut world) && world.now < 10 * SECOND {
            world.run_for(SECOND / 100);
        }
        let (number, before) = (world.reign().number, world.truth.all().count());
        world.fulfil(Fate::Redeployed);
        let begins = world.now + world.setup.drain_delay;
        world.run_until(begins - SECOND / 1000);
        assert!(world.reign().number == number && serves(&mut world));
        published += world.truth.all().count() - before;
        world.run_until(begins + SECOND / 500);
        assert_eq!(world.reign().number, number + 1);
        told.end(world);
    });
    told.assert_enough(published > 200);
}

#[test]
fn every_drain_ends() {
    let (codes, of_streams) = told_by_crowds(3000..3600, |seed| {
        let mut random = Random::new(seed);
        let setup = strict(&mut random);
        let mut world = crowd(&mut random, setup, 20, true);
        let first = random.millis(0..12_000);
        if random.chance(30) {
            world.fates.push((first + random.millis(0..5000), Fate::Redeployed));
        }
        world.fates.push((first, Fate::Redeployed));
        let world = world.run_to_the_end();
        assert!(world.has_left());
        world
    });
    let has_all = of_streams.partings > 150 && of_streams.postponed > 10;
    assert!(has_all || asked_seed().is_some(), "{of_streams:?}");
    assert!(codes.contains_key(&Some(1012)) || asked_seed().is_some(), "{codes:?}");
}

#[test]
fn a_drain_forgets_nobody_in_the_middle_of_a_fan_out() {
    for_each_seed(4000..4004, |seed| {
        let mut random = Random::new(seed);
        let mut setup = strict(&mut random);
        (setup.terms.concurrency, setup.notify_interval) = (None, Some(2 * SECOND));
        let mut world = World::new(random.fork(), setup);
        for _ in 0..300 {
            world.crowd.invite(random.millis(0..500), behaviour::listener(&mut random));
        }
        world.fates = vec![(2 * SECOND, Fate::Redeployed); 2];
        let world = world.run_to_the_end();
        assert!(world.has_left());
        assert_eq!(world.crowd.judge.codes, [(Some(1012), 300)].into());
    });
}

#[test]
fn the_farewell_reaches_whoever_still_takes_what_is_ahead_of_it() {
    for_each_seed(4400..4420, |seed| {
        let mut random = Random::new(seed);
        let mut world = alone(seed, |setup| {
            setup.terms.limits.outbox_bytes = 1 << 20;
            setup.notify_interval = Some(SECOND / 10);
        });
        let mut slow = behaviour::sleeper(&mut random, 300, 2 * SECOND);
        let wakes = slow.script.back_mut().expect("it wakes");
        wakes.1 = Act::Trickle(200, Duration::from_millis(400));
        world.crowd.invite(Duration::ZERO, slow);
        // It takes some six seconds over what has come until then.
        world.fates = vec![(2 * SECOND, Fate::Redeployed); 2];
        let world = world.run_to_the_end();
        assert!(world.has_left());
        assert_eq!(world.crowd.judge.codes, [(Some(1012), 1)].into());
    });
}

/// A drain that asks clients to move. Half of those who are told heed it.
#[test]
fn in_a_guided_drain_each_is_told_its_moment_once_and_closed_only_after_it() {
    let (codes, of_streams) = told_by_crowds(3600..3700, |seed| {
        let mut random = Random::new(seed);
        let mut setup = strict(&mut random);
        let (spread, may_stay) = (random.millis(0..10_000), random.millis(0..5000));
        let close_after = random.chance(60).then_some(may_stay);
        setup.terms.reconnect = Some(ReconnectTerms { spread, close_after, max_age: None });
        let mut world = crowd(&mut random, setup, if seed % 50 == 0 { 300 } else { 20 }, true);
        world.fates = vec![(random.millis(2000..12_000), Fate::Redeployed)];
        let world = world.run_to_the_end();
        assert!(world.has_left());
        world
    });
    assert!(of_streams.partings > 30 || asked_seed().is_some(), "{of_streams:?}");
    let has_all = [1001, 1012].iter().all(|code| codes.contains_key(&Some(*code)));
    assert!(has_all || asked_seed().is_some(), "{codes:?}");
}

#[test]
fn whoever_waits_at_the_door_of_a_server_that_leaves_is_answered() {
    for workers in [0, 1] {
        for_each_seed(5200..5205, |seed| {
            let mut setup = patient(workers);
            setup.has_witness = false;
            let mut world = house(seed, setup);
            world.worker(0).accepts_per_turn = 0;
            let asked = [&news(1, 10), HEALTHZ, &handshake("topic=news")];
            let waiting = asked.map(|request| world.connect(1 << 20, request));
            world.reign().signal(Signal::Leave("SIGTERM"));
            world.run_for(SECOND / 2);
            let told: Vec<_> = waiting.iter().map(|line| answers(line)).collect();
            assert!(told.iter().all(|told| told.len() == 1), "{told:?}");
        });
    }
}

#[test]
fn a_worker_that_leaves_already_is_not_hastened_by_the_leaving_of_all() {
    for_each_seed(5210..5215, |seed| {
        let mut setup = patient(2);
        setup.patience = 10 * SECOND;
        let mut world = house(seed, setup);
        let client = world.connect_to(1, 1 << 20, &handshake("topic=news"));
        world.calm_down();
        let start = world.now;
        world.reign().signal(Signal::Shrink);
        world.run_until(start + SECOND);
        world.reign().signal(Signal::Leave("SIGTERM"));
        world.run_until(start + 9 * SECOND);
        assert_eq!(answers(&client).len(), 2, "{:?}", answers(&client));
        world.run_until(start + 15 * SECOND);
        assert_eq!(answers(&client).last().map(String::as_str), Some("Close(Some(1012))"));
    });
}

#[test]
fn a_crew_that_leaves_goes_on_as_soon_as_its_workers_have_closed() {
    for_each_seed(5220..5225, |seed| {
        let mut world = house(seed, patient(2));
        world.connect_to(0, 1 << 20, &handshake("topic=news"));
        world.calm_down();
        world.reign().signal(Signal::Leave("SIGTERM"));
        // Else it waits a second for them.
        world.run_for(SECOND / 10);
        assert!(world.reigns.len() == 2 && world.reigns[0].workers[0].server.is_leaving());
    });
}

#[test]
fn whoever_waits_at_the_door_of_the_last_worker_of_a_slot_is_served() {
    for_each_seed(5230..5235, |seed| {
        let mut setup = patient(2);
        setup.has_witness = false;
        let mut world = house(seed, setup);
        world.worker(1).accepts_per_turn = 0;
        let waiting = world.connect_to(1, 1 << 20, &handshake("topic=news"));
        world.reign().signal(Signal::Shrink);
        world.run_for(SECOND / 2);
        assert_eq!(answers(&waiting).first().map(String::as_str), Some("Switched"));
    });
}

#[test]
fn what_a_worker_has_counted_until_its_end_counts() {
    for_each_seed(5240..5242, |seed| {
        let mut setup = patient(2);
        (setup.has_witness, setup.healthcheck) = (false, HOUR);
        let mut world = house(seed, setup);
        world.connect_to(1, 1 << 20, &handshake("topic=news"));
        world.calm_down();
        world.reign().signal(Signal::Shrink);
        world.run_for(5 * SECOND);
        let line = world.connect_to(0, 1 << 20, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        world.calm_down();
        let Heard::Response { body, .. } = line.borrow().ear.heard[0].1.clone() else { panic!() };
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            text.lines().any(|line| line.contains("connections_total") && line.ends_with(" 1")),
            "{text}"
        );
    });
}
