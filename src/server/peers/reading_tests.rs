//! How clients share a turn that have sent what inflates to much: each goes on in its turn, and nobody waits for all of them.

use support::frames::{COMPRESSED, deflated, frame, hollow, text};

use super::*;
use crate::server::peers::house::{House, compressing, seconds};
use crate::wire::deflate::Inflater;

/// What one message of `much` inflates to.
const MESSAGE_BYTES: usize = READ_BUDGET / 2;
/// How many clients are heard in one turn that have sent so much.
const CLIENTS_PER_TURN: usize = INFLATED_BYTES / READ_BUDGET;
/// How many messages each of them is heard with in its turn.
const MESSAGES_PER_TURN: usize = 2;

/// A message that is answered briefly, by its number.
fn message(n: usize) -> Vec<u8> {
    let start = format!(r#"{{"type":"unsubscribe","topic":"n/{n}","x":""#);
    let message = format!("{start}{}\"}}", "x".repeat(MESSAGE_BYTES - start.len() - 2));
    assert_eq!(message.len(), MESSAGE_BYTES);
    deflated(message)
}

/// So many of them, whose numbers begin with this one.
fn much(first: usize, count: usize) -> Vec<u8> {
    (first..first + count).flat_map(|n| frame(COMPRESSED, message(n))).collect()
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

/// What inflating this payload costs.
fn cost(payload: &[u8]) -> usize {
    let mut inflater = Inflater::default();
    inflater.inflate(payload, READ_BUDGET).unwrap();
    usize::try_from(inflater.cost()).unwrap()
}

#[test]
fn clients_share_what_a_turn_inflates_each_in_its_turn_until_all_have_been_heard() {
    let (mut house, all) = crowd("", 5 * CLIENTS_PER_TURN, 4 * MESSAGES_PER_TURN);
    let (first, rest) = all.split_at(CLIENTS_PER_TURN);
    let unread = |house: &House| rest.iter().map(|who| house.ends[*who].borrow().said.len()).sum::<usize>();
    let before = unread(&house);
    assert_eq!(house.step_telling(&all), first);
    assert_eq!(unread(&house), before, "what has to wait takes no memory here");
    for _ in 0..3 {
        for some in all.chunks(CLIENTS_PER_TURN) {
            assert_eq!(house.step_telling(&[]), some);
        }
    }
    for some in rest.chunks(CLIENTS_PER_TURN) {
        assert_eq!(house.step_telling(&[]), some);
    }
    house.turn();
    assert!(!house.peers.has_work());
    for who in all {
        assert_eq!(answered(&house, who), (0..4 * MESSAGES_PER_TURN).collect::<Vec<_>>());
    }
}

#[test]
fn whoever_cannot_compress_is_heard_at_once_and_whoever_can_waits_for_one_round_of_the_others() {
    let (mut house, all) = crowd("", 100, 20);
    let [compressed, plain] = ["permessage-deflate", "x"]
        .map(|offer| house.connect(&compressing("quiet").replace("permessage-deflate", offer)));
    house.step(&all);
    let round = all.len().div_ceil(CLIENTS_PER_TURN);
    // It need not have compressed anything.
    for said in [little(), text("little"), [much(0, MESSAGES_PER_TURN), little()].concat()] {
        house.send(compressed, said);
        house.step(&[compressed]);
        let before = echoes(&house, compressed);
        let turns = (1..100).find(|_| {
            house.send(plain, text("little"));
            let told = house.step_telling(&[plain]);
            assert!(told.contains(&plain));
            told.contains(&compressed)
        });
        assert_eq!(turns, Some(round));
        assert_eq!(echoes(&house, compressed), before + usize::from(answered(&house, compressed).is_empty()));
    }
    let turns = (1..100).find(|_| house.step_telling(&[]).contains(&compressed));
    assert_eq!(
        (turns, echoes(&house, compressed)),
        (Some(round), 3),
        "the rest of it has waited for a round of its own"
    );
    assert!(all.iter().all(|who| answered(&house, *who).len() < 20), "the others are still at it");
}

#[test]
fn whoever_leaves_while_it_waits_holds_up_nobody_and_whoever_comes_instead_waits_as_the_others_do() {
    let (mut house, all) = crowd("", 5 * CLIENTS_PER_TURN, 4 * MESSAGES_PER_TURN);
    let (failing, closing) = (all[20], all[30]);
    house.send(closing, frame(0x88, 1000_u16.to_be_bytes()));
    house.ends[closing].borrow_mut().is_closed = true;
    house.ends[failing].borrow_mut().room = 0;
    house.publish_to("quiet", "x");
    house.step(&all);
    house.ends[failing].borrow_mut().is_short = true;
    house.peers.on_ready(failing, Readiness::End, true, house.now());
    assert_eq!(house.step_telling(&[]), all[..CLIENTS_PER_TURN]);
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
        assert_eq!(house.step_telling(&[]), some);
    }
    house.turn();
    assert!(all.iter().all(|who| answered(&house, *who).len() == 4 * MESSAGES_PER_TURN));
    assert_eq!((house.has_ended(closing), house.peers.connections()), (true, all.len() - 1));
}

#[test]
fn blocks_that_inflate_to_nothing_take_their_part_of_a_turn_as_well() {
    let (mut house, all) = crowd("", 20, 0);
    let payload = hollow(READ_BUDGET / 4 + 100);
    let (at_once, message) = (INFLATED_BYTES.div_ceil(cost(&payload)), frame(COMPRESSED, payload));
    assert!(at_once < 3, "{at_once}");
    // They may come with something that does inflate.
    all.iter().for_each(|who| house.send(*who, [&message[..], &little(), &message].concat()));
    let plain = house.connect(&compressing("quiet").replace("permessage-deflate", "x"));
    let mut ready = [&all[..], &[plain]].concat();
    for some in [&all[..at_once], &all, &all[at_once..]].into_iter().flat_map(|them| them.chunks(at_once)) {
        house.send(plain, text("little"));
        assert_eq!(house.step_telling(&ready), [some, &[plain]].concat());
        ready = vec![plain];
    }
    house.turn();
    assert!(all.iter().all(|who| echoes(&house, *who) == 3));
}

#[test]
fn what_is_sent_behind_a_handshake_takes_its_part_of_a_turn_as_well() {
    let mut house = House::with("--ws-per-message-deflate");
    let said = [compressing("quiet").into_bytes(), much(0, 2 * MESSAGES_PER_TURN)].concat();
    let all: Vec<usize> = (0..3 * CLIENTS_PER_TURN).map(|_| house.admit(&said)).collect();
    assert_eq!(house.step_telling(&all), all);
    let (first, rest) = all.split_at(CLIENTS_PER_TURN);
    assert!(first.iter().all(|who| answered(&house, *who).len() == MESSAGES_PER_TURN));
    assert!(rest.iter().all(|who| answered(&house, *who).is_empty() && house.messages(*who).len() == 1));
    house.turn();
    for who in all {
        assert_eq!(answered(&house, who), (0..2 * MESSAGES_PER_TURN).collect::<Vec<_>>());
    }
}

#[test]
fn whoever_ends_its_side_while_it_waits_is_heard_and_parted_with() {
    let (mut house, all) = crowd("", 3 * CLIENTS_PER_TURN, MESSAGES_PER_TURN);
    house.step(&all);
    all.iter().for_each(|who| house.ends[*who].borrow_mut().is_closed = true);
    house.peers.read_unread(house.now());
    all.iter().for_each(|who| house.peers.on_ready(*who, Readiness::End, false, house.now()));
    house.turn();
    assert!(all.iter().all(|who| answered(&house, *who).len() == MESSAGES_PER_TURN && house.has_ended(*who)));
    assert_eq!(
        (house.departures(), house.peers.connections()),
        (vec![("gone".to_owned(), 0, all.len() as u64)], 0)
    );
}

#[test]
fn what_cannot_be_inflated_takes_its_part_of_a_turn_as_well() {
    let (mut house, all) = crowd("", 5 * CLIENTS_PER_TURN, 0);
    all.iter().for_each(|who| house.send(*who, too_much()));
    for (some, ready) in all.chunks(CLIENTS_PER_TURN).zip([&all[..], &[], &[], &[], &[]]) {
        assert_eq!(house.step_telling(ready), some);
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
    let heard = MESSAGES_PER_TURN * CLIENTS_PER_TURN;
    assert_eq!(
        house.peers.inflater.cost(),
        (heard * cost(&message(0))) as u64,
        "what waited means nothing any more"
    );
}
