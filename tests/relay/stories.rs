//! The sharpest moments, one by one: who is ahead, who is late, who is killed, who takes nothing.

use std::cell::RefCell;
use std::time::Duration;

use slackwater::config::secret::Secret;
use slackwater::policy::history::HistoryLimits;
use slackwater::policy::roster::WorkerId;
use slackwater::process::crew::Signal;
use slackwater::server::limits::Limits;
use slackwater::wire::websocket::Rules;

use crate::ear::Heard;
use crate::pipe::{Pace, Side};
use crate::random::Random;
use crate::socket::Line;
use crate::speech::{TEXT, frame, handshake};
use crate::world::{Fate, World};
use crate::{GENEROUS, HOUR, custom, for_each_seed};

pub const SECOND: Duration = Duration::from_secs(1);

/// So many workers serve, and no limit is there to help anything that is forgotten.
pub fn house(seed: u64, count: usize, history: HistoryLimits) -> World {
    let rules = Rules { max_message_bytes: 1000, binary: false };
    let limits = Limits {
        handshake: HOUR,
        keep_alive: HOUR,
        ping_interval: None,
        ping_timeout: None,
        write: HOUR,
        outbox_bytes: 1 << 26,
        rules,
    };
    let mut custom = custom(limits, history);
    (custom.pace, custom.healthcheck) = (Some(Pace::PROMPT), 10 * SECOND);
    let mut world = World::new(Random::new(seed), custom, count);
    world.run_while(|world| !world.reigns[0].crew.is_complete() || !world.is_at_rest());
    world
}

pub fn calm_down(world: &mut World) {
    world.run_while(|world| !world.is_at_rest());
}

