//! Clients with tokens: each is closed when its own has expired, and what one of them publishes is heard by all.

use std::cell::RefCell;
use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use slackwater::http::auth::Auth;
use slackwater::http::keys::VerifyingKeys;
use slackwater::http::token::Verifier;
use slackwater::policy::rate::Rate;
use slackwater::policy::topic::Filter;

use crate::draw::{SECOND, house, patient};
use crate::ear::Heard;
use crate::for_each_seed;
use crate::random::Random;
use crate::reign::Setup;
use crate::socket::Line;
use crate::speech::{CLOSE, PONG, TEXT, frame, handshake};
use crate::stories::{answers, hold_up, last_heard, news, positions};
use crate::world::{BEGINNING, World};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Tokens are expected, though the witnesses hear everything without one.
pub(super) fn guarded(seed: u64, workers: usize) -> World {
    guarded_as(seed, patient(workers))
}

fn guarded_as(seed: u64, mut setup: Setup) -> World {
    let verifier = Verifier::new(VerifyingKeys::of_secret(SECRET), None, None);
    setup.terms.auth = Some(Auth::new(verifier, vec![Filter::parse("*").expect("it is a filter")]).into());
    house(seed, setup)
}

/// A token that expires at this time of the world.
pub(super) fn token(expires: Duration) -> String {
    let exp = (BEGINNING + expires).as_duration().as_secs_f64();
    let claims = json!({"sub": "ada", "exp": exp, "slackwater": {"subscribe": ["*"], "publish": ["news", "elsewhere"]}});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).expect("it can be signed")
}

fn command(random: &mut Random, command: &Value) -> Vec<u8> {
    frame(random, TEXT, command.to_string().as_bytes())
}

pub(super) fn refresh(random: &mut Random, expires: Duration) -> Vec<u8> {
    command(random, &json!({"type": "refresh", "token": token(expires)}))
}

pub(super) fn listen(expires: Duration) -> String {
    handshake(&format!("topic=news&token={}", token(expires)))
}

pub(super) fn close_code(line: &RefCell<Line>) -> Option<Option<u16>> {
    line.borrow().ear.close
}

pub(super) const A_MOMENT: Duration = Duration::from_millis(2);

#[test]
fn each_client_is_closed_when_its_own_token_expires_and_not_before() {
    for_each_seed(12_000..12_020, |seed| {
        let mut random = Random::new(seed);
        let mut world = guarded(seed, random.below(3));
        let nobody = world.connect(1 << 20, &handshake("topic=news"));
        let mut clients: Vec<_> = (0..10)
            .map(|_| {
                let expires = world.now + random.millis(50..100_000);
                (expires, world.connect(1 << 20, &listen(expires)))
            })
            .collect();
        clients.sort_by_key(|(expires, _)| *expires);
        for (expires, line) in clients {
            world.run_until((expires - A_MOMENT).max(world.now));
            assert_eq!(close_code(&line), None, "{expires:?}");
            world.run_until(expires + A_MOMENT);
            assert_eq!(close_code(&line), Some(Some(4004)), "{expires:?}");
        }
        assert_eq!(close_code(&nobody), None);
    });
}

#[test]
fn a_refresh_that_has_come_in_time_counts_though_it_is_read_late() {
    for_each_seed(12_100..12_110, |seed| {
        let (mut random, mut world) = (Random::new(seed), guarded(seed, 0));
        let expires = world.now + SECOND;
        let lines = [true, false].map(|in_time| (in_time, world.connect(1 << 20, &listen(expires))));
        world.run_until(expires - A_MOMENT);
        // The process gets no time while it could have read it.
        world.worker(0).frozen_until = expires + 3 * SECOND;
        for (_, line) in lines.iter().filter(|(in_time, _)| *in_time) {
            line.borrow_mut().send(&refresh(&mut random, expires + 10 * SECOND));
        }
        world.run_until(expires + 4 * SECOND);
        for (in_time, line) in &lines {
            assert_eq!(close_code(line), (!in_time).then_some(Some(4004)));
        }
        assert_eq!(last_heard(&lines[0].1), Some(Heard::Refreshed));
        world.run_until(expires + 10 * SECOND - A_MOMENT);
        assert_eq!(close_code(&lines[0].1), None);
        world.run_until(expires + 10 * SECOND + A_MOMENT);
        assert_eq!(close_code(&lines[0].1), Some(Some(4004)));
    });
}

