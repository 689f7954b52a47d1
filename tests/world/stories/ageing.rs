//! Connections that grow old: each client is told its moment once, and closed after it only where that is asked for.

use std::time::Duration;

use slackwater::policy::reconnect_notices::ReconnectTerms;

use crate::client::Client;
use crate::crowd::{crowd, told_by_crowds};
use crate::draw::{SECOND, house, patient, strict};
use crate::ear::Heard;
use crate::fates::Fate;
use crate::random::Random;
use crate::speech::handshake;
use crate::stories::{answers, count, heard, news, positions};
use crate::world::World;
use crate::{asked_seed, behaviour, for_each_seed};

/// Why a client was told to move, in order.
fn reasons(client: &Client) -> Vec<String> {
    let line = client.line.borrow();
    let reason = |(_, heard): &(usize, Heard)| match heard {
        Heard::Reconnect(notice) => Some(notice.reason.clone()),
        _ => None,
    };
    line.ear.heard.iter().filter_map(reason).collect()
}

/// Half of those who are told heed it; the others are closed in time.
#[test]
fn a_client_with_an_old_connection_is_told_its_moment_once_and_closed_only_after_it() {
    let (codes, of_streams) = told_by_crowds(9000..9100, |seed| {
        let mut random = Random::new(seed);
        let mut setup = strict(&mut random);
        let (max_age, close_after) = (random.millis(500..6000), Some(random.millis(0..5000)));
        setup.terms.reconnect = Some(ReconnectTerms { spread: SECOND, close_after, max_age: Some(max_age) });
        crowd(&mut random, setup, if seed % 50 == 0 { 300 } else { 20 }, true).run_to_the_end()
    });
    assert!(of_streams.partings > 30 || asked_seed().is_some(), "{of_streams:?}");
    let has_all = [1001, 1012].iter().all(|code| codes.contains_key(&Some(*code)));
    assert!(has_all || asked_seed().is_some(), "{codes:?}");
}

#[test]
fn a_client_that_was_told_its_moment_is_told_another_when_the_server_leaves() {
    let (mut twice, mut once) = (0, 0);
    for_each_seed(9100..9200, |seed| {
        let mut random = Random::new(seed);
        let mut setup = strict(&mut random);
        let (spread, may_stay) = (random.millis(0..10_000), random.millis(0..5000));
        let close_after = random.chance(60).then_some(may_stay);
        setup.terms.reconnect =
            Some(ReconnectTerms { spread, close_after, max_age: Some(random.millis(500..6000)) });
        let mut world = crowd(&mut random, setup, 20, true);
        world.fates = vec![(random.millis(2000..12_000), Fate::Redeployed)];
        let world = world.run_to_the_end();
        assert!(world.has_left());
        for client in &world.crowd.clients {
            match reasons(client).iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["connection_age", "server_restart"] => twice += 1,
                ["connection_age"] => once += 1,
                _ => {}
            }
        }
    });
    assert!(twice > 10 && once > 10 || asked_seed().is_some(), "{twice} {once}");
}

#[test]
fn those_who_are_old_together_are_told_a_slice_in_each_turn_and_nobody_waits_for_them() {
    for_each_seed(9250..9253, |seed| {
        let mut world = ageing_alone(seed, SECOND);
        let handshake = handshake("topic=news");
        let clients: Vec<_> = (0..300).map(|_| world.connect_to(0, 1 << 20, &handshake)).collect();
        world.calm_down();
        world.stretch_turn(20 * SECOND);
        let young = world.connect_to(0, 1 << 20, &handshake);
        let mut told = vec![];
        for turn in 0..3 {
            world.turn();
            young.borrow_mut().send(b"\x81\x82\0\0\0\0hi");
            assert_eq!(answers(&young).len(), 2 + turn, "the welcome, and each echo in its turn");
            told.push(clients.iter().filter(|line| answers(line).len() == 3).count());
        }
        // In each turn 128 are written to, and one of them is the young one.
        assert_eq!(told, [127, 254, 300]);
    });
}

/// Others hear much meanwhile: when it moves, what its welcome names is long forgotten, and its notice names what is not.
#[test]
fn a_client_of_a_quiet_topic_that_moves_by_its_notice_has_missed_nothing() {
    for_each_seed(9400..9405, |seed| {
        let mut setup = patient(0);
        let max_age = Some(10 * SECOND);
        setup.terms.reconnect = Some(ReconnectTerms { spread: SECOND, close_after: None, max_age });
        setup.terms.history.age = 3 * SECOND;
        (setup.has_witness, setup.is_followed, setup.notify_interval) = (false, false, Some(SECOND));
        let mut world = house(seed, setup);
        let quiet = world.connect_to(0, 1 << 20, &handshake("topic=quiet"));
        world.run_while(|_| count(&quiet, |heard| matches!(heard, Heard::Reconnect(_))) == 0);
        let place = |heard: &Heard| match heard {
            Heard::Welcome { last, .. } => Some(*last),
            Heard::Reconnect(notice) => notice.last,
            _ => None,
        };
        let places: Vec<_> = quiet.borrow().ear.heard.iter().filter_map(|(_, heard)| place(heard)).collect();
        let resumed = places.iter().map(|last| {
            let back = world.connect_to(0, 1 << 20, &handshake(&format!("topic=quiet&last_event_id={last}")));
            world.run_while(|_| heard(&back).0.is_none());
            heard(&back).0
        });
        assert_eq!(resumed.collect::<Vec<_>>(), [Some(false), Some(true)], "{places:?}");
    });
}