pub fn post(token: u64, bytes: usize) -> String {
    let body = format!("{token} {}", "x".repeat(bytes));
    let length = body.len();
    format!("POST /publish?topic=news HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn post_with_key(token: u64) -> String {
    post(token, 1).replacen("Host: x", &format!("Host: x\r\nIdempotency-Key: key-{token}"), 1)
}

/// Somebody who listens to the news behind this position.
pub fn resume_behind(position: u64) -> String {
    handshake(&format!("topic=news&last_event_id=0000beef-{position}"))
}

/// What a line has been told: the status of each response with the beginning of its body.
pub fn answers(line: &RefCell<Line>) -> Vec<String> {
    let answer = |(_, heard): &(usize, Heard)| match heard {
        Heard::Response { status, body, .. } => {
            let text = String::from_utf8_lossy(body);
            format!("{status} {}", text.trim_matches(['{', '"']).split(['"', ',']).next().unwrap_or(""))
        }
        other => format!("{other:?}"),
    };
    line.borrow().ear.heard.iter().map(answer).collect()
}

/// The positions that a line has been told of, and whether it was resumed.
pub fn heard(line: &RefCell<Line>) -> (Option<bool>, Vec<u64>) {
    let (mut resumed, mut positions) = (None, Vec::new());
    for (_, heard) in &line.borrow().ear.heard {
        match heard {
            Heard::Welcome { resumed: is_resumed, .. } => resumed = Some(*is_resumed),
            Heard::Publication(id, _) => positions.push(id.position),
            _ => {}
        }
    }
    (resumed, positions)
}

/// Nothing of what the supervisor says reaches this worker for so long.
pub fn hold(world: &mut World, id: WorkerId, duration: Duration) {
    let until = world.now + duration;
    world.worker(id).pipe.borrow_mut().hold_toward(Side::Worker, until);
}

/// Nothing of what this worker says reaches the supervisor for so long.
pub fn hold_up(world: &mut World, id: WorkerId, duration: Duration) {
    let until = world.now + duration;
    world.worker(id).pipe.borrow_mut().hold_toward(Side::Supervisor, until);
}

pub fn publish(world: &mut World, worker: WorkerId, tokens: std::ops::RangeInclusive<u64>, bytes: usize) {
    let requests: String = tokens.map(|token| post(token, bytes)).collect();
    world.connect_to(worker, 1 << 20, &requests);
}

#[test]
fn who_is_ahead_of_a_worker_is_resumed_once_the_worker_has_caught_up() {
    for_each_seed(3000..3020, |seed| {
        let mut world = house(seed, 2, GENEROUS);
        hold(&mut world, 1, SECOND);
        publish(&mut world, 0, 1..=5, 10);
        let ahead = world.connect_to(1, 1 << 20, &resume_behind(4));
        let late = world.connect_to(1, 1 << 20, &resume_behind(0));
        calm_down(&mut world);
        assert_eq!((heard(&ahead), heard(&late)), ((None, vec![]), (Some(true), vec![])));
        world.run_until(world.now + 2 * SECOND);
        assert_eq!((heard(&ahead), heard(&late)), ((Some(true), vec![5]), (Some(true), vec![1, 2, 3, 4, 5])));
    });
}

#[test]
fn who_comes_from_the_future_is_told_so_and_not_kept_waiting() {
    let mut world = house(0, 2, GENEROUS);
    let line = world.connect_to(1, 1 << 20, &resume_behind(7));
    calm_down(&mut world);
    assert_eq!(heard(&line), (Some(false), vec![]));
}

#[test]
fn answers_come_in_the_order_of_the_requests() {
    for_each_seed(3100..3120, |seed| {
        let mut world = house(seed, 2, GENEROUS);
        hold(&mut world, 0, SECOND);
        let healthz = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
        let wrong = "POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Type: application/json\r\n\r\n{";
        let large = "POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n";
        let request = [&post(1, 1), healthz, wrong, &post(2, 1), &post(3, 1), wrong, large].concat();
        let line = world.connect_to(0, 1 << 20, &request);
        world.run_until(world.now + 2 * SECOND);
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
        (post(2, 1), "401 error"),
        (format!("{with_body}Expect: 100-continue\r\nContent-Length: 1\r\n\r\n"), "Garbled"),
    ] {
        for_each_seed(3150..3155, |seed| {
            let mut world = house(seed, 1, GENEROUS);
            world.custom.terms.access.token = Some(Secret::read("x").unwrap());
            world.fulfil(Fate::Crashed);
            world.run_while(|world| !world.reigns[0].crew.is_complete() || !world.is_at_rest());
            hold(&mut world, 0, SECOND);
            let granted = post(1, 1).replacen("Host: x", "Host: x\r\nAuthorization: Bearer x", 1);
            let line = world.connect_to(0, 1 << 20, &[&*granted, &refused].concat());
            world.run_until(world.now + 2 * SECOND);
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
        let mut world = house(seed, 2, GENEROUS);
        let witnesses = world.reign().crew.clients();
        let lines = [0, 1, 1].map(|worker| world.connect_to(worker, 1 << 20, &handshake("topic=news")));
        calm_down(&mut world);
        assert_eq!(world.reign().crew.clients(), witnesses + 3);
        lines[1].borrow_mut().end();
        calm_down(&mut world);
        assert_eq!(world.reign().crew.clients(), witnesses + 2);
    });
}

#[test]
fn who_ends_its_side_behind_its_requests_is_answered_all() {
    for_each_seed(3200..3220, |seed| {
        let mut world = house(seed, 1, GENEROUS);
        hold(&mut world, 0, SECOND);
        let request = [&post(1, 1), "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", &post(2, 1)].concat();
        let line = world.connect_to(0, 1000, &request);
        line.borrow_mut().end();
        world.run_until(world.now + 2 * SECOND);
        assert_eq!(answers(&line), ["200 id", "200 status", "200 id"]);
        assert!(line.borrow().outbound_ended && line.borrow().dropped);
    });
}

#[test]
fn who_becomes_a_client_behind_publications_is_understood() {
    for_each_seed(3300..3320, |seed| {
        let mut world = house(seed, 1, GENEROUS);
        hold(&mut world, 0, SECOND);
        let line =
            world.connect_to(0, 1 << 20, &[post(1, 1), post(2, 1), handshake("topic=orders")].concat());
        let command = frame(&mut Random::new(seed), TEXT, br#"{"type":"subscribe","topic":"news"}"#);
        line.borrow_mut().send(&command);
        world.run_until(world.now + 2 * SECOND);
        publish(&mut world, 0, 3..=3, 1);
        calm_down(&mut world);
        assert_eq!(answers(&line)[..3], ["200 id", "200 id", "Switched"]);
        assert_eq!(heard(&line), (Some(false), vec![3]));
    });
}

#[test]
fn what_was_asked_before_the_leaving_is_answered_before_what_comes_behind_it() {
    for_each_seed(3400..3420, |seed| {
        let mut world = house(seed, 2, GENEROUS);
        let line = world.connect_to(1, 1 << 20, &[post(1, 1), post(2, 1)].concat());
        let listener = world.connect_to(0, 1 << 20, &handshake("topic=news"));
        world.connect_to(1, 1 << 20, &handshake("topic=orders"));
        calm_down(&mut world);
        hold_up(&mut world, 1, SECOND / 4);
        line.borrow_mut().send([post(3, 1), post(4, 1)].concat().as_bytes());
        calm_down(&mut world);
        world.fulfil(Fate::Shrink);
        calm_down(&mut world);
        assert!(world.worker(1).server.is_leaving());
        line.borrow_mut().send(post(5, 1).as_bytes());
        world.run_until(world.now + SECOND / 2);
        assert_eq!(answers(&line), ["200 id"; 4]);
        assert_eq!(heard(&listener).1, [1, 2, 3, 4]);
        assert!(line.borrow().outbound_ended);
    });
}

#[test]
fn a_way_up_that_was_full_is_gone_on_as_soon_as_there_is_room() {
    for_each_seed(3500..3520, |seed| {
        let mut world = house(seed, 1, GENEROUS);
        world.worker(0).pipe.borrow_mut().narrow_toward(Side::Supervisor, 100);
        publish(&mut world, 0, 1..=10, 1000);
        calm_down(&mut world);
        assert_eq!(world.truth.newest(0xbeef), 10);
    });
}

/// One more worker is started, which is told only so much at a time.
fn start_a_slow_one(world: &mut World) {
    world.reign().custom.pace =
        Some(Pace { capacity: 30_000, piece: 30_000, delay: SECOND / 50, shortage: 0 });
    world.fulfil(Fate::Grow);
    world.turn();
}

#[test]
fn a_late_worker_is_told_the_history_before_it_serves() {
    // Of so many it is told a part, and the rest when it has taken that.
    for_each_seed(3600..3602, |seed| {
        let mut world = house(seed, 1, GENEROUS);
        publish(&mut world, 0, 1..=300, 1100);
        calm_down(&mut world);
        start_a_slow_one(&mut world);
        // What is published ahead of a question is handed on at once, though not to those who catch up.
        let healthz = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
        let requests: String = (301..=310).map(|token| post(token, 1100) + healthz).collect();
        world.connect_to(0, 1 << 20, &requests);
        world.run_while(|world| !world.reigns[0].crew.is_complete());
        let line = world.connect_to(1, 1 << 30, &resume_behind(0));
        world.run_until(world.now + 5 * SECOND);
        assert_eq!(heard(&line), (Some(true), Vec::from_iter(1..=310)));
    });
}

#[test]
fn a_history_that_forgets_while_a_worker_catches_up_leaves_no_hole() {
    for_each_seed(3700..3702, |seed| {
        let mut world = house(seed, 1, HistoryLimits { publications: 300, ..GENEROUS });
        publish(&mut world, 0, 1..=300, 1100);
        calm_down(&mut world);
        start_a_slow_one(&mut world);
        publish(&mut world, 0, 301..=600, 1100);
        world.run_while(|world| world.truth.newest(0xbeef) < 600);
        assert!(!world.reign().crew.is_complete(), "it had no time to forget");
        world.run_while(|world| !world.reigns[0].crew.is_complete());
        let line = world.connect_to(1, 1 << 30, &resume_behind(590));
        world.run_until(world.now + 5 * SECOND);
        assert_eq!(heard(&line), (Some(true), Vec::from_iter(591..=600)));
    });
}

#[test]
fn where_nothing_is_kept_who_has_heard_all_is_resumed_and_nobody_else() {
    for_each_seed(3800..3820, |seed| {
        let mut world = house(seed, 2, HistoryLimits { publications: 0, ..GENEROUS });
        publish(&mut world, 0, 1..=5, 10);
        calm_down(&mut world);
        world.fulfil(Fate::Grow);
        world.run_while(|world| !world.reigns[0].crew.is_complete() || !world.is_at_rest());
        for worker in 0..3 {
            let (up_to_date, late) = (
                world.connect_to(worker, 1 << 20, &resume_behind(5)),
                world.connect_to(worker, 1 << 20, &resume_behind(4)),
            );
            calm_down(&mut world);
            assert_eq!((heard(&up_to_date).0, heard(&late).0), (Some(true), Some(false)));
        }
    });
}

#[test]
fn a_publication_whose_worker_is_killed_is_made_once_when_it_is_tried_again() {
    let mut positions = vec![];
    for_each_seed(3900..3960, |seed| {
        let mut world = house(seed, 2, GENEROUS);
        let listener = world.connect_to(1, 1 << 20, &handshake("topic=news"));
        let cut = world.connect_to(0, 1 << 20, &post_with_key(1));
        (0..seed % 4).for_each(|_| world.turn());
        world.reign().kill(0);
        let again = world.connect_to(1, 1 << 20, &[post(2, 1), post_with_key(1)].concat());
        calm_down(&mut world);
        assert_eq!((heard(&listener).1, answers(&again)), (vec![1, 2], vec!["200 id".to_owned(); 2]));
        positions.push((answers(&cut).len(), world.truth.order(0xbeef)[0].token));
    });
    let all = [(0, Some(1)), (0, Some(2)), (1, Some(1))];
    assert!(all.iter().all(|one| positions.contains(one)) || crate::asked_seed().is_some(), "{positions:?}");
}

#[test]
fn a_worker_that_takes_nothing_keeps_the_others_waiting_for_a_second_at_most() {
    for_each_seed(4000..4002, |seed| {
        let mut world = house(seed, 2, GENEROUS);
        let listener = world.connect_to(1, 1 << 40, &handshake("topic=news"));
        listener.borrow_mut().ear.is_deaf = true;
        let frozen = world.worker(0).pipe.clone();
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
        world.run_while(|world| world.reigns[0].kills == 0 || !world.reigns[0].crew.is_complete());
        let line = world.connect_to(2, 1 << 40, &resume_behind(89));
        calm_down(&mut world);
        assert_eq!(heard(&line), (Some(true), vec![90]));
    });
}

#[test]
fn a_server_that_leaves_publishes_nothing_more() {
    for_each_seed(4100..4120, |seed| {
        let mut world = house(seed, 2, GENEROUS);
        hold(&mut world, 0, SECOND / 4);
        let line = world.connect_to(0, 1 << 20, "");
        calm_down(&mut world);
        world.reign().signals.push(Signal::Leave);
        world.reign().is_woken = true;
        line.borrow_mut().send(post(1, 1).as_bytes());
        world.turn();
        world.turn();
        line.borrow_mut().send(post(2, 1).as_bytes());
        world.run_until(world.now + SECOND / 2);
        assert_eq!(answers(&line)[0], "503 error");
        assert_eq!(world.truth.newest(0xbeef), 0);
    });
}

#[test]
fn without_a_supervisor_nobody_waits_for_an_answer() {
    for_each_seed(4200..4220, |seed| {
        let mut world = house(seed, 2, GENEROUS);
        hold(&mut world, 0, SECOND / 4);
        let healthz = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
        let line = world.connect_to(0, 1 << 20, &[&post(1, 1), healthz, &post(2, 1)].concat());
        let listener = world.connect_to(0, 1 << 20, &resume_behind(3));
        calm_down(&mut world);
        world.fulfil(Fate::Crashed);
        world.run_until(world.now + 4 * SECOND);
        // The answer may have been on its way.
        assert!(matches!(answers(&line)[0].as_str(), "200 id" | "503 error"), "{line:?}");
        assert!(
            line.borrow().outbound_ended && heard(&listener).0 == Some(false) && world.orphans.is_empty()
        );
    });
}
