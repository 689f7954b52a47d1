//! The sharpest moments, one by one: who is ahead, who is late, who is killed, who takes nothing.

use slackwater::config::secret::Secret;
use support::HEALTHZ;

use crate::draw::{HOUR, SECOND, house, patient};
use crate::fates::Fate;
use crate::pipe::{Pace, Side};
use crate::random::Random;
use crate::speech::{TEXT, frame, handshake};
use crate::stories::{answers, heard, hold, hold_up, news, publish, resume_behind};
use crate::world::World;
use crate::{asked_seed, for_each_seed};

fn news_with_key(token: u64) -> String {
    news(token, 1).replacen("Host: x", &format!("Host: x\r\nIdempotency-Key: key-{token}"), 1)
}

#[test]
fn who_is_ahead_of_a_worker_is_resumed_once_the_worker_has_caught_up() {
    for_each_seed(3000..3020, |seed| {
        let mut world = house(seed, patient(2));
        hold(&mut world, 1, SECOND);
        publish(&mut world, 0, 1..=5, 10);
        let ahead = world.connect_to(1, 1 << 20, &resume_behind(4));
        let late = world.connect_to(1, 1 << 20, &resume_behind(0));
        world.calm_down();
        assert_eq!((heard(&ahead), heard(&late)), ((None, vec![]), (Some(true), vec![])));
        world.run_for(2 * SECOND);
        assert_eq!((heard(&ahead), heard(&late)), ((Some(true), vec![5]), (Some(true), vec![1, 2, 3, 4, 5])));
    });
}

#[test]
fn who_comes_from_the_future_is_told_so_and_not_kept_waiting() {
    let mut world = house(0, patient(2));
    let line = world.connect_to(1, 1 << 20, &resume_behind(7));
    world.calm_down();
    assert_eq!(heard(&line), (Some(false), vec![]));
}

#[test]
fn answers_come_in_the_order_of_the_requests() {
    for_each_seed(3100..3120, |seed| {
        let mut world = house(seed, patient(2));
        hold(&mut world, 0, SECOND);
        let wrong = "POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Type: application/json\r\n\r\n{";
        let large = "POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n";
        let request = [&news(1, 1), HEALTHZ, wrong, &news(2, 1), &news(3, 1), wrong, large].concat();
        let line = world.connect_to(0, 1 << 20, &request);
        world.run_for(2 * SECOND);
        let error = "400 error";
        assert_eq!(answers(&line), ["200 id", "200 status", error, "200 id", "200 id", error, "413 error"]);
    });
}

#[test]
fn a_refusal_waits_for_the_answers_before_it() {
    let with_body = "POST /publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n";
    for (refused, answer) in [
        (format!("{with_body}Content-Length: 99999999\r\n\r\n"), "413 error"),
        ("no HTTP\r\n\r\n".to_owned(), "400 error"),
        (news(2, 1), "401 error"),
        (format!("{with_body}Expect: 100-continue\r\nContent-Length: 1\r\n\r\n"), "Garbled"),
    ] {
        for_each_seed(3150..3155, |seed| {
            let mut world = house(seed, patient(1));
            world.setup.terms.access.token = Some(Secret::read("x").unwrap());
            world.fulfil(Fate::Crashed);
            world.begin_calmly();
            hold(&mut world, 0, SECOND);
            let granted = news(1, 1).replacen("Host: x", "Host: x\r\nAuthorization: Bearer x", 1);
            let line = world.connect_to(0, 1 << 20, &[&*granted, &refused].concat());
            world.run_for(2 * SECOND);
            let answers = answers(&line);
            assert!(
                answers.len() == 2 && answers[0] == "200 id" && answers[1].starts_with(answer),
                "{answers:?}"
            );
        });
    }
}

