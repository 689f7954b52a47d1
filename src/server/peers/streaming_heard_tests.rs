//! Up to which id streams are told that they have heard all, so that those of quiet topics can resume much later.

use super::*;
use crate::http::token::Identity;
use crate::policy::rights::Rights;

const QUIET: &str = "GET /events?topic=quiet HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn last_id(house: &House, who: usize) -> String {
    house.heard(who).1.last_event_id
}

#[test]
fn on_a_quiet_topic_a_heartbeat_and_the_last_words_move_the_id_and_bring_nothing() {
    for flags in ["--drain-spread 0", "--no-drain-notice"] {
        let mut house = House::with(flags);
        let quiet = house.connect(QUIET);
        (0..3).for_each(|_| house.publish());
        assert_eq!(last_id(&house, quiet), "0000beef-0");
        house.run_for(seconds(26));
        assert_eq!(last_id(&house, quiet), "0000beef-3");
        (0..3).for_each(|_| house.publish());
        house.leave();
        house.run_for(seconds(10));
        house.peers.say_farewell(house.now());
        house.turn();
        assert!(house.has_ended(quiet));
        assert_eq!(last_id(&house, quiet), "0000beef-6", "{flags}");
        assert!(house.heard(quiet).0.iter().all(|event| event.name == "reconnect"), "{flags}");
    }
}

#[test]
fn a_stream_whose_token_expires_is_brought_all_and_ends_with_a_time_to_wait_and_the_newest_id() {
    let mut house = House::with("");
    let streams = [GET, QUIET].map(|request| house.connect(request));
    let expires = Some(house.now().wall + seconds(10));
    for stream in streams {
        let identity = Identity { subject: None, expires, rights: Rights::default() };
        house.peers.identify(stream, Some(Box::new(identity)), house.now());
    }
    house.run_for(seconds(9));
    assert!(streams.iter().all(|stream| !house.has_ended(*stream)));
    // They expire in the very turn in which something is published.
    house.elapsed = seconds(10);
    house.publish();
    for (stream, events) in streams.into_iter().zip([1, 0]) {
        assert!(house.has_ended(stream));
        let (heard, reader) = house.heard(stream);
        let end = format!("\nretry: {}\nid: 0000beef-1\n\n\r\n0\r\n\r\n", reader.retry.unwrap());
        assert!(heard.len() == events && house.text(stream).ends_with(&end), "{}", house.text(stream));
    }
    house.run_for(seconds(2));
    assert_eq!(house.departures(), [("expired".to_owned(), 0, 2)]);
}

#[test]
fn while_a_fan_out_is_under_way_a_heartbeat_says_no_id() {
    let mut house = House::with("");
    let [stream, quiet] = [GET, QUIET].map(|request| house.connect(request));
    // Its heartbeat is due in the very turn in which something is published.
    house.elapsed = seconds(25);
    house.publish();
    assert_eq!((house.told(stream, ":\n\n"), house.told(stream, "id: 0000beef-1")), {
        let once = vec![seconds(25)];
        (once.clone(), once)
    });
    assert_eq!((last_id(&house, stream), last_id(&house, quiet)), ("0000beef-1".into(), "0000beef-0".into()));
}

#[test]
fn a_stream_that_is_still_to_be_brought_what_it_missed_is_promised_nothing_beyond_that() {
    for flags in ["--drain-spread 0", "--no-drain-notice"] {
        // So little of a replay is queued at a time that some of it waits in the history.
        let mut house = House::with(&format!("--outbox-limit 1024 {flags}"));
        (0..30).for_each(|_| house.publish());
        let stream = house.connect("");
        house.ends[stream].borrow_mut().room = 600;
        house.say(stream, GET.replace("\r\n\r\n", "\r\nLast-Event-ID: 0000beef-1\r\n\r\n"));
        house.leave();
        house.run_for(SECOND / 2);
        house.peers.say_farewell(house.now());
        house.ends[stream].borrow_mut().room = usize::MAX;
        house.peers.on_ready(stream, Readiness::Room, true, house.now());
        house.turn();
        let (events, reader) = house.heard(stream);
        let heard = events.iter().filter(|event| event.name == "message").count();
        assert!(house.has_ended(stream) && (1..29).contains(&heard), "{heard}");
        assert_eq!(reader.last_event_id, format!("0000beef-{}", 1 + heard), "{flags}");
    }
}