/// A crowd that has come at once.
#[test]
fn clients_that_have_come_together_are_told_one_after_the_other() {
    for_each_seed(9200..9203, |seed| {
        let mut random = Random::new(seed);
        let mut setup = patient(0);
        (setup.has_witness, setup.is_followed) = (false, false);
        let max_age = Some(100 * SECOND);
        setup.terms.reconnect = Some(ReconnectTerms { spread: SECOND, close_after: Some(SECOND), max_age });
        let mut world = World::new(random.fork(), setup);
        for _ in 0..300 {
            world.crowd.invite(Duration::ZERO, behaviour::listener(&mut random));
        }
        world.run_until(90 * SECOND - 6 * SECOND);
        assert!(world.crowd.clients.iter().all(|client| reasons(client).is_empty()));
        world.run_until(95 * SECOND);
        let told = world.crowd.clients.iter().filter(|client| reasons(client).len() == 1).count();
        assert!((120..180).contains(&told), "{told} of 300 after half of the time");
        world.run_until(106 * SECOND);
        assert!(world.crowd.clients.iter().all(|client| reasons(client) == ["connection_age"]));
    });
}

fn ageing_alone(seed: u64, close_after: Duration) -> World {
    let mut setup = patient(0);
    let max_age = Some(10 * SECOND);
    setup.terms.reconnect = Some(ReconnectTerms { spread: SECOND, close_after: Some(close_after), max_age });
    (setup.has_witness, setup.is_followed) = (false, false);
    house(seed, setup)
}

/// The first has been told its moment when it departs, and whoever comes then is given its key.
#[test]
fn a_client_has_its_own_age_though_its_key_was_another_s() {
    for_each_seed(9300..9310, |seed| {
        let mut world = ageing_alone(seed, 3 * SECOND);
        let first = world.connect_to(0, 1 << 20, &handshake("topic=news"));
        world.run_while(|_| answers(&first).len() < 3);
        first.borrow_mut().fail(std::io::ErrorKind::ConnectionReset);
        world.calm_down();
        let second = world.connect_to(0, 1 << 20, &handshake("topic=news"));
        let start = world.now;
        world.run_until(start + 8 * SECOND - SECOND / 10);
        assert_eq!(answers(&second).len(), 2, "{:?}", answers(&second));
        world.run_until(start + 15 * SECOND);
        assert_eq!(answers(&second).len(), 4, "{:?}", answers(&second));
        assert_eq!(answers(&second).last().map(String::as_str), Some("Close(Some(1012))"));
    });
}

#[test]
fn what_is_published_in_the_turn_in_which_a_client_is_closed_goes_ahead_of_the_close() {
    for_each_seed(9350..9360, |seed| {
        let mut world = ageing_alone(seed, SECOND);
        let client = world.connect_to(0, 1 << 20, &handshake("topic=news"));
        world.run_while(|_| answers(&client).len() < 3);
        // By the end of this turn its time is over, but nobody is judged before all that has come is read.
        world.stretch_turn(5 * SECOND);
        world.turn();
        assert_eq!(answers(&client).len(), 3);
        world.connect(1 << 20, &news(1, 10));
        world.turn();
        world.calm_down();
        assert_eq!(positions(&client), [1]);
        assert_eq!(answers(&client).last().map(String::as_str), Some("Close(Some(1012))"));
    });
}

#[test]
fn workers_that_step_down_give_their_clients_a_moment_of_their_leaving() {
    for_each_seed(9400..9405, |seed| {
        let mut setup = patient(1);
        let max_age = Some(2 * SECOND);
        setup.terms.reconnect = Some(ReconnectTerms { spread: SECOND, close_after: None, max_age });
        setup.patience = 20 * SECOND;
        let mut world = house(seed, setup);
        let client = world.connect_to(0, 1 << 20, &handshake("topic=news"));
        let start = world.now;
        world.run_until(start + 3 * SECOND);
        world.fulfil(Fate::Signalled);
        world.run_for(3 * SECOND);
        let told: Vec<_> = answers(&client).into_iter().filter(|one| one.starts_with("Reconnect")).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("connection_age") && told[1].contains("server_restart"), "{told:?}");
        assert!(!client.borrow().dropped);
    });
}
