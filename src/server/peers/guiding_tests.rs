//! Up to which id a WebSocket is told that it has heard all, by an echo and by its reconnect notice: so that one of quiet topics
//! can resume much later.

use support::frames::text;
use support::handshake;

use crate::server::peers::house::{House, seconds};

fn come(house: &mut House, target: &str) -> usize {
    house.connect(&handshake(target))
}

/// The ids that came with messages of this type, `none` where none did.
fn ids(house: &House, who: usize, kind: &str) -> Vec<String> {
    let messages = house.messages(who).into_iter().filter(|message| message["type"] == kind);
    messages.map(|message| message["last_event_id"].as_str().unwrap_or("none").to_owned()).collect()
}

/// Whether one that comes back to a quiet topic with this id has missed nothing.
fn resumes(house: &mut House, last: &str) -> bool {
    let who = come(house, &format!("/ws?topic=quiet&last_event_id={last}"));
    house.messages(who)[0]["resumed"].as_bool().unwrap()
}

#[test]
fn on_a_quiet_topic_an_echo_and_a_notice_name_an_id_from_which_to_resume_when_that_of_the_welcome_is_forgotten()
 {
    let mut house = House::with("--history-ttl 60 --max-connection-age 200");
    let quiet = come(&mut house, "/ws?topic=quiet");
    let others_hear = |house: &mut House, times| {
        for _ in 0..times {
            house.publish();
            house.run_for(seconds(30));
        }
    };
    others_hear(&mut house, 5);
    house.say(quiet, text("hello"));
    assert_eq!(ids(&house, quiet, "echo"), ["0000beef-5"]);
    let resumed = ["0000beef-0", "0000beef-5"].map(|last| resumes(&mut house, last));
    assert_eq!(resumed, [false, true]);
    others_hear(&mut house, 2);
    house.run_for(seconds(15));
    let [told] = &ids(&house, quiet, "reconnect")[..] else { panic!("it is told once") };
    let resumed = ["0000beef-5", told].map(|last| resumes(&mut house, last));
    assert_eq!(resumed, [false, true], "{told}");
}

#[test]
fn while_what_was_missed_is_still_being_brought_neither_names_an_id() {
    let mut house = House::with("--drain-spread 0");
    (0..40).for_each(|_| house.publish_to("notifications", &"x".repeat(10_000)));
    house.turn();
    let who = house.admit(handshake("/ws?last_event_id=0000beef-0"));
    house.ends[who].borrow_mut().room = 1000;
    house.step(&[who]);
    house.say(who, text("amid it"));
    house.leave();
    house.turn();
    house.take(who, usize::MAX);
    house.turn();
    house.say(who, text("behind it"));
    assert_eq!(house.ids(who).len(), 40);
    assert_eq!(ids(&house, who, "echo"), ["none", "0000beef-40"]);
    assert_eq!(ids(&house, who, "reconnect"), ["none"]);
}

#[test]
fn amid_a_fan_out_only_those_are_told_an_id_for_whom_nothing_is_pending() {
    let mut house = House::with("--drain-spread 0");
    let all = ["/ws", "/ws?topic=quiet", "/ws?topic=quiet&topic=notifications"];
    let all = all.map(|target| come(&mut house, target));
    house.publish_to("notifications", "x");
    all.iter().for_each(|who| house.send(*who, text("hello")));
    house.leave();
    house.step(&all);
    house.turn();
    for kind in ["echo", "reconnect"] {
        assert_eq!(all.map(|who| ids(&house, who, kind).concat()), ["none", "0000beef-1", "none"], "{kind}");
    }
    all.iter().for_each(|who| house.say(*who, text("again")));
    assert_eq!(all.map(|who| ids(&house, who, "echo").remove(1)), [(); 3].map(|()| "0000beef-1"));
}

#[test]
fn where_it_is_not_known_which_id_is_the_newest_an_echo_names_none() {
    let mut house = House::with("");
    let who = come(&mut house, "/ws");
    house.peers.tell_newest(false);
    house.say(who, text("hello"));
    assert_eq!(ids(&house, who, "echo"), ["none"]);
}

#[test]
fn the_ids_leave_room_for_the_answers_to_all_that_is_read_at_once() {
    let mut house = House::with("");
    let who = come(&mut house, "/ws");
    house.ends[who].borrow_mut().room = 0;
    let (empty, count) = (text(""), 64 * 1024 / text("").len());
    house.say(who, empty.repeat(count));
    house.take(who, usize::MAX);
    house.turn();
    let ids = ids(&house, who, "echo");
    assert_eq!((ids.len(), &*ids[0], &*ids[count - 1]), (count, "0000beef-0", "none"));
}
