//! Where the line of publications does not simply go on: what each hears of both parts of it, and what it is told in between.

use support::handshake;

use super::*;
use crate::policy::epochs::Epochs;
use crate::policy::sequencer::PublicationId;
use crate::server::peers::house::{GET, House, first_ids, seconds};

/// More than are visited in one turn.
const CROWD: usize = 200;

fn id(epoch: u32, position: u64) -> PublicationId {
    PublicationId::new(epoch, position)
}

/// A later epoch begins behind so many publications.
fn cut(house: &mut House, position: u64) {
    go_on(house, Continuation::Epoch { epoch: 0xcafe, after: id(0xbeef, position), is_lossy: false });
}

fn go_on(house: &mut House, continuation: Continuation) {
    let now = house.now();
    house.peers.go_on_with(continuation, now);
}

/// What a WebSocket was told behind its welcome: ids, and `gap` with the id that comes with it.
fn told(house: &House, who: usize) -> Vec<String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("none").to_owned();
    let told = house.messages(who).into_iter().skip(1).map(|message| match text(&message["type"]).as_str() {
        "notification" => text(&message["id"]),
        "gap" => format!("gap {}", text(&message["last_event_id"])),
        other => other.to_owned(),
    });
    told.collect()
}

/// The same of an event stream.
fn told_stream(house: &House, who: usize) -> Vec<String> {
    let told = house.heard(who).0.into_iter().map(|event| match event.name.as_str() {
        "message" => event.last_event_id,
        name => format!("{name} {}", event.last_event_id),
    });
    told.collect()
}

fn resuming(last: &str) -> String {
    handshake(&format!("/ws?last_event_id={last}"))
}

/// Whether one that comes back with this id is brought all that it missed, and what it is told then.
fn resume(house: &mut House, last: &str) -> (bool, Vec<String>) {
    let who = house.connect(&resuming(last));
    (house.messages(who)[0]["resumed"].as_bool().unwrap(), told(house, who))
}

#[test]
fn where_something_is_lost_all_who_listen_are_told_once_ahead_of_what_follows() {
    let mut house = House::with("");
    let (socket, stream) = (house.connect(&handshake("/ws")), house.connect(GET));
    (0..3).for_each(|_| house.publish());
    cut(&mut house, 1);
    house.turn();
    (0..2).for_each(|_| house.publish());
    let expected = ["0000beef-1", "0000beef-2", "0000beef-3", "gap 0000cafe-0", "0000cafe-1", "0000cafe-2"];
    assert_eq!(
        (told(&house, socket), told_stream(&house, stream)),
        (expected.map(String::from).to_vec(), expected.map(String::from).to_vec())
    );
}

#[test]
fn where_nothing_is_lost_nobody_is_told_anything() {
    let mut house = House::with("");
    let (socket, stream) = (house.connect(&handshake("/ws")), house.connect(GET));
    house.publish();
    cut(&mut house, 1);
    house.turn();
    house.publish();
    let expected = ["0000beef-1", "0000cafe-1"].map(String::from).to_vec();
    assert_eq!((told(&house, socket), told_stream(&house, stream)), (expected.clone(), expected));
}

#[test]
fn whoever_has_heard_nothing_that_is_lost_resumes_across_epochs_and_others_do_not() {
    let mut house = House::with("");
    (0..3).for_each(|_| house.publish());
    cut(&mut house, 1);
    house.publish();
    let both = ["0000beef-1", "0000cafe-1"].map(String::from);
    assert_eq!(resume(&mut house, "0000beef-0"), (true, both.to_vec()));
    for last in ["0000beef-1", "0000cafe-0"] {
        assert_eq!(resume(&mut house, last), (true, both[1..].to_vec()));
    }
    assert_eq!(resume(&mut house, "0000cafe-1"), (true, vec![]));
    for last in ["0000beef-2", "0000beef-3", "0000beef-4", "0000babe-0"] {
        assert_eq!(resume(&mut house, last), (false, vec![]), "{last}");
    }
    let stream = house.connect(&GET.replace("events", "events?last_event_id=0000beef-1"));
    assert_eq!(told_stream(&house, stream), both[1..]);
}

#[test]
fn amid_a_fan_out_what_is_lost_reaches_nobody_else_and_the_rest_everybody() {
    let mut house = House::with("");
    let all: Vec<usize> = (0..CROWD).map(|_| house.connect(&handshake("/ws"))).collect();
    (0..3).for_each(|n| house.publish_to("notifications", &n.to_string()));
    house.step(&[]);
    cut(&mut house, 2);
    house.publish_to("notifications", "x");
    house.turn();
    let heard: Vec<_> = all.iter().map(|who| told(&house, *who)).collect();
    let (kept, follows) = (first_ids(2), ["gap 0000cafe-0".to_owned(), "0000cafe-1".to_owned()]);
    let visited = [&first_ids(3)[..], &follows].concat();
    let others = [&kept[..], &follows].concat();
    assert_eq!(heard.iter().filter(|heard| **heard == visited).count(), 128);
    assert_eq!(heard.iter().filter(|heard| **heard == others).count(), CROWD - 128);
}

