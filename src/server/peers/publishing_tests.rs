//! How much is compressed at a time: a part of what a subscriber is to hear, and it hears all of it all the same.

use support::handshake;

use super::*;
use crate::server::peers::house::{GET, House, compressing, first_ids};

/// More than is compressed in several turns.
const MANY: u64 = 150;
/// What one of them holds.
const BYTES: usize = 10_000;
/// As many as are brought a part of what they missed in one turn.
const REPLAYS: usize = 16;

/// Publishes so many, each of which is of use to compress.
fn publish(house: &mut House, topic: &str, count: u64) {
    (0..count).for_each(|_| house.publish_to(topic, &"x".repeat(BYTES)));
}

fn crowd(flags: &str, count: usize) -> (House, Vec<usize>) {
    let mut house = House::with(&format!("--ws-per-message-deflate {flags}"));
    let all = (0..count).map(|_| house.connect(&compressing("much"))).collect();
    (house, all)
}

/// How many messages of so many bytes of JSON it takes to have this much.
fn messages(house: &House, bytes: usize) -> u64 {
    let json = house.peers.line().history().after(0).next().unwrap().1.message.json().len();
    assert!(json > BYTES);
    bytes.div_ceil(json) as u64
}

fn compressed(house: &mut House) -> u64 {
    house.peers.metrics(house.now()).messages_compressed
}

#[test]
fn a_large_batch_is_compressed_in_many_turns_and_others_are_served_between() {
    let (mut house, all) = crowd("", 4);
    let other = house.connect(&handshake("/ws?topic=quiet"));
    publish(&mut house, "much", MANY);
    house.step(&[]);
    let [visit, piece] = [COMPRESSED_BYTES, REPLAY_BYTES].map(|bytes| messages(&house, bytes));
    let mut heard: Vec<_> = all.iter().map(|who| house.ids(*who).len() as u64).collect();
    heard.sort_unstable();
    // The second one is handed what is compressed already, and goes on from there.
    assert_eq!(heard, [0, 0, visit + piece, 2 * visit + piece]);
    let mut turns = 1;
    while house.peers.has_work() {
        let before = compressed(&mut house);
        house.send(other, support::frames::text("hello"));
        house.step(&[other]);
        assert_eq!(house.messages(other).len(), 1 + turns, "it is answered in this very turn");
        assert!(compressed(&mut house) - before <= 2 * visit + all.len() as u64 * piece);
        turns += 1;
    }
    assert!(turns > 5, "{turns}");
    assert!(all.iter().all(|who| house.ids(*who) == first_ids(MANY)));
}

#[test]
fn whoever_hears_it_and_however_each_message_is_heard_once_in_order_and_compressed_once() {
    for flags in ["", "--history-size 0"] {
        let (mut house, mut all) = crowd(flags, 5);
        all.push(house.connect(&handshake("/ws?topic=much")));
        let small = "permessage-deflate; server_max_window_bits=9";
        all.push(house.connect(&compressing("much").replace("permessage-deflate", small)));
        let stream = house.connect(&GET.replace("events", "events?topic=much"));
        // What follows while some are still being brought the first part comes behind that.
        for _ in 0..3 {
            publish(&mut house, "much", MANY / 3);
            house.step(&[]);
        }
        house.turn();
        for who in all {
            assert_eq!(house.ids(who), first_ids(MANY), "{flags}");
        }
        let ids: Vec<_> = house.heard(stream).0.into_iter().map(|event| event.last_event_id).collect();
        assert_eq!(ids, first_ids(MANY), "{flags}");
        assert_eq!(compressed(&mut house), MANY);
    }
}

#[test]
fn whoever_comes_instead_of_one_that_waits_for_what_it_missed_waits_as_the_others_do() {
    let mut house = House::with("");
    publish(&mut house, "much", 50);
    let join = handshake("/ws?topic=much&last_event_id=0000beef-0");
    let all: Vec<usize> = (0..5 * REPLAYS).map(|_| house.admit(&join)).collect();
    house.step(&all);
    let failing = all[2 * REPLAYS + 1];
    house.ends[failing].borrow_mut().is_short = true;
    house.send(failing, support::frames::text("hello"));
    assert_eq!(house.step_telling(&[failing]), all[REPLAYS..2 * REPLAYS]);
    assert_eq!((house.peers.connections(), house.admit(&join)), (all.len() - 1, failing));
    let mut queue = all.clone();
    queue.rotate_left(2 * REPLAYS);
    queue.retain(|who| *who != failing);
    queue.push(failing);
    let mut rounds: Vec<Vec<usize>> = queue.repeat(2).chunks(REPLAYS).map(<[usize]>::to_vec).collect();
    // It is welcomed at once.
    rounds[0].push(failing);
    for (turn, some) in rounds.iter_mut().enumerate() {
        some.sort_unstable();
        let ready = if turn == 0 { &[failing][..] } else { &[] };
        assert_eq!(house.step_telling(ready), *some);
    }
    house.turn();
    assert!(all.iter().all(|who| house.ids(*who) == first_ids(50)));
}

#[test]
fn what_is_brought_to_those_who_come_back_is_compressed_in_parts_as_well() {
    let (mut house, _) = crowd("", 0);
    let topics: Vec<String> = (0..REPLAYS).map(|n| format!("much/{n}")).collect();
    topics.iter().for_each(|topic| publish(&mut house, topic, 20));
    house.turn();
    assert_eq!(compressed(&mut house), 0, "nobody has heard it");
    let resume = |topic: &String| compressing(&format!("{topic}&last_event_id=0000beef-0"));
    let all: Vec<usize> = topics.iter().map(|topic| house.admit(resume(topic))).collect();
    let [visit, piece] = [COMPRESSED_BYTES, REPLAY_BYTES].map(|bytes| messages(&house, bytes));
    let (mut ready, mut turns) = (&all[..], 0);
    while house.peers.has_work() || turns == 0 {
        let before = compressed(&mut house);
        house.step(std::mem::take(&mut ready));
        assert!((1..visit + piece).contains(&(compressed(&mut house) - before)));
        turns += 1;
    }
    assert!(turns > 10, "{turns}");
    for (n, who) in all.iter().enumerate() {
        assert_eq!(house.ids(*who), first_ids(320)[n * 20..][..20]);
    }
}

#[test]
fn whoever_is_told_to_go_meanwhile_has_heard_all_up_to_some_message_and_none_twice() {
    let (mut house, all) = crowd("", 4);
    publish(&mut house, "much", MANY);
    house.step(&[]);
    house.leave();
    house.peers.say_farewell(house.now());
    house.turn();
    for who in all {
        let ids = house.ids(who);
        assert_eq!(ids, first_ids(ids.len() as u64));
        assert_eq!(house.messages(who).last().unwrap()["code"], 1012);
    }
}
