//! How a stream begins, what it brings, and whom else it is counted among.

use super::*;

#[test]
fn a_stream_begins_with_an_id_and_brings_what_is_published_as_a_websocket_does() {
    let server = Running::with("");
    let mut stream = Listener::join(server.address, "/events?topic=orders");
    let mut socket = server.client_at("/ws?topic=orders");
    let fields = ["Content-Type", "Cache-Control", "X-Accel-Buffering", "Transfer-Encoding", "Connection"];
    assert_eq!(
        fields.map(|name| stream.head.field(name)),
        ["text/event-stream; charset=utf-8", "no-store", "no", "chunked", "close"].map(Some)
    );
    assert!(["Content-Length", "Vary"].iter().all(|name| stream.head.field(name).is_none()));
    assert!(stream.reader.last_event_id.ends_with("-0"), "nothing was published yet");
    assert!(stream.reader.retry.is_some_and(|wait| (1000..3000).contains(&wait)));
    let mut publisher = Publisher::connect(server.address);
    let id = publisher.publish_to("orders", json!({"n": 1}));
    publisher.publish_to("else", 2);
    publisher.publish_to("orders", 3);
    for data in [json!({"n": 1}), json!(3)] {
        let message = stream.message();
        assert_eq!((&message, &message["data"]), (&socket.hear(), &data));
    }
    assert_ne!(id, stream.reader.last_event_id);
}

#[test]
fn a_stream_hears_all_topics_that_it_names_or_else_the_default_one() {
    let server = Running::with("");
    let mut several = Listener::join(server.address, "/events?topic=a&topic=b%2F*&topic=a");
    let mut default = Listener::join(server.address, "/events?topic=");
    let mut publisher = Publisher::connect(server.address);
    for (n, topic) in ["a", "c", "b/x", "notifications", "b/y/z"].into_iter().enumerate() {
        publisher.publish_to(topic, n);
    }
    assert_eq!([(); 3].map(|()| several.hear_data()), [0, 2, 4]);
    assert_eq!(default.hear_data(), 3);
}

#[test]
fn data_with_line_breaks_reaches_a_browser_as_the_same_json() {
    let server = Running::with("");
    let mut stream = Listener::join(server.address, "/events?topic=t");
    let mut publisher = Publisher::connect(server.address);
    for data in ["{\r\n \"a\":\r[1,\n\n2] }", "\"\\r\\n\"", "[\n]", "\"ü \u{2028}\u{85}\""] {
        let body = format!("{{\"topic\": \"t\", \"data\": {data}}}");
        assert_eq!(publisher.post("/publish", "Content-Type: application/json\r\n", &body).status, 200);
        let expected: Value = serde_json::from_str(data).unwrap();
        assert_eq!(stream.hear_data(), expected, "{data:?}");
    }
    publisher.publish_to("t", "and goes on");
    assert_eq!(stream.hear_data(), "and goes on");
}

#[test]
fn clients_of_http_1_0_and_programs_without_a_name_for_the_server_are_served_alike() {
    let server = Running::with("");
    let mut publisher = Publisher::connect(server.address);
    for (request, coding, beginning) in [
        ("GET /events HTTP/1.0\r\n\r\n", None, ":\nretry: "),
        (
            "GET http://localhost/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
            Some("chunked"),
            "\r\n:\nretry: ",
        ),
    ] {
        let mut peer = Peer::connect(server.address);
        peer.send(request);
        let head = peer.head();
        assert_eq!((head.status, head.field("Connection")), (200, Some("close")));
        assert_eq!(head.field("Transfer-Encoding"), coding);
        let opening = String::from_utf8(peer.more()).unwrap();
        assert!(
            opening.trim_start_matches(|c: char| c.is_ascii_hexdigit()).starts_with(beginning),
            "{opening}"
        );
        publisher.publish("heard");
        let event = String::from_utf8(peer.more()).unwrap();
        let (start, data) = event.split_once("data: ").unwrap();
        let length = coding.map(|_| format!("{:x}\r\n", "data: ".len() + data.len() - 2));
        assert_eq!(start, length.unwrap_or_default(), "{event}");
    }
}

#[test]
fn head_tells_how_a_stream_would_begin_and_other_methods_are_not_allowed() {
    let server = Running::with("");
    let (stream, head) = (Listener::join(server.address, "/events"), ask(&server, "HEAD /events", ""));
    let without_date =
        |head: &Response| head.head.lines().filter(|line| !line.starts_with("Date")).collect::<String>();
    assert_eq!(without_date(&head), without_date(&stream.head));
    assert_eq!(head.body, b"");
    for method in ["POST", "PUT", "OPTIONS", "get"] {
        let refusal = ask(&server, &format!("{method} /events"), "");
        assert_eq!((refusal.status, refusal.field("Allow")), (405, Some("GET, HEAD")), "{method}");
    }
    until_connected(&server, 1);
}

#[test]
fn topics_that_cannot_be_listened_to_are_refused_before_a_stream_begins() {
    let server = Running::with("");
    let refusal = ask(&server, "GET /events?topic=a&topic=a+b", "Connection: close\r\n");
    let why = refusal.json()["error"].as_str().unwrap().to_owned();
    assert!(refusal.status == 400 && why.starts_with("\"a b\" is no topic"), "{why}");
    until_counted(&server, r#"requests_rejected_total{path="/events",reason="malformed"} 1"#);
}

#[test]
fn what_a_peer_sends_behind_its_request_is_dropped() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address);
    let healthz = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    peer.send(format!("{healthz}GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n{healthz}"));
    assert_eq!(peer.response().text(), r#"{"status":"ok"}"#);
    assert_eq!(peer.head().field("Content-Type"), Some("text/event-stream; charset=utf-8"));
    peer.send("x".repeat(1_000_000));
    Publisher::connect(server.address).publish("heard");
    let (mut reader, mut chunks) = (Reader::default(), Chunks::default());
    let mut heard = vec![];
    while heard.is_empty() {
        heard = reader.read(chunks.read(peer.more()));
    }
    assert_eq!((heard.len(), &heard[0].json()["data"]), (1, &json!("heard")));
}

#[test]
fn streams_are_clients_and_told_apart_from_others() {
    let server = Running::with("--notify-interval 0.1");
    let (mut stream, mut socket) = (Listener::join(server.address, "/events"), server.client());
    while stream.message()["active_connections"] != 2 {}
    while socket.hear()["active_connections"] != 2 {}
    let status = ask(&server, "GET /status", "Connection: close\r\n").json();
    assert_eq!((&status["connections"], &status["event_streams"]), (&json!(2), &json!(1)));
    assert_eq!(status["workers"][0]["event_streams"], 1);
    for line in ["connections_active 2.0", "event_streams 1.0", "connections_total 2"] {
        until_counted(&server, line);
    }
    drop(stream);
    until_counted(&server, "event_streams 0.0");
    until_counted(&server, "disconnects_total{reason=\"gone\",code=\"0\"} 1");
}

#[test]
fn messages_on_a_stream_are_counted_one_by_one() {
    let server = Running::with("");
    let mut stream = Listener::join(server.address, "/events");
    let mut publisher = Publisher::connect(server.address);
    (0..5).for_each(|n| assert!(!publisher.publish(&n.to_string()).is_empty()));
    (0..5).for_each(|n| assert_eq!(stream.hear_data(), n.to_string()));
    until_counted(&server, "messages_sent_total 5");
}
