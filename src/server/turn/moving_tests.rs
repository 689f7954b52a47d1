//! Whoever is connected goes on with another server in the midst of everything, as if nothing had been. In virtual time, without
//! sockets.

use support::frames::{self, TEXT, frame};
use support::handshake;

use super::*;
use house::{House, SECOND, turn};

#[path = "moving_tests/bounded_tests.rs"]
mod bounded;
#[path = "moving_tests/foreign_tests.rs"]
mod foreign;
#[path = "moving_tests/house_tests.rs"]
mod house;
#[path = "moving_tests/parked_tests.rs"]
mod parked;
#[path = "moving_tests/redirected_tests.rs"]
mod redirected;

const LOCAL: &str = "Host: localhost\r\n";

/// What one of them says from its beginning to its end.
fn speeches() -> Vec<(&'static str, Vec<u8>)> {
    let get = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\n{LOCAL}{fields}\r\n");
    let http = [
        get("/healthz", ""),
        format!("\r\nHEAD /nothing HTTP/1.1\r\n{LOCAL}Content-Length: 5\r\n\r\nhello"),
        get("/healthz", "Connection: close\r\n"),
    ];
    let publish = |body: &str| {
        let length = body.len();
        format!(
            "POST /publish HTTP/1.1\r\n{LOCAL}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let publisher = [publish(r#"{"topic":"a","data":1}"#), publish(r#"{"topic":"b","data":2}"#)];
    let upgrade = handshake("/ws?topic=a&topic=b/*");
    let deflating = upgrade.replacen("\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n", 1);
    let messages = [
        frames::text("one"),
        frame(0x01, "tw\u{e4}".as_bytes().split_last().unwrap().1),
        frame(frames::PING, "are you there"),
        frame(0x00, [0xa4]),
        frame(0x80, ""),
        frames::text(r#"{"type":"subscribe","topic":"c"}"#),
        frame(0x8a, "x"),
    ]
    .concat();
    // "Hello" (RFC 7692 §7.2.3.1), in two fragments.
    let compressed = [frame(0x41, [0xf2, 0x48, 0xcd]), frame(0x80, [0xc9, 0xc9, 0x07, 0x00])].concat();
    vec![
        ("HTTP", http.concat().into_bytes()),
        ("publisher", publisher.concat().into_bytes()),
        ("WebSocket", [upgrade.clone().into_bytes(), messages.clone()].concat()),
        ("compressing", [deflating.into_bytes(), compressed, messages].concat()),
        ("violating", [upgrade.into_bytes(), frames::text("x"), frame(0x83, "")].concat()),
        ("stream", get("/events?topic=a", "").into_bytes()),
        ("old stream", b"GET /events?topic=a HTTP/1.0\r\nHost: localhost\r\n\r\n".to_vec()),
    ]
}

fn publish(house: &mut House, topic: &str, data: &str) {
    let body = format!(r#"{{"topic":"{topic}","data":"{data}"}}"#);
    let length = body.len();
    let who = house.connect(format!(
        "POST /publish HTTP/1.1\r\n{LOCAL}Content-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    ));
    assert!(house.told(who).starts_with("HTTP/1.1 200 "), "{}", house.told(who));
    house.leave(who);
}

/// A client of these topics.
fn listen(house: &mut House, topics: &str) -> usize {
    house.connect(handshake(&format!("/ws?{topics}")))
}

/// All that somebody has been told, where everybody is told everything.
fn outcome(house: &mut House) -> Vec<(String, bool)> {
    publish(house, "a", "at last");
    (0..house.clients.len()).map(|who| (without_number(&house.told(who)), house.has_ended(who))).collect()
}

/// Who becomes a client of another process has another number.
fn without_number(told: &str) -> String {
    let number = r#""connection_id":"0000beef-"#;
    told.split_once(number)
        .map_or(told.to_owned(), |(before, after)| format!("{before}{number}{}", &after[1..]))
}

/// What becomes of one that says this, when so much of it has come and this happens then.
fn live(speech: &[u8], at: usize, happens: impl FnOnce(&mut House)) -> Vec<(String, bool)> {
    let mut house = House::with("--ws-per-message-deflate");
    let listener = listen(&mut house, "topic=*");
    house.connect(&speech[..at]);
    happens(&mut house);
    house.say(listener + 1, &speech[at..]);
    outcome(&mut house)
}

#[test]
fn wherever_somebody_is_in_what_it_says_it_moves_as_if_nothing_had_been_or_stays() {
    for (what, speech) in speeches() {
        let (mut moved, mut stayed) = (0, 0);
        for at in 0..=speech.len() {
            let unmoved = live(&speech, at, |_| {});
            assert_eq!(live(&speech, at, House::hand_over_in_vain), unmoved, "{what} {at}, in vain");
            let (_, packed) = {
                let mut house = House::with("--ws-per-message-deflate");
                listen(&mut house, "topic=*");
                house.connect(&speech[..at]);
                house.pack()
            };
            if packed.connections.len() == 2 {
                let other = live(&speech, at, |house| {
                    assert_eq!(house.hand_over("--ws-per-message-deflate"), 0);
                });
                assert_eq!(other, unmoved, "{what} {at}");
                moved += 1;
            } else {
                stayed += 1;
            }
        }
        assert!(moved > 0, "{what}");
        // In the midst of a body, or already on its way out.
        assert_eq!(stayed > 0, ["HTTP", "publisher", "violating"].contains(&what), "{what} {stayed}");
    }
}

#[test]
fn what_was_pending_when_nobody_took_over_after_all_is_told_without_any_event() {
    let mut house = House::with("");
    let listener = listen(&mut house, "topic=a");
    let (now, publication) = (house.now(), publication(&house, 1, "a"));
    house.turn.peers.publish(publication, now);
    house.hand_over_in_vain();
    assert!(house.told(listener).contains("0000beef-1"), "{}", house.told(listener));
}

/// As the order makes it.
fn publication(house: &House, position: u64, topic: &str) -> crate::policy::history::Publication {
    use crate::policy::sequencer::PublicationId;
    use crate::policy::topic::TopicName;
    use crate::wire::messages::ServerMessage;
    let id = PublicationId::new(0xbeef, position);
    let (timestamp, at) = (house.now().wall, house.now().instant);
    let message = ServerMessage::Notification { id, topic, message: "x", timestamp, active_connections: 0 };
    let topic = TopicName::parse(topic).unwrap();
    crate::policy::history::Publication { topic, message: message.to_message(id), at }
}

#[test]
fn whoever_has_stalled_hears_the_rest_from_where_it_is_and_all_that_follows() {
    for room in (0..500).step_by(7) {
        let mut house = House::with("");
        let [socket, stream] = [
            listen(&mut house, "topic=a"),
            house.connect(format!("GET /events?topic=a HTTP/1.1\r\n{LOCAL}\r\n")),
        ];
        let taken = |house: &House| [socket, stream].map(|who| house.clients[who].borrow().taken.len());
        let before = taken(&house);
        [socket, stream].into_iter().for_each(|who| house.take(who, room));
        (0..3).for_each(|nth| publish(&mut house, "a", &format!("early {nth}")));
        assert_eq!(house.hand_over(""), 0);
        publish(&mut house, "a", "in between");
        assert_eq!(house.hand_over(""), 0);
        publish(&mut house, "a", "late");
        assert_eq!(taken(&house), before.map(|before| before + room), "they are in the midst of it");
        for who in [socket, stream] {
            house.take(who, usize::MAX);
            let told = house.told(who);
            let heard = |what: &str| told.match_indices(what).map(|(at, _)| at).collect::<Vec<_>>();
            let all = ["early 0", "early 1", "early 2", "in between", "late"].map(heard);
            assert!(all.iter().all(|at| at.len() == 1) && all.is_sorted(), "{room}: {told}");
        }
    }
}

#[test]
fn a_thousand_who_have_stalled_on_the_same_cost_the_image_what_one_does_wherever_each_of_them_is() {
    let size = |clients: usize| {
        let mut house = House::with("--outbox-limit 10000000");
        let stalled: Vec<usize> = (0..clients).map(|_| listen(&mut house, "topic=a")).collect();
        for (nth, who) in stalled.iter().enumerate() {
            // The first have taken most.
            house.take(*who, 2 * (clients - nth));
        }
        (0..5).for_each(|_| publish(&mut house, "a", &"x".repeat(50_000)));
        let (image, packed) = house.pack();
        assert_eq!(packed.connections.len(), clients);
        image.len()
    };
    let (one, thousand) = (size(1), size(1000));
    assert!(thousand < one + 1000 * 400, "{one} {thousand}");
}

#[test]
fn deadlines_hold_across_a_move() {
    let flags = "--handshake-timeout 10 --timeout-keep-alive 20 --ws-ping-interval 30 --ws-ping-timeout 8 --write-timeout 15";
    let ends = |moves: &[u64]| {
        let mut house = House::with(flags);
        house.connect("GET / HT");
        house.connect("");
        house.connect(format!("GET /healthz HTTP/1.1\r\n{LOCAL}\r\n"));
        listen(&mut house, "topic=b");
        let stalled = listen(&mut house, "topic=a");
        house.take(stalled, 0);
        publish(&mut house, "a", "x");
        house.connect(format!("GET /events HTTP/1.1\r\n{LOCAL}\r\n"));
        for second in 0..90 {
            if moves.contains(&second) {
                house.hand_over(flags);
            }
            house.run_for(SECOND);
        }
        let ended = house.clients.iter().map(|end| end.borrow().ended_at).collect::<Vec<_>>();
        (ended, house.told(house.clients.len() - 1).matches(":\nid: ").count())
    };
    let (unmoved, beats) = ends(&[]);
    assert_eq!(unmoved.iter().filter(|at| at.is_some()).count(), unmoved.len() - 1, "{unmoved:?}");
    // One that is on its way out, from the fifteenth second to the sixteenth, would stay.
    for moves in
        [vec![5], vec![9], vec![14], vec![31, 33], (0..80).filter(|at| ![15, 16].contains(at)).collect()]
    {
        let (moved, others) = ends(&moves);
        for (unmoved, moved) in unmoved.iter().zip(&moved) {
            let apart = unmoved.unwrap_or_default().abs_diff(moved.unwrap_or_default());
            assert!(apart < SECOND, "{unmoved:?} {moved:?}, moved at {moves:?}");
        }
        assert_eq!(others, beats, "{moves:?}");
    }
}

#[test]
fn what_was_counted_goes_on_and_so_does_the_order() {
    let mut house = House::with("");
    house.turn.notify_every(Some(10 * SECOND));
    let listener = listen(&mut house, "");
    house.run_for(35 * SECOND);
    publish(&mut house, "notifications", "mine");
    let before = house.turn.peers.metrics(house.turn.now);
    house.hand_over("");
    house.turn.notify_every(Some(10 * SECOND));
    let after = house.turn.peers.metrics(house.turn.now);
    assert_eq!((after.connections, after.connections_total), (before.connections, before.connections_total));
    assert_eq!((after.messages_sent, after.bytes_sent), (before.messages_sent, before.bytes_sent));
    assert_eq!(house.turn.order.counted(0), Some((3, 0)));
    house.run_for(10 * SECOND);
    publish(&mut house, "notifications", "again");
    let told = house.told(listener);
    for (id, what) in
        [(3, "Periodic notification #3"), (4, "mine"), (5, "Periodic notification #4"), (6, "again")]
    {
        let line = told.split("0000beef-").find(|piece| piece.contains(what)).unwrap_or_default();
        assert!(line.starts_with(&format!("{id}\"")), "{what}: {line}");
    }
}

#[test]
fn a_period_that_is_under_way_goes_on() {
    let mut house = House::with("");
    house.turn.notify_every(Some(10 * SECOND));
    let listener = listen(&mut house, "");
    house.run_for(7 * SECOND);
    let (image, packed) = house.pack();
    assert_eq!(packed.connections.len(), 1);
    let mut other = turn("", house.now());
    other.notify_every(Some(10 * SECOND));
    other.take_over(&image, house.now(), house.moment(), |_| Err(io::Error::other("none"))).unwrap_err();
    assert!(other.next_timeout().is_some_and(|left| left <= 10 * SECOND));
    house.run_for(3 * SECOND);
    assert!(house.told(listener).contains("Periodic notification #1"));
}

#[test]
fn requests_that_wait_for_their_peer_to_take_its_answers_are_answered_by_the_next_server() {
    let mut house = House::with("");
    let request = format!("GET /healthz HTTP/1.1\r\n{LOCAL}\r\n");
    let who = house.connect("");
    house.take(who, 0);
    house.say(who, request.repeat(1000));
    assert_eq!(house.hand_over(""), 0);
    house.take(who, usize::MAX);
    assert_eq!(house.told(who).matches("HTTP/1.1 200").count(), 1000);
}

#[test]
fn who_is_held_back_stays_so_by_the_rate_of_the_next_server_and_nothing_is_lost() {
    let messages: Vec<u8> = (0..30).flat_map(|nth| frames::text(&format!("message {nth}"))).collect();
    for (next, least, most) in [("--limit-messages 10", 1, 4), ("", 0, 1), ("--limit-messages 1000", 0, 1)] {
        let mut house = House::with("--limit-messages 10");
        let who = listen(&mut house, "");
        house.say(who, &messages);
        let heard = |house: &House| house.told(who).matches("Server received: message").count();
        assert_eq!(heard(&house), 10);
        house.hand_over(next);
        house.run_for(least * SECOND);
        assert!(heard(&house) < 30 || least == 0, "{next}");
        house.run_for((most - least) * SECOND);
        assert_eq!(heard(&house), 30, "{next}");
    }
}

#[test]
fn the_limits_of_the_next_server_hold_for_what_follows() {
    // A message that is longer than it may be there, in its midst and between two fragments.
    for sent in [[frame(0x01, "x".repeat(2000))].concat(), frame(TEXT, "x".repeat(3000))[..2000].to_vec()] {
        let mut house = House::with("");
        let who = listen(&mut house, "");
        house.say(who, &sent);
        house.hand_over("--ws-max-size 1024");
        house.say(who, frame(0x80, "x".repeat(1000)));
        let close = [&[0x88_u8][..]].concat();
        let taken = house.clients[who].borrow().taken.clone();
        let at =
            taken.windows(4).rposition(|four| four[0] == close[0] && four[2..] == 1009_u16.to_be_bytes());
        assert!(at.is_some() && house.has_ended(who));
    }
    // Addresses are counted on.
    let home = Some("192.0.2.1".parse().unwrap());
    let mut house = House::with("--limit-per-ip 5");
    let first: Vec<usize> = (0..3).map(|_| house.connect_from(home, handshake("/ws"))).collect();
    house.hand_over("--limit-per-ip 4");
    assert!(first.iter().all(|who| !house.has_ended(*who)));
    let more = [(); 2].map(|()| house.connect_from(home, handshake("/ws")));
    let answers = more.map(|who| house.told(who).split(' ').nth(1).unwrap().to_owned());
    assert_eq!(answers, ["101", "429"]);
}

#[test]
fn pings_are_sent_as_the_next_server_sends_them() {
    let mut house = House::with("");
    let who = listen(&mut house, "");
    let pings =
        |house: &House| house.clients[who].borrow().taken.windows(2).filter(|two| *two == [0x89, 0]).count();
    house.run_for(100 * SECOND);
    assert_eq!(pings(&house), 0);
    house.hand_over("--ws-ping-interval 10 --ws-ping-timeout 0");
    house.run_for(35 * SECOND);
    assert_eq!((pings(&house), house.has_ended(who)), (3, false));
    // One that is still to be answered is not waited for where nobody waits for any.
    house.hand_over("--ws-ping-interval 10 --ws-ping-timeout 10");
    house.run_for(10 * SECOND);
    house.hand_over("--ws-ping-interval 10 --ws-ping-timeout 0");
    house.run_for(100 * SECOND);
    assert!(!house.has_ended(who) && pings(&house) > 10);
}

#[test]
fn a_replay_goes_on_where_it_was() {
    let mut house = House::with("--history-size 50 --outbox-limit 100000");
    (0..50).for_each(|nth| publish(&mut house, "a", &format!("<{nth}> {}", "x".repeat(5000))));
    let who = house.connect("");
    house.take(who, 0);
    house.say(who, handshake("/ws?topic=a&last_event_id=0000beef-0"));
    for nth in 50..90 {
        publish(&mut house, "a", &format!("<{nth}> {}", "x".repeat(5000)));
        if nth % 7 == 0 {
            house.take(who, 20_000);
            assert_eq!(house.hand_over("--history-size 50 --outbox-limit 100000"), 0);
        }
    }
    house.take(who, usize::MAX);
    let told = house.told(who);
    let all: Vec<usize> = (0..90).filter_map(|nth| told.find(&format!("<{nth}> "))).collect();
    assert!(all.len() == 90 && all.is_sorted(), "{}", all.len());
    assert_eq!(told.matches("> xx").count(), 90);
}

#[test]
fn a_connection_grows_old_across_moves_and_is_told_so_once() {
    let flags = "--max-connection-age 100";
    for moves in [&[][..], &[50], &[20, 40, 60, 80], &[89]] {
        let mut house = House::with(flags);
        let who = listen(&mut house, "topic=a");
        for second in 0..89 {
            house.run_for(SECOND);
            if moves.contains(&(second + 1)) {
                assert_eq!(house.hand_over(flags), 0);
            }
        }
        let notices = |house: &House| house.told(who).matches(r#""reason":"connection_age""#).count();
        assert_eq!(notices(&house), 0, "{moves:?}");
        house.run_for(22 * SECOND);
        assert_eq!(notices(&house), 1, "{moves:?}: {}", house.told(who));
        house.hand_over(flags);
        house.run_for(50 * SECOND);
        assert_eq!(notices(&house), 1, "{moves:?}");
    }
}
