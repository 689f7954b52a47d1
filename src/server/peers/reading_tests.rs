//! How clients share a turn that have sent what inflates to much: each goes on in its turn, and nobody waits for all of them.

use support::frames::{COMPRESSED, deflated, frame, text};

use super::*;
use crate::server::peers::house::{House, compressing, seconds};

/// What one message of `much` inflates to.
const MESSAGE_BYTES: usize = READ_BUDGET / 2;
/// How many clients are read on in one turn that have sent so much.
const CLIENTS_PER_TURN: usize = INFLATED_BYTES / READ_BUDGET;
/// How many messages each of them is heard with in its turn.
const MESSAGES_PER_TURN: usize = 2;

/// So many messages, each answered briefly by its number, which begins with this one.
fn much(first: usize, count: usize) -> Vec<u8> {
    let message = |n| {
        let start = format!(r#"{{"type":"unsubscribe","topic":"n/{n}","x":""#);
        let message = format!("{start}{}\"}}", "x".repeat(MESSAGE_BYTES - start.len() - 2));
        assert_eq!(message.len(), MESSAGE_BYTES);
        frame(COMPRESSED, deflated(message))
    };
    (first..first + count).flat_map(message).collect()
}

/// A message that inflates to more than one may.
fn too_much() -> Vec<u8> {
    frame(COMPRESSED, deflated(vec![b'x'; READ_BUDGET + 1]))
}

fn little() -> Vec<u8> {
    frame(COMPRESSED, deflated("little"))
}

/// The numbers of the messages that somebody was answered.
fn answered(house: &House, who: usize) -> Vec<usize> {
    let messages = house.messages(who).into_iter().filter(|message| message["type"] == "unsubscribed");
    messages.map(|message| message["topic"].as_str().unwrap()[2..].parse().unwrap()).collect()
}

fn echoes(house: &House, who: usize) -> usize {
    house.messages(who).iter().filter(|message| message["type"] == "echo").count()
}

/// So many clients, of which each has sent so much.
fn crowd(flags: &str, clients: usize, messages: usize) -> (House, Vec<usize>) {
    let mut house = House::with(&format!("--ws-per-message-deflate {flags}"));
    let (join, said) = (compressing("quiet"), much(0, messages));
    let all: Vec<usize> = (0..clients).map(|_| house.connect(&join)).collect();
    all.iter().for_each(|who| house.send(*who, &said));
    (house, all)
}

/// One turn: who was told anything in it, and to how much messages have inflated.
fn turn(house: &mut House, ready: &[usize]) -> (Vec<usize>, u64) {
    let before = house.peers.inflater.inflated_bytes();
    (house.step_telling(ready), house.peers.inflater.inflated_bytes() - before)
}

#[test]
fn those_that_are_read_on_share_what_a_turn_inflates_each_in_its_turn_until_all_have_been_heard() {
    let (mut house, all) = crowd("", 5 * CLIENTS_PER_TURN, 4 * MESSAGES_PER_TURN);
    assert_eq!(turn(&mut house, &all).0, all, "what comes by events has a budget of its own");
    for _ in 0..3 {
        for some in all.chunks(CLIENTS_PER_TURN) {
            assert_eq!(turn(&mut house, &[]), (some.to_vec(), INFLATED_BYTES as u64));
        }
    }
    house.turn();
    for who in all {
        assert_eq!(answered(&house, who), (0..4 * MESSAGES_PER_TURN).collect::<Vec<_>>());
    }
}

#[test]
fn whoever_sends_little_is_heard_at_once_and_waits_for_no_more_than_one_round_if_it_has_sent_much() {
    let (mut house, all) = crowd("", 100, 20);
    let [compressed, plain] = ["permessage-deflate", "x"]
        .map(|offer| house.connect(&compressing("quiet").replace("permessage-deflate", offer)));
    house.step(&all);
    for n in 1..4 {
        house.send(compressed, little());
        house.send(plain, text("little"));
        house.step(&[compressed, plain]);
        assert_eq!([compressed, plain].map(|who| echoes(&house, who)), [n; 2]);
    }
    house.send(compressed, [much(0, MESSAGES_PER_TURN), little()].concat());
    house.step(&[compressed]);
    assert_eq!((answered(&house, compressed).len(), echoes(&house, compressed)), (MESSAGES_PER_TURN, 3));
    let turns = (1..).find(|_| {
        house.step(&[]);
        echoes(&house, compressed) > 3
    });
    assert_eq!(turns, Some(all.len().div_ceil(CLIENTS_PER_TURN)));
    assert!(all.iter().all(|who| answered(&house, *who).len() < 20), "the others are still at it");
}

#[test]
fn whoever_leaves_while_it_waits_holds_up_nobody_and_whoever_comes_instead_waits_as_the_others_do() {
    let (mut house, all) = crowd("", 5 * CLIENTS_PER_TURN, 4 * MESSAGES_PER_TURN);
    let (failing, closing) = (all[20], all[30]);
    house.send(closing, frame(0x88, 1000_u16.to_be_bytes()));
    house.ends[closing].borrow_mut().is_closed = true;
    house.ends[failing].borrow_mut().room = 0;
    house.step(&all);
    house.ends[failing].borrow_mut().is_short = true;
    house.peers.on_ready(failing, Readiness::End, true, house.now());
    assert_eq!(turn(&mut house, &[]).0, all[..CLIENTS_PER_TURN]);
    assert_eq!(house.peers.connections(), all.len() - 1);
    let said = much(0, 4 * MESSAGES_PER_TURN);
    assert_eq!(
        house.admit([compressing("quiet").as_bytes(), &said].concat()),
        failing,
        "it has this key now"
    );
    let mut queue = all.clone();
    queue.rotate_left(CLIENTS_PER_TURN);
    queue.retain(|who| *who != failing);
    queue.push(failing);
    house.peers.on_ready(failing, Readiness::Bytes, false, house.now());
    house.peers.settle(house.now());
    for some in queue.repeat(2).chunks_mut(CLIENTS_PER_TURN) {
        some.sort_unstable();
        assert_eq!(turn(&mut house, &[]).0, some);
    }
    house.turn();
    assert!(all.iter().all(|who| answered(&house, *who).len() == 4 * MESSAGES_PER_TURN));
    assert_eq!((house.has_ended(closing), house.peers.connections()), (true, all.len() - 1));
}

#[test]
fn what_cannot_be_inflated_takes_its_part_of_a_turn_as_well() {
    let (mut house, all) = crowd("", 5 * CLIENTS_PER_TURN, MESSAGES_PER_TURN);
    all.iter().for_each(|who| house.send(*who, too_much()));
    house.step(&all);
    for some in all.chunks(CLIENTS_PER_TURN) {
        assert_eq!(turn(&mut house, &[]).0, some);
        assert!(some.iter().all(|who| house.messages(*who).last().unwrap()["code"] == 1009));
    }
}

#[test]
fn neither_a_drain_nor_a_pause_makes_anybody_be_forgotten_that_waits() {
    let (mut house, all) = crowd("--outbox-limit 1024 --drain-spread 10", 3 * CLIENTS_PER_TURN, 20);
    // Two answers are more than this client may leave waiting.
    let paused = all[5];
    house.ends[paused].borrow_mut().room = 0;
    house.step(&all);
    house.leave();
    house.turn();
    assert_eq!(house.peers.connections[paused].reading, Reading::Paused);
    for who in &all {
        let expected = if *who == paused { 0 } else { 20 };
        assert_eq!(answered(&house, *who).len(), expected);
        house.send(*who, much(20, 20));
    }
    house.step(&all);
    house.take(paused, usize::MAX);
    house.run_for(seconds(11));
    for who in all {
        assert_eq!(answered(&house, who), (0..40).collect::<Vec<_>>(), "{who}");
        let is_told = |message: &serde_json::Value| message["type"] == "reconnect";
        assert!(house.messages(who).iter().any(is_told));
    }
}

#[test]
fn those_that_wait_when_all_are_told_to_go_are_told_as_the_others_are() {
    let (mut house, all) = crowd("", 3 * CLIENTS_PER_TURN, 20);
    house.step(&all);
    house.leave();
    house.peers.say_farewell(house.now());
    house.turn();
    for who in all {
        assert_eq!(house.messages(who).last().unwrap()["code"], 1012);
        assert!(house.has_ended(who));
    }
    let inflated = house.peers.inflater.inflated_bytes();
    assert_eq!(inflated, (3 * CLIENTS_PER_TURN * READ_BUDGET) as u64, "what waited means nothing any more");
}
