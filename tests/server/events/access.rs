//! Who may read a stream: pages, tokens, and limits.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};

use super::*;

const APP: &str = "https://app.example.com";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// To which page an answer may be shown, and whether with its credentials.
fn sharing(response: &Response) -> [Option<&str>; 3] {
    ["Access-Control-Allow-Origin", "Vary", "Access-Control-Allow-Credentials"]
        .map(|name| response.field(name))
}

const SHARED_WITH_APP: [Option<&str>; 3] = [Some(APP), Some("Origin"), None];

#[test]
fn pages_of_an_allowed_origin_may_read_a_stream_and_others_are_told_why_not() {
    let server = Running::with(&format!("--allowed-origin {APP}"));
    let stream = Listener::connect_with(server.address, "/events", &format!("Origin: {APP}\r\n"));
    assert_eq!((stream.head.status, sharing(&stream.head)), (200, SHARED_WITH_APP));
    let page = "Origin: http://localhost:3000\r\n";
    let stream = Listener::connect_with(server.address, "/events", page);
    assert_eq!(stream.head.status, 200, "a page of this machine");
    assert_eq!(stream.head.field("Access-Control-Allow-Origin"), Some("http://localhost:3000"));
    for origin in ["https://evil.example", "null"] {
        let refusal = ask(&server, "GET /events", &format!("Origin: {origin}\r\nConnection: close\r\n"));
        assert_eq!((refusal.status, sharing(&refusal)), (403, [None; 3]));
        assert!(refusal.json()["error"].as_str().unwrap().contains("--allowed-origin"), "{refusal:?}");
    }
    let image = ask(&server, "GET /events", "Sec-Fetch-Site: cross-site\r\nConnection: close\r\n");
    assert_eq!((image.status, sharing(&image)), (403, [None; 3]), "it would hold a place for nobody");
    until_counted(&server, r#"requests_rejected_total{path="/events",reason="origin"} 3"#);
    let faulty = ask(&server, "GET /events?topic=a+b", &format!("Origin: {APP}\r\n"));
    assert_eq!((faulty.status, sharing(&faulty)), (400, SHARED_WITH_APP), "it can read its errors");
}

#[test]
fn a_browser_that_asks_first_is_told_what_a_page_may_send() {
    let server = Running::with(&format!("--allowed-origin {APP}"));
    let preflight = |origin: &str| {
        ask(
            &server,
            "OPTIONS /events",
            &format!("Access-Control-Request-Method: GET\r\nOrigin: {origin}\r\n"),
        )
    };
    let answer = preflight(APP);
    assert_eq!((answer.status, sharing(&answer)), (204, SHARED_WITH_APP));
    assert_eq!(answer.field("Access-Control-Allow-Methods"), Some("GET, HEAD"));
    assert!(answer.field("Access-Control-Allow-Headers").unwrap().contains("Last-Event-ID"));
    let refusal = preflight("https://evil.example");
    assert_eq!(
        (refusal.status, refusal.field("Allow"), sharing(&refusal)),
        (405, Some("GET, HEAD"), [None; 3])
    );
}

#[test]
fn a_page_whose_name_was_rebound_reads_nothing_whatever_it_adds() {
    let server = Running::with("");
    let by_name = |name: &str, fields: &str| {
        let mut peer = Peer::connect(server.address);
        peer.send(format!("GET /events HTTP/1.1\r\nHost: {name}\r\n{fields}\r\n"));
        peer.head().status
    };
    assert_eq!(by_name("evil.example:8000", ""), 403);
    assert_eq!(by_name("evil.example:8000", "X-Forwarded-For: 10.0.0.1\r\nForwarded: for=1\r\n"), 403);
    assert_eq!(
        by_name("app.example.com", "Sec-Fetch-Site: same-origin\r\n"),
        200,
        "over TLS, behind a proxy"
    );
    assert_eq!(by_name("app.example.com", "Via: 1.1 nginx\r\n"), 200);
    assert_eq!(by_name("localhost:8000", ""), 200);
}

fn token(topics: &[&str], expires_in: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let claims = json!({"sub": "ada", "exp": now + expires_in, "slackwater": {"subscribe": topics}});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

#[test]
fn a_token_says_what_may_be_heard_wherever_a_request_carries_it() {
    let server = Running::with(&format!("--auth-secret {SECRET} --anonymous-topic news"));
    let good = token(&["a/*"], 1000.0);
    for (target, fields, status) in [
        ("/events?topic=a/1", format!("Authorization: Bearer {good}\r\n"), 200),
        ("/events?topic=a/1", format!("Cookie: slackwater_token={good}\r\n"), 200),
        (&format!("/events?topic=a/1&token={good}"), String::new(), 200),
        ("/events?topic=news", String::new(), 200),
        ("/events?topic=a/1", String::new(), 401),
        ("/events", String::new(), 401),
        ("/events?topic=b", format!("Authorization: Bearer {good}\r\n"), 403),
        ("/events?topic=a/1", format!("Authorization: Bearer {good}x\r\n"), 401),
    ] {
        let head = Listener::connect_with(server.address, target, &fields).head;
        assert_eq!(head.status, status, "{target} {fields}");
        assert_eq!(head.field("WWW-Authenticate").is_some(), status != 200);
    }
    // It vouches for a page of another name, too, which a rebound page could not show.
    let mut peer = Peer::connect(server.address);
    peer.send(format!("GET /events?topic=a/1&token={good} HTTP/1.1\r\nHost: app.example.com\r\n\r\n"));
    assert_eq!(peer.head().status, 200);
}

#[test]
fn a_stream_ends_with_its_token_and_whoever_comes_back_with_that_is_refused() {
    let server = Running::with(&format!("--auth-secret {SECRET}"));
    let target = format!("/events?topic=a&token={}", token(&["a"], 2.5));
    let mut stream = Listener::join(server.address, &target);
    assert_eq!(stream.rest(), []);
    // On which a browser gives up.
    assert_eq!(ask(&server, &format!("GET {target}"), "").status, 401);
    drop(stream);
    until_counted(&server, r#"disconnects_total{reason="expired",code="0"} 1"#);
}

#[test]
fn in_a_crowd_a_stream_is_to_be_asked_for_later_and_that_is_counted_as_a_refusal() {
    let server = Running::with("--limit-concurrency 1");
    let first = Listener::join(server.address, "/events");
    for what in ["GET /events", "HEAD /events"] {
        let later = ask(&server, what, "Origin: http://localhost\r\n");
        assert_eq!(
            (later.status, later.field("Content-Type")),
            (200, Some("text/event-stream; charset=utf-8"))
        );
        assert_eq!(later.field("Access-Control-Allow-Origin"), Some("http://localhost"));
        let (events, reader) = read(&later);
        assert_eq!((events, reader.last_event_id.as_str()), (vec![], ""));
        let wait = reader.retry.map(|wait| (5000..8000).contains(&wait));
        assert_eq!(wait, (what == "GET /events").then_some(true));
    }
    assert_eq!(ask(&server, "GET /ws", "").status, 503);
    drop(first);
    let began = Instant::now();
    while ask(&server, "GET /metrics", "Connection: close\r\n").status != 200 {
        assert!(began.elapsed() < PATIENCE, "the first still holds its place");
    }
    until_counted(&server, r#"requests_rejected_total{path="/events",reason="connection_limit"} 2"#);
}

#[test]
fn of_one_address_no_more_streams_are_open_than_it_may_have() {
    let server = Running::with("--limit-per-ip 2");
    let first = Listener::join(server.address, "/events");
    let _second = Listener::join(server.address, "/events");
    let later = ask(&server, "GET /events", "");
    let (events, reader) = read(&later);
    assert_eq!((later.status, events), (200, vec![]));
    assert!(reader.retry.is_some_and(|wait| wait >= 1000), "{reader:?}");
    assert_eq!(later.field("Retry-After"), None, "that is for those who are refused");
    drop(first);
    let began = Instant::now();
    while begun(&server).reader.last_event_id.is_empty() {
        assert!(began.elapsed() < PATIENCE, "the first still holds its place");
    }
}

#[test]
fn behind_a_proxy_streams_count_for_the_clients_that_it_names_until_they_end() {
    let server = Running::with("--proxy-headers --limit-per-ip 1");
    let of = |client: &str| {
        let mut stream = Listener::connect_with(
            server.address,
            "/events",
            &format!("X-Forwarded-For: {client}\r\nVia: 1.1 x\r\n"),
        );
        stream.read_more();
        stream
    };
    let is_taken_in = |stream: &Listener| !stream.reader.last_event_id.is_empty();
    let (first, second, other) = (of("10.0.0.1"), of("10.0.0.1"), of("10.0.0.2"));
    assert_eq!([&first, &second, &other].map(is_taken_in), [true, false, true]);
    drop(first);
    let began = Instant::now();
    while !is_taken_in(&of("10.0.0.1")) {
        assert!(began.elapsed() < PATIENCE, "the first still holds its place");
    }
}

/// A stream, and what it begins with, if it does.
fn begun(server: &Running) -> Listener {
    let mut stream = Listener::connect(server.address, "/events");
    stream.read_more();
    stream
}