#[test]
fn a_token_that_expires_while_its_client_is_held_back_closes_it_behind_what_it_was_heard() {
    for_each_seed(12_900..12_920, |seed| {
        let mut setup = patient(0);
        setup.terms.messages = Some(Rate::new(0.1, 1.0));
        let (mut random, mut world) = (Random::new(seed), guarded_as(seed, setup));
        let expires = world.now + SECOND;
        let line = world.connect(1 << 20, &listen(expires));
        let mut said: Vec<Vec<u8>> =
            ["heard", "too much", "more"].map(|text| frame(&mut random, TEXT, text.as_bytes())).into();
        // It waits behind what is too much, and so it comes too late.
        said.push(refresh(&mut random, expires + 100 * SECOND));
        for message in said {
            line.borrow_mut().send(&message);
            world.run_for(random.millis(0..50));
        }
        world.run_until(expires - A_MOMENT);
        assert_eq!((close_code(&line), answers(&line).len()), (None, 3));
        world.run_until(expires + A_MOMENT);
        let told = &answers(&line)[2..];
        assert_eq!(told, ["Echo(\"heard\", Some(48879-0))", "Close(Some(4004))"]);
        line.borrow_mut().take(usize::MAX);
        line.borrow_mut().end();
        world.calm_down();
        let line = line.borrow();
        assert_eq!((line.dropped, line.dropped_over_unread, line.aborted), (true, false, false));
    });
}

#[test]
fn a_client_that_does_not_read_is_cut_behind_its_expiry_and_forgotten() {
    for_each_seed(12_200..12_210, |seed| {
        let mut world = guarded(seed, 0);
        let expires = world.now + SECOND;
        // Less than the 101 and the welcome.
        world.connect(200, &listen(expires));
        world.run_until(expires - A_MOMENT);
        // One of them is the witness.
        assert_eq!(world.worker(0).server.clients(), 2);
        world.run_until(expires + 30 * SECOND);
        assert_eq!(world.worker(0).server.clients(), 1);
    });
}

#[test]
fn whoever_left_before_its_token_expired_leaves_nothing_behind_for_its_successor() {
    for_each_seed(12_300..12_310, |seed| {
        let mut world = guarded(seed, 0);
        let expires = world.now + 5 * SECOND;
        let first = world.connect(1 << 20, &listen(expires));
        world.calm_down();
        first.borrow_mut().end();
        world.calm_down();
        // It has the key that the first one had.
        let second = world.connect(1 << 20, &listen(expires + 5 * SECOND));
        world.run_until(expires + SECOND);
        assert_eq!((close_code(&first), close_code(&second)), (None, None));
        world.run_until(expires + 5 * SECOND + A_MOMENT);
        assert_eq!(close_code(&second), Some(Some(4004)));
    });
}

#[test]
fn what_a_client_publishes_has_its_place_in_the_one_order_of_all_workers() {
    for_each_seed(12_400..12_420, |seed| {
        let (mut random, mut world) = (Random::new(seed), guarded(seed, 2));
        let forever = world.now + Duration::from_secs(10_000);
        let ears = [0, 1].map(|worker| world.connect_to(worker, 1 << 20, &handshake("topic=news")));
        let speakers = [0, 1].map(|worker| world.connect_to(worker, 1 << 20, &listen(forever)));
        let publisher = world.connect_to(1, 1 << 20, "");
        world.calm_down();
        // One worker's way to the supervisor is slow.
        hold_up(&mut world, 1, SECOND);
        for n in 0..10 {
            let publish = json!({"type": "publish", "topic": "news", "data": format!("{n} ")});
            for speaker in &speakers {
                speaker.borrow_mut().send(&command(&mut random, &publish));
            }
            publisher.borrow_mut().send(news(n, 1).as_bytes());
            world.run_for(Duration::from_millis(20));
        }
        world.run_for(2 * SECOND);
        for line in ears.iter().chain(&speakers) {
            assert_eq!(positions(line), Vec::from_iter(1..=30));
        }
        for speaker in &speakers {
            let told =
                speaker.borrow().ear.heard.iter().filter(|(_, h)| matches!(h, Heard::Published(_))).count();
            assert_eq!(told, 10);
        }
    });
}

