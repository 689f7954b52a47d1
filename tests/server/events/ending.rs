//! How streams end: with their clients, for being too slow, and when the server leaves.

use super::*;

#[test]
fn a_client_that_ends_its_side_is_gone_once_it_has_what_it_missed() {
    let server = Running::with("");
    let mut publisher = Publisher::connect(server.address);
    let ids: Vec<String> = (0..3).map(|n| publisher.publish(&n.to_string())).collect();
    let mut stream =
        Listener::connect_with(server.address, "/events", &format!("Last-Event-ID: {}\r\n", ids[0]));
    stream.peer.finish();
    let events = stream.rest();
    assert_eq!(events.iter().map(|event| &event.last_event_id).collect::<Vec<_>>(), [&ids[1], &ids[2]]);
    until_connected(&server, 0);
}

#[test]
fn a_stream_that_does_not_read_is_ended_behind_whole_octets_and_resumes_without_loss() {
    let server = Running::with("--outbox-limit 65536 --write-timeout 0.2");
    let mut bystander = Listener::join(server.address, "/events");
    let mut publisher = Publisher::connect(server.address);
    let peer = Peer::with_little_room(server.address);
    let mut deaf = Listener::over(peer, "/events", "");
    let text = "x".repeat(20_000);
    let count = 100;
    for n in 0..count {
        publisher.publish_to("notifications", json!({"n": n, "text": text}));
        assert_eq!(bystander.hear_data()["n"], n, "nobody else notices");
    }
    until_connected(&server, 1);
    // It reads what has reached it, and resumes from there.
    let octets = deaf.peer.remains();
    let mut heard: Vec<Value> =
        deaf.read(octets).iter().map(|event| event.json()["data"]["n"].clone()).collect();
    assert!(heard.len() < count, "it was not too slow");
    let field = format!("Last-Event-ID: {}\r\n", deaf.reader.last_event_id);
    let mut back = Listener::connect_with(server.address, "/events", &field);
    while heard.len() < count {
        heard.push(back.hear_data()["n"].take());
    }
    assert_eq!(heard, (0..count).map(Value::from).collect::<Vec<_>>());
    until_counted(&server, r#"disconnects_total{reason="too_slow",code="0"} 1"#);
}

/// The last event of a stream that the server has ended, and when its client is to come back.
fn notice(stream: &mut Listener) -> (Option<String>, Option<u64>) {
    let events = stream.rest();
    let reason = events.last().map(|event| {
        assert_eq!(event.name, "reconnect");
        let notice = event.json();
        assert_eq!(
            (&notice["type"], notice["after_ms"].as_u64()),
            (&json!("reconnect"), stream.reader.retry)
        );
        notice["reason"].as_str().unwrap().to_owned()
    });
    (reason, stream.reader.retry)
}

#[test]
fn a_leaving_server_ends_each_stream_at_its_moment_and_then_itself() {
    let mut server = Running::with("--drain-spread 1");
    let mut streams: [Listener; 3] = std::array::from_fn(|_| Listener::join(server.address, "/events"));
    server.signal();
    for stream in &mut streams {
        let (reason, retry) = notice(stream);
        assert_eq!(reason.as_deref(), Some("server_restart"));
        assert!(retry.is_some_and(|wait| (1000..3000).contains(&wait)), "{retry:?}");
    }
    drop(streams);
    assert_eq!(server.outcome(), Outcome::Drained);
}

#[test]
fn without_notices_streams_stay_and_are_heard_by_until_the_patience_is_over() {
    let mut server = Running::with("");
    let mut stream = Listener::join(server.address, "/events");
    let mut publisher = Publisher::connect(server.address);
    publisher.publish("before");
    server.signal();
    assert_eq!(stream.hear_data(), "before");
    server.signal();
    let before = stream.reader.retry.take();
    assert_eq!((notice(&mut stream), before.is_some()), ((None, before), true));
    drop(stream);
    assert_eq!(server.outcome(), Outcome::Forced);
}

#[test]
fn whoever_asks_while_the_server_leaves_is_told_to_come_back_and_not_refused() {
    let server = Running::with("--drain-spread 30");
    let _client = server.client();
    let [mut fresh, mut head, mut socket] = [(); 3].map(|()| Peer::connect(server.address));
    let mut idle = Peer::connect(server.address);
    idle.send(support::HEALTHZ);
    assert_eq!(idle.response().status, 200);
    server.signal();
    assert_eq!(idle.rest(), b"");
    let ask = |method| format!("{method} /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    fresh.send(ask("GET"));
    let answer = fresh.last_response();
    assert_eq!(
        (answer.status, answer.field("Content-Type")),
        (200, Some("text/event-stream; charset=utf-8"))
    );
    let (events, reader) = read(&answer);
    assert_eq!((events, reader.last_event_id.is_empty()), (vec![], false));
    assert!(reader.retry.is_some_and(|wait| (1000..=30_000).contains(&wait)), "{reader:?}");
    head.send(ask("HEAD"));
    let answer = head.last_response();
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    socket.send(support::HANDSHAKE);
    assert_eq!(socket.response().status, 503);
}

#[test]
fn an_old_stream_is_told_to_come_back_and_ended_in_time() {
    let server = Running::with("--max-connection-age 1 --drain-spread 1");
    let began = Instant::now();
    let mut stream = Listener::join(server.address, "/events");
    assert_eq!(notice(&mut stream).0.as_deref(), Some("connection_age"));
    assert_waited(began, 800);
    assert_eq!(Listener::join(server.address, "/events").head.status, 200);
}
