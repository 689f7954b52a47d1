//! Who comes back to a stream with its last id is brought what it missed, or is told of the gap.

use super::*;

/// Publishes so many, and gives their ids.
fn published(server: &Running, count: usize) -> Vec<String> {
    let mut publisher = Publisher::connect(server.address);
    (1..=count).map(|n| publisher.publish(&n.to_string())).collect()
}

/// What a client that comes back hears of three publications and a fourth that is live.
fn data(stream: &mut Listener, count: usize) -> Vec<Value> {
    (0..count).map(|_| stream.hear_data()).collect()
}

#[test]
fn a_client_resumes_by_the_field_of_a_browser_or_by_the_query_and_the_field_wins() {
    let server = Running::with("");
    let mut ids = published(&server, 3);
    let (oldest, second) = (ids[0].clone(), format!("Last-Event-ID: {}\r\n", ids[1]));
    for (has_query, field, heard) in [
        (false, second.as_str(), 2),
        (true, "", 1),
        (true, second.as_str(), 2),
        (true, "Last-Event-ID:\r\n", 1),
    ] {
        let query = if has_query { format!("?last_event_id={oldest}") } else { String::new() };
        let mut stream = Listener::connect_with(server.address, &format!("/events{query}"), field);
        ids.extend(published(&server, 1));
        let expected = &ids[heard..];
        let told: Vec<_> = (0..expected.len()).map(|_| stream.hear().last_event_id).collect();
        assert_eq!(told, expected, "{query} {field}");
    }
    for resumes in [false, true] {
        let newest = if resumes { &ids[ids.len() - 1] } else { "" };
        let query = format!("?last_event_id={newest}");
        let mut stream = Listener::join(server.address, &format!("/events{query}"));
        ids.extend(published(&server, 1));
        assert_eq!(stream.hear().last_event_id, ids[ids.len() - 1], "{query}");
    }
    until_counted(&server, r#"resumes_total{result="resumed"} 5"#);
}

#[test]
fn the_opening_of_a_stream_that_resumes_promises_nothing_that_is_still_to_come() {
    let server = Running::with("");
    let ids = published(&server, 3);
    let mut peer = Peer::connect(server.address);
    peer.send(format!("GET /events?last_event_id={} HTTP/1.1\r\nHost: localhost\r\n\r\n", ids[0]));
    peer.head();
    let mut text = String::new();
    while !text.contains("\n\n") {
        text += &String::from_utf8(peer.more()).unwrap();
    }
    let first_id = text.lines().find_map(|line| line.strip_prefix("id: "));
    assert_eq!(first_id, Some(ids[0].as_str()), "{text}");
}

#[test]
fn whoever_has_heard_nothing_yet_resumes_from_the_id_that_it_was_given() {
    let server = Running::with("");
    published(&server, 2);
    let first = Listener::join(server.address, "/events");
    let id = first.reader.last_event_id.clone();
    drop(first);
    published(&server, 1);
    let mut second = Listener::connect_with(server.address, "/events", &format!("Last-Event-ID: {id}\r\n"));
    assert_eq!(second.hear_data(), "1");
}

#[test]
fn where_something_may_be_missing_a_gap_comes_first_with_the_newest_id() {
    let server = Running::with("--history-size 2");
    let ids = published(&server, 4);
    let (epoch, _) = ids[0].split_once('-').unwrap();
    let other_epoch = if epoch == "00000001" { "00000002-3" } else { "00000001-3" };
    for last in [&ids[0], other_epoch, &format!("{epoch}-99999"), "nonsense", "0", "\u{fc}"] {
        let field = format!("Last-Event-ID: {last}\r\n");
        let mut stream = Listener::connect_with(server.address, "/events", &field);
        let gap = stream.hear();
        assert_eq!((gap.name.as_str(), &gap.last_event_id), ("gap", ids.last().unwrap()), "{last}");
        let mut told = gap.json();
        assert!(told["timestamp"].take().as_str().is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok()));
        assert_eq!(told, json!({"type": "gap", "timestamp": null}));
    }
    let mut reaches =
        Listener::connect_with(server.address, "/events", &format!("Last-Event-ID: {}\r\n", ids[1]));
    assert_eq!(data(&mut reaches, 2), ["3", "4"]);
    let mut stream = Listener::connect_with(server.address, "/events", "Last-Event-ID: nonsense\r\n");
    assert_eq!(stream.hear().name, "gap");
    published(&server, 1);
    assert_eq!(stream.hear_data(), "1", "and goes on");
    until_counted(&server, r#"resumes_total{result="gap"} 7"#);
}

#[test]
fn a_client_moves_between_a_websocket_and_a_stream_without_missing_anything() {
    let server = Running::with("");
    let mut socket = server.client();
    published(&server, 1);
    let last = socket.hear()["id"].as_str().unwrap().to_owned();
    published(&server, 2);
    let mut stream = Listener::connect_with(server.address, "/events", &format!("Last-Event-ID: {last}\r\n"));
    assert_eq!(data(&mut stream, 2), ["1", "2"]);
}

#[test]
fn much_that_was_missed_comes_whole_and_what_is_published_meanwhile_behind_it() {
    let server = Running::with("--outbox-limit 65536");
    let mut publisher = Publisher::connect(server.address);
    let first = publisher.publish("0");
    let text = "x".repeat(2000);
    for n in 1..400 {
        publisher.publish_to("notifications", json!({"n": n, "text": text}));
    }
    let peer = Peer::with_little_room(server.address);
    let mut stream = Listener::over(peer, "/events", &format!("Last-Event-ID: {first}\r\n"));
    for n in 400..420 {
        publisher.publish_to("notifications", json!({"n": n}));
    }
    for n in 1..420 {
        assert_eq!(stream.hear_data()["n"], n);
    }
}