#[test]
fn whoever_publishes_and_goes_at_once_is_answered_before_the_end_however_late() {
    for_each_seed(12_700..12_720, |seed| {
        let mut random = Random::new(seed);
        let workers = random.pick(&[0, 2]);
        let mut world = guarded(seed, workers);
        let request = listen(world.now + 1000 * SECOND);
        let publish = json!({"type": "publish", "topic": "elsewhere", "data": "1 "});
        let closes = [false, true];
        let speakers = closes.map(|closes| {
            let speaker = world.connect_to(0, 1 << 20, &request);
            let close = if closes { frame(&mut random, CLOSE, &1000_u16.to_be_bytes()) } else { vec![] };
            speaker.borrow_mut().send(&[command(&mut random, &publish), close].concat());
            speaker.borrow_mut().end();
            speaker
        });
        if workers > 0 {
            hold_up(&mut world, 0, random.millis(0..5000));
        }
        for _ in 0..60 {
            world.run_for(SECOND / 10);
            speakers.iter().for_each(|speaker| _ = speaker.borrow_mut().take(usize::MAX));
        }
        world.calm_down();
        for (closes, speaker) in closes.into_iter().zip(&speakers) {
            let line = speaker.borrow();
            let told: Vec<&Heard> = line.ear.heard.iter().map(|(_, heard)| heard).collect();
            let [Heard::Switched, Heard::Welcome { .. }, Heard::Published(_), close @ ..] = &told[..] else {
                panic!("{told:?}")
            };
            assert_eq!(close, &[&Heard::Close(Some(1000))][..usize::from(closes)]);
            assert!(line.dropped && line.outbound_ended && !line.aborted);
        }
    });
}

#[test]
fn a_token_is_verified_once_for_a_request_and_not_again_when_its_body_has_come() {
    for_each_seed(12_800..12_810, |seed| {
        let mut random = Random::new(seed);
        let workers = random.pick(&[0, 2]);
        let mut world = guarded(seed, workers);
        let expires = world.now + SECOND;
        let head = format!(
            "POST /publish?topic=news HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 2\r\n\r\n",
            token(expires)
        );
        let publisher = world.connect_to(0, 1 << 20, &format!("{head}1 {head}2"));
        world.run_until(expires + A_MOMENT);
        publisher.borrow_mut().send(format!(" {head}3 ").as_bytes());
        world.run_for(SECOND);
        let told = answers(&publisher);
        assert_eq!((&told[..2], &told[2][..3]), (&["200 id".to_owned(), "200 id".to_owned()][..], "401"));
    });
}

#[test]
fn a_client_that_publishes_faster_than_it_is_answered_waits_and_is_not_taken_for_silent() {
    for_each_seed(12_500..12_503, |seed| {
        let mut setup = patient(2);
        let limits = &mut setup.terms.limits;
        (limits.ping_interval, limits.ping_timeout) = (Some(SECOND), Some(SECOND));
        setup.healthcheck = 1000 * SECOND;
        let (mut random, mut world) = (Random::new(seed), guarded_as(seed, setup));
        let speaker = world.connect_to(0, 1 << 20, &listen(world.now + 10_000 * SECOND));
        world.calm_down();
        hold_up(&mut world, 0, 10 * SECOND);
        let publish =
            json!({"type": "publish", "topic": "elsewhere", "data": format!("7 {}", "x".repeat(100))});
        world.run_for(SECOND);
        for _ in 0..3000 {
            speaker.borrow_mut().send(&command(&mut random, &publish));
        }
        // Behind all that.
        speaker.borrow_mut().send(&frame(&mut random, PONG, b""));
        world.run_for(8 * SECOND);
        assert!(speaker.borrow().unread_by_server() > 1 << 18, "it does not wait");
        assert!(speaker.borrow().ear.heard.iter().any(|(_, heard)| *heard == Heard::Ping));
        world.run_for(2 * SECOND);
        let answered =
            || speaker.borrow().ear.heard.iter().filter(|(_, h)| matches!(h, Heard::Published(_))).count();
        world.run_while(|_| answered() < 3000 && close_code(&speaker).is_none());
        assert_eq!((answered(), close_code(&speaker)), (3000, None));
    });
}

#[test]
fn of_many_who_publish_much_at_once_each_waits_for_its_turn_and_is_answered() {
    for_each_seed(12_600..12_602, |seed| {
        let mut setup = patient(0);
        setup.terms.limits.rules.max_message_bytes = 65_536;
        let (mut random, mut world) = (Random::new(seed), guarded_as(seed, setup));
        let request = listen(world.now + 10_000 * SECOND);
        let speakers: Vec<_> = (0..100).map(|_| world.connect(1 << 20, &request)).collect();
        world.calm_down();
        let publish =
            json!({"type": "publish", "topic": "elsewhere", "data": format!("7 {}", "x".repeat(60_000))});
        for speaker in &speakers {
            (0..4).for_each(|_| speaker.borrow_mut().send(&command(&mut random, &publish)));
        }
        world.turn();
        world.tick();
        world.turn();
        // 4 MiB are published in a turn, and what one more read brings.
        let left: usize = speakers.iter().map(|speaker| speaker.borrow().unread_by_server()).sum();
        assert!(left > 12 << 20, "only {left} bytes wait");
        world.calm_down();
        for speaker in &speakers {
            let told =
                speaker.borrow().ear.heard.iter().filter(|(_, h)| matches!(h, Heard::Published(_))).count();
            assert_eq!(told, 4);
        }
    });
}