#[test]
fn who_has_departed_counts_no_more() {
    for_each_seed(3250..3270, |seed| {
        let mut world = house(seed, patient(2));
        let witnesses = world.reign().clients();
        let lines = [0, 1, 1].map(|worker| world.connect_to(worker, 1 << 20, &handshake("topic=news")));
        world.calm_down();
        assert_eq!(world.reign().clients(), witnesses + 3);
        lines[1].borrow_mut().end();
        world.calm_down();
        assert_eq!(world.reign().clients(), witnesses + 2);
    });
}

#[test]
fn who_ends_its_side_behind_its_requests_is_answered_all() {
    for_each_seed(3200..3220, |seed| {
        let mut world = house(seed, patient(1));
        hold(&mut world, 0, SECOND);
        let request = [&news(1, 1), HEALTHZ, &news(2, 1)].concat();
        let line = world.connect_to(0, 1000, &request);
        line.borrow_mut().end();
        world.run_for(2 * SECOND);
        assert_eq!(answers(&line), ["200 id", "200 status", "200 id"]);
        line.borrow_mut().take(usize::MAX);
        world.run_until(world.now + 2 * SECOND);
        assert!(line.borrow().outbound_ended && line.borrow().dropped);
    });
}

#[test]
fn who_becomes_a_client_behind_publications_is_understood() {
    for_each_seed(3300..3320, |seed| {
        let mut world = house(seed, patient(1));
        hold(&mut world, 0, SECOND);
        let line =
            world.connect_to(0, 1 << 20, &[news(1, 1), news(2, 1), handshake("topic=orders")].concat());
        let command = frame(&mut Random::new(seed), TEXT, br#"{"type":"subscribe","topic":"news"}"#);
        line.borrow_mut().send(&command);
        world.run_for(2 * SECOND);
        publish(&mut world, 0, 3..=3, 1);
        world.calm_down();
        assert_eq!(answers(&line)[..3], ["200 id", "200 id", "Switched"]);
        assert_eq!(heard(&line), (Some(false), vec![3]));
    });
}

#[test]
fn what_was_asked_before_the_leaving_is_answered_before_what_comes_behind_it() {
    for_each_seed(3400..3420, |seed| {
        let mut world = house(seed, patient(2));
        let line = world.connect_to(1, 1 << 20, &[news(1, 1), news(2, 1)].concat());
        let listener = world.connect_to(0, 1 << 20, &handshake("topic=news"));
        world.connect_to(1, 1 << 20, &handshake("topic=orders"));
        world.calm_down();
        hold_up(&mut world, 1, SECOND / 4);
        line.borrow_mut().send([news(3, 1), news(4, 1)].concat().as_bytes());
        world.calm_down();
        world.fulfil(Fate::Shrink);
        world.calm_down();
        assert!(world.worker(1).server.is_leaving());
        line.borrow_mut().send(news(5, 1).as_bytes());
        world.run_for(SECOND / 2);
        assert_eq!(answers(&line), ["200 id"; 4]);
        assert_eq!(heard(&listener).1, [1, 2, 3, 4]);
        assert!(line.borrow().outbound_ended);
    });
}

#[test]
fn a_way_up_that_was_full_is_gone_on_as_soon_as_there_is_room() {
    for_each_seed(3500..3520, |seed| {
        let mut world = house(seed, patient(1));
        world.worker(0).link().narrow_toward(Side::Supervisor, 100);
        publish(&mut world, 0, 1..=10, 1000);
        world.calm_down();
        assert_eq!(world.truth.newest(0xbeef), 10);
    });
}

/// One more worker is started, which is told only so much at a time.
fn start_a_slow_one(world: &mut World) {
    world.supervisor().setup.pace =
        Some(Pace { capacity: 30_000, piece: 30_000, delay: SECOND / 50, shortage: 0 });
    world.fulfil(Fate::Grow);
    world.turn();
}

#[test]
fn a_late_worker_is_told_the_history_before_it_serves() {
    // Of so many it is told a part, and the rest when it has taken that.
    for_each_seed(3600..3602, |seed| {
        let mut world = house(seed, patient(1));
        publish(&mut world, 0, 1..=300, 1100);
        world.calm_down();
        start_a_slow_one(&mut world);
        // What is published ahead of a question is handed on at once, though not to those who catch up.
        let requests: String = (301..=310).map(|token| news(token, 1100) + HEALTHZ).collect();
        world.connect_to(0, 1 << 20, &requests);
        world.run_while(|world| !world.reigns[0].is_whole());
        let line = world.connect_to(1, 1 << 30, &resume_behind(0));
        world.run_for(5 * SECOND);
        assert_eq!(heard(&line), (Some(true), Vec::from_iter(1..=310)));
    });
}

#[test]
fn a_history_that_forgets_while_a_worker_catches_up_leaves_no_hole() {
    for_each_seed(3700..3702, |seed| {
        let mut setup = patient(1);
        setup.terms.history.publications = 600;
        let mut world = house(seed, setup);
        publish(&mut world, 0, 1..=600, 1100);
        world.calm_down();
        start_a_slow_one(&mut world);
        publish(&mut world, 0, 601..=1200, 1100);
        world.run_while(|world| world.truth.newest(0xbeef) < 1200);
        assert!(!world.reign().is_whole(), "it had no time to forget");
        world.run_while(|world| !world.reigns[0].is_whole());
        let line = world.connect_to(1, 1 << 30, &resume_behind(1190));
        world.run_for(5 * SECOND);
        assert_eq!(heard(&line), (Some(true), Vec::from_iter(1191..=1200)));
    });
}

#[test]
fn where_nothing_is_kept_who_has_heard_all_is_resumed_and_nobody_else() {
    for_each_seed(3800..3820, |seed| {
        let mut setup = patient(2);
        setup.terms.history.publications = 0;
        let mut world = house(seed, setup);
        publish(&mut world, 0, 1..=5, 10);
        world.calm_down();
        world.fulfil(Fate::Grow);
        world.begin_calmly();
        for worker in 0..3 {
            let (up_to_date, late) = (
                world.connect_to(worker, 1 << 20, &resume_behind(5)),
                world.connect_to(worker, 1 << 20, &resume_behind(4)),
            );
            world.calm_down();
            assert_eq!((heard(&up_to_date).0, heard(&late).0), (Some(true), Some(false)));
        }
    });
}

#[test]
fn a_publication_whose_worker_is_killed_is_made_once_when_it_is_tried_again() {
    let mut positions = vec![];
    for_each_seed(3900..3960, |seed| {
        let mut world = house(seed, patient(2));
        let listener = world.connect_to(1, 1 << 20, &handshake("topic=news"));
        let cut = world.connect_to(0, 1 << 20, &news_with_key(1));
        (0..seed % 4).for_each(|_| world.turn());
        world.reign().kill(0);
        let again = world.connect_to(1, 1 << 20, &[news(2, 1), news_with_key(1)].concat());
        world.calm_down();
        assert_eq!((heard(&listener).1, answers(&again)), (vec![1, 2], vec!["200 id".to_owned(); 2]));
        positions.push((answers(&cut).len(), world.truth.order(0xbeef)[0].token));
    });
    let all = [(0, Some(1)), (0, Some(2)), (1, Some(1))];
    assert!(all.iter().all(|one| positions.contains(one)) || asked_seed().is_some(), "{positions:?}");
}

#[test]
fn a_worker_that_takes_nothing_keeps_the_others_waiting_for_a_second_at_most() {
    for_each_seed(4000..4002, |seed| {
        let mut world = house(seed, patient(2));
        let listener = world.connect_to(1, 1 << 40, &handshake("topic=news"));
        listener.borrow_mut().ear.is_deaf = true;
        let frozen = world.worker(0).link.clone().expect("it has a supervisor");
        frozen.borrow_mut().narrow_toward(Side::Worker, 100_000);
        world.worker(0).frozen_until = HOUR;
        let start = world.now;
        publish(&mut world, 1, 1..=90, 100_000);
        while listener.borrow().unread_by_client() < 90 * 100_000 {
            world.turn();
            world.sleep(HOUR);
            assert!(world.now < start + 5 * SECOND, "it waits for a worker that takes nothing");
        }
        assert!(frozen.borrow().most_offered(Side::Supervisor) < 16 << 20);
        world.run_while(|world| world.reigns[0].supervisor().kills == 0 || !world.reigns[0].is_whole());
        let line = world.connect_to(2, 1 << 40, &resume_behind(89));
        world.calm_down();
        assert_eq!(heard(&line), (Some(true), vec![90]));
    });
}

#[test]
fn a_server_that_leaves_publishes_nothing_more() {
    for_each_seed(4100..4120, |seed| {
        let mut world = house(seed, patient(2));
        hold(&mut world, 0, SECOND / 4);
        let line = world.connect_to(0, 1 << 20, "");
        world.calm_down();
        world.fulfil(Fate::Redeployed);
        line.borrow_mut().send(news(1, 1).as_bytes());
        world.turn();
        world.turn();
        line.borrow_mut().send(news(2, 1).as_bytes());
        world.run_for(SECOND / 2);
        assert_eq!(answers(&line)[0], "503 error");
        assert_eq!(world.truth.newest(0xbeef), 0);
    });
}

#[test]
fn without_a_supervisor_nobody_waits_for_an_answer() {
    for_each_seed(4200..4220, |seed| {
        let mut world = house(seed, patient(2));
        hold(&mut world, 0, SECOND / 4);
        let line = world.connect_to(0, 1 << 20, &[&news(1, 1), HEALTHZ, &news(2, 1)].concat());
        let listener = world.connect_to(0, 1 << 20, &resume_behind(3));
        world.calm_down();
        world.fulfil(Fate::Crashed);
        world.run_for(4 * SECOND);
        // The answer may have been on its way.
        assert!(matches!(answers(&line)[0].as_str(), "200 id" | "503 error"), "{line:?}");
        assert!(
            line.borrow().outbound_ended && answers(&listener) == ["503 error"] && world.orphans.is_empty()
        );
    });
}

#[test]
fn publishers_are_held_back_while_the_supervisor_does_not_take_what_they_have_sent() {
    for_each_seed(4660..4662, |seed| {
        let mut world = house(seed, patient(1));
        world.worker(0).link().narrow_toward(Side::Supervisor, 1000);
        hold_up(&mut world, 0, HOUR);
        let requests: String = (1..=100).map(|token| news(token, 100_000)).collect();
        let line = world.connect_to(0, 1 << 20, &requests);
        world.run_for(SECOND);
        assert!(world.worker(0).link().most_offered(Side::Worker) < 6 << 20);
        assert!(line.borrow().unread_by_server() > 3 << 20);
        world.let_everything_through();
        hold_up(&mut world, 0, SECOND / 100);
        world.run_for(SECOND);
        assert_eq!(answers(&line).len(), 100);
    });
}

#[test]
fn a_worker_that_takes_whatever_it_is_told_is_told_the_whole_history_without_a_pause() {
    for_each_seed(4680..4682, |seed| {
        let mut setup = patient(1);
        // Nothing else is said to it meanwhile.
        setup.healthcheck = HOUR;
        let mut world = house(seed, setup);
        publish(&mut world, 0, 1..=10, 100_000);
        world.calm_down();
        let start = world.now;
        world.fulfil(Fate::Grow);
        world.run_while(|world| !world.reigns[0].is_whole());
        assert!(world.now < start + SECOND);
    });
}

/// What a process takes of the machine is never the same twice, and what is longer may travel in other pieces.
#[test]
fn a_seed_repeats_even_the_numbers_of_all_processes() {
    for_each_seed(4690..4700, |seed| {
        let numbers = || house(seed, patient(2)).scrape();
        assert_eq!(numbers(), numbers());
    });
}