#[test]
fn amid_a_replay_what_is_left_of_it_is_still_brought_and_what_is_lost_is_not() {
    for (taken, position) in [(1_000, 30), (70_000, 30), (250_000, 5)] {
        let mut house = House::with("");
        (0..40).for_each(|_| house.publish_to("notifications", &"x".repeat(10_000)));
        house.turn();
        let who = house.admit(resuming("0000beef-0"));
        house.ends[who].borrow_mut().room = taken;
        house.step(&[who]);
        (0..3).for_each(|_| house.step(&[]));
        cut(&mut house, position);
        house.publish_to("notifications", "y");
        house.turn();
        house.take(who, usize::MAX);
        house.turn();
        house.publish();
        let told = told(&house, who);
        let (gaps, ids): (Vec<_>, Vec<_>) = told.iter().partition(|told| told.starts_with("gap"));
        let at = told.iter().position(|told| told.starts_with("gap")).unwrap() as u64;
        // Of those that are lost it has heard as many as were on their way to it.
        let old = first_ids(at.max(position));
        let new = ["0000cafe-1", "0000cafe-2"].map(String::from);
        assert_eq!(ids, old.iter().chain(&new).collect::<Vec<_>>(), "{taken}");
        let behind_all = gaps == ["gap 0000cafe-0"];
        assert!(gaps.len() == 1 && (behind_all == (at >= position)), "{gaps:?}");
    }
}

#[test]
fn a_filter_that_was_added_behind_the_cut_hears_what_follows_it() {
    let mut house = House::with("");
    (0..20).for_each(|_| house.publish_to("notifications", &"x".repeat(10_000)));
    house.turn();
    let who = house.admit(resuming("0000beef-0"));
    house.ends[who].borrow_mut().room = 1_000;
    house.step(&[who]);
    house.send(who, support::frames::text(r#"{"type":"subscribe","topic":"other"}"#));
    house.step(&[who]);
    cut(&mut house, 3);
    house.publish_to("other", "y");
    house.take(who, usize::MAX);
    house.turn();
    assert_eq!(told(&house, who).last().map(String::as_str), Some("0000cafe-1"));
}

#[test]
fn where_nothing_is_known_of_what_follows_all_begins_anew_and_all_are_told() {
    for continuation in [
        Continuation::Restart(id(0xcafe, 7)),
        Continuation::Begin { epochs: Epochs::new(id(0xcafe, 7), 20), newest: 20 },
    ] {
        let mut house = House::with("");
        let (socket, stream) = (house.connect(&handshake("/ws")), house.connect(GET));
        (0..3).for_each(|_| house.publish());
        // Of this one nobody has been told yet.
        house.publish_to("notifications", "x");
        let replaying = house.admit(resuming("0000beef-0"));
        house.ends[replaying].borrow_mut().room = 400;
        house.peers.on_ready(replaying, crate::server::peers::Readiness::Bytes, false, house.now());
        go_on(&mut house, continuation);
        house.turn();
        house.take(replaying, usize::MAX);
        house.publish();
        let both = ["gap 0000cafe-7", "0000cafe-8"].map(String::from);
        let expected = [&first_ids(3)[..], &both].concat();
        assert_eq!((told(&house, socket), told_stream(&house, stream)), (expected.clone(), expected));
        assert_eq!(told(&house, replaying), both);
        assert_eq!(resume(&mut house, "0000cafe-7"), (true, both[1..].to_vec()));
        for last in ["0000cafe-6", "0000beef-4", "0000beef-0"] {
            assert_eq!(resume(&mut house, last), (false, vec![]), "{last}");
        }
    }
}

#[test]
fn an_epoch_that_follows_what_is_not_known_here_begins_the_line_anew() {
    let mut house = House::with("");
    let socket = house.connect(&handshake("/ws"));
    house.publish();
    cut(&mut house, 2);
    house.publish();
    assert_eq!(told(&house, socket), ["0000beef-1", "gap 0000cafe-0", "0000cafe-1"]);
}

#[test]
fn before_anything_was_published_nothing_can_have_been_missed() {
    let mut house = House::with("");
    let socket = house.connect(&handshake("/ws"));
    go_on(&mut house, Continuation::Restart(id(0xcafe, 7)));
    house.publish();
    assert_eq!(told(&house, socket), ["0000cafe-8"]);
}

#[test]
fn whoever_is_gone_or_no_client_is_told_nothing_and_a_crowd_is_told_in_turns() {
    let mut house = House::with("");
    let all: Vec<usize> = (0..CROWD).map(|_| house.connect(&handshake("/ws"))).collect();
    let other = house.connect("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    house.publish();
    let answer = house.text(other);
    go_on(&mut house, Continuation::Restart(id(0xcafe, 0)));
    let turns: Vec<usize> = [(); 3].map(|()| house.step_telling(&[]).len()).to_vec();
    assert_eq!(turns, [128, CROWD - 128, 0]);
    assert!(all.iter().all(|who| told(&house, *who) == ["0000beef-1", "gap 0000cafe-0"]));
    assert_eq!(house.text(other), answer);
    house.run_for(seconds(60));
    assert!(all.iter().all(|who| told(&house, *who).len() == 2), "once");
}
