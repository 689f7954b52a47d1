//! Facts about request parsing.

use proptest::prelude::*;

use super::*;
use crate::wire::request::{Fields, Method, Preflight};
use crate::wire::upgrade::Upgrade;

const WANTED: BodyWish = BodyWish::Collect(10);

fn buffer(bytes: &str) -> RequestBuffer {
    let mut buffer = RequestBuffer::default();
    buffer.extend(bytes.replace('\n', "\r\n").as_bytes());
    buffer
}

fn next(buffer: &mut RequestBuffer) -> Result<Next, Refusal> {
    buffer.next(|_| BodyWish::Skip)
}

fn first(request: &str) -> Result<Next, Refusal> {
    next(&mut buffer(request))
}

fn request(next: Result<Next, Refusal>) -> Request {
    match next {
        Ok(Next::Request(request)) => *request,
        other => panic!("expected a request, not {other:?}"),
    }
}

fn get(path: &str) -> Request {
    Request {
        method: Method::Get,
        path: path.to_owned(),
        query: None,
        fields: Fields { host: Some("x".to_owned()), ..Fields::default() },
        keep_alive: true,
        takes_chunks: true,
        upgrade: Upgrade::NotAsked,
        body: vec![],
        is_secured: false,
        granted: None,
    }
}

#[test]
fn a_request_comes_once_its_head_is_whole() {
    let mut buffer = RequestBuffer::default();
    for octet in b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r" {
        buffer.extend(&[*octet]);
        assert_eq!(next(&mut buffer), Ok(Next::More));
    }
    buffer.extend(b"\n");
    assert_eq!(request(next(&mut buffer)), Request { query: Some("b=c".to_owned()), ..get("/a") });
    assert!(buffer.is_empty());
}

#[test]
fn several_fields_that_name_clients_are_one_list() {
    let named = |fields: &str| {
        let next = first(&format!("GET / HTTP/1.1\nHost: x\n{fields}\n"));
        request(next).fields.forwarded_for
    };
    let several = "X-Forwarded-For: 192.0.2.1, 192.0.2.2\nVia: 1.1 a\nx-forwarded-for: 192.0.2.3\n";
    assert_eq!(named(several).as_deref(), Some("192.0.2.1, 192.0.2.2,192.0.2.3"));
    assert_eq!(named("X-Forwarded-For:\n").as_deref(), Some(""));
    assert_eq!(named("X-Forwarded: 192.0.2.1\n"), None);
}

#[test]
fn pipelined_requests_come_one_by_one_and_unwanted_bodies_are_skipped() {
    let mut buffer = buffer("POST /p HTTP/1.1\nHost: x\nContent-Length: 5\n\n12");
    assert_eq!(request(next(&mut buffer)), Request { method: Method::Post, ..get("/p") });
    assert_eq!(next(&mut buffer), Ok(Next::More));
    assert!(!buffer.is_empty(), "half a body is not idle");
    buffer.extend(b"345GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\nrest");
    assert_eq!(request(next(&mut buffer)), get("/1"));
    assert_eq!(request(next(&mut buffer)), get("/2"));
    assert_eq!(buffer.into_rest(), b"rest");
}

#[test]
fn of_a_body_that_nobody_wants_nothing_is_kept() {
    for (length, pieces) in [(200_000, [65_536, 65_536, 60_000]), (65_400, [65_400, 0, 0])] {
        let mut buffer = buffer("");
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        buffer.extend(&[head.as_bytes(), &vec![b'x'; pieces[0]]].concat());
        assert!(matches!(next(&mut buffer), Ok(Next::Request(_))));
        for piece in &pieces[1..] {
            buffer.extend(&vec![b'x'; *piece]);
            assert_eq!(next(&mut buffer), Ok(Next::More));
        }
        assert_eq!(buffer.bytes.capacity(), 0, "{length}");
    }
}

#[test]
fn what_came_with_a_head_takes_no_room_twice() {
    let mut buffer = buffer("");
    let head = format!("POST /wanted HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{}", "x".repeat(19));
    let empty_lines = "\r\n".repeat(30_000);
    buffer.extend(format!("{empty_lines}{head}").as_bytes());
    assert_eq!(buffer.next(|_| BodyWish::Collect(20)), Ok(Next::More));
    assert_eq!(buffer.bytes.capacity(), 0);
}

#[test]
fn a_wanted_body_is_collected_before_its_request_comes() {
    for head in ["Content-Length: 5\n\n", "Transfer-Encoding: chunked\n\n2\n12\n3\n"] {
        let mut buffer = buffer(&format!("POST /p HTTP/1.1\nHost: x\n{head}"));
        assert_eq!(buffer.next(|_| WANTED), Ok(Next::More));
        buffer.extend(if head.contains("chunked") { b"345\r\n0\r\n\r\nGET" } else { b"12345GET" });
        let request = request(buffer.next(|_| WANTED));
        assert_eq!((request.body.as_slice(), request.keep_alive), (&b"12345"[..], true));
        assert_eq!(buffer.into_rest(), b"GET");
    }
    let large = buffer("POST /p HTTP/1.1\nHost: x\nContent-Length: 11\n\n").next(|_| WANTED);
    assert_eq!(large, Err(Refusal::BodyOverLimit(10)));
}

#[test]
fn a_peer_that_waits_for_100_is_told_to_go_on_only_for_a_wanted_body() {
    let head = "POST /p HTTP/1.1\nHost: x\nContent-Length: 2\nExpect: 100-Continue\n\n";
    let mut waiting = buffer(head);
    assert_eq!(waiting.next(|_| WANTED), Ok(Next::Continue));
    assert_eq!(waiting.next(|_| WANTED), Ok(Next::More));
    waiting.extend(b"ok");
    assert_eq!(request(waiting.next(|_| WANTED)).body, b"ok");
    assert_eq!(request(buffer(&format!("{head}ok")).next(|_| WANTED)).body, b"ok");
    assert!(!request(first(head)).keep_alive);
    assert!(
        request(first(&head.replace("Content-Length: 2\n", ""))).keep_alive,
        "there is no body to wait for"
    );
}

#[test]
fn http_1_0_is_never_told_to_go_on() {
    let mut waiting = buffer("POST /p HTTP/1.0\nContent-Length: 2\nExpect: 100-continue\n\n");
    assert_eq!(waiting.next(|_| WANTED), Ok(Next::More));
    waiting.extend(b"ok");
    assert_eq!(request(waiting.next(|_| WANTED)).body, b"ok");
}

#[test]
fn an_expectation_that_is_not_known_is_ignored() {
    let mut buffer = buffer("POST /p HTTP/1.1\nHost: x\nContent-Length: 2\nExpect: tea\n\n");
    assert_eq!(buffer.next(|_| WANTED), Ok(Next::More));
}

#[test]
fn empty_lines_ahead_of_a_request_are_no_part_of_it() {
    let mut buffer = buffer("\n\nPOST /p HTTP/1.1\nHost: x\nContent-Length: 1\n\nx\n");
    assert_eq!(request(next(&mut buffer)), Request { method: Method::Post, ..get("/p") });
    assert_eq!(next(&mut buffer), Ok(Next::More));
    assert!(buffer.is_empty());
    buffer.extend(b"\nGET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(request(next(&mut buffer)), get("/1"));
}

#[test]
fn a_line_of_the_head_ends_with_both_octets() {
    let whole = "GET / HTTP/1.1\r\nHost: x\r\nX: y\r\n\r\n";
    for end in whole.match_indices("\r\n").map(|(end, _)| end) {
        let mut buffer = RequestBuffer::default();
        buffer.extend([&whole.as_bytes()[..end], &whole.as_bytes()[end + 1..]].concat().as_slice());
        assert_eq!(
            next(&mut buffer),
            Err(Refusal::Malformed("a line ends without a carriage return")),
            "{end}"
        );
    }
}

#[test]
fn what_is_not_a_target_or_a_host_is_refused() {
    let why = |head: &str| first(&format!("{head}\n\n")).unwrap_err();
    let target = Refusal::Malformed("the target is neither a path nor a URL of http or https");
    for line in
        ["POST *://y/publish", "GET foo?x://y/healthz", "GET *", "CONNECT x:80", "POST http://u@y/publish"]
    {
        assert_eq!(why(&format!("{line} HTTP/1.1\nHost: x")), target, "{line}");
    }
    let host = Refusal::Malformed("Host is not a host");
    for value in ["a b", "a/b", "u@x", "[::1", "x:y", "x, y", "m\u{fc}ller"] {
        assert_eq!(why(&format!("GET / HTTP/1.1\nHost: {value}")), host, "{value}");
        assert_eq!(why(&format!("GET http://x/ HTTP/1.0\nHost: {value}")), host, "{value}");
    }
    for line in ["GET /a b HTTP/1.1", "GET /a", "GET  / HTTP/1.1", "GET / http/1.1", "GET / HTTP/1.1 x"] {
        assert_eq!(why(&format!("{line}\nHost: x")), Refusal::Malformed("not an HTTP request"), "{line}");
    }
}

#[test]
fn the_host_of_the_target_counts_instead_of_the_field() {
    for (head, host, ignored_host) in [
        ("GET http://y:80/ HTTP/1.1\nHost: x", Some("y:80"), Some("x")),
        ("GET http://y/ HTTP/1.1\nHost:", Some("y"), Some("")),
        ("GET http://y HTTP/1.0", Some("y"), None),
        ("GET / HTTP/1.1\nHost:", Some(""), None),
        ("GET / HTTP/1.0", None, None),
    ] {
        let fields = request(first(&format!("{head}\n\n"))).fields;
        assert_eq!((fields.host.as_deref(), fields.ignored_host.as_deref()), (host, ignored_host), "{head}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let refused = [
        ("Content-Length: 1\nTransfer-Encoding: chunked", "both Content-Length and Transfer-Encoding"),
        ("Content-Length: 1\nContent-Length: 1", "more than one Content-Length"),
        ("Content-Length: 1, 1", "Content-Length is not a number"),
        ("Content-Length: +1", "Content-Length is not a number"),
        ("Content-Length:", "Content-Length is not a number"),
        ("Transfer-Encoding: chunked\nTransfer-Encoding: chunked", "more than one Transfer-Encoding"),
        ("Host: y", "more than one Host"),
        ("Origin: http://x\nOrigin: http://x", "more than one Origin"),
        ("Authorization: Bearer a\nauthorization:", "more than one Authorization"),
        ("Content-Type: text/plain\nContent-Type: application/json", "more than one Content-Type"),
        ("Last-Event-ID: a\nLast-Event-ID: b", "more than one Last-Event-ID"),
        ("Content-Length : 1", "not an HTTP request"),
        ("X: a\n b", "not an HTTP request"),
    ];
    for (fields, why) in refused {
        let request = format!("GET / HTTP/1.1\nHost: x\n{fields}\n\n");
        assert_eq!(first(&request), Err(Refusal::Malformed(why)), "{fields}");
    }
    assert_eq!(first("GET / HTTP/1.1\n\n"), Err(Refusal::Malformed("no Host")));
}

#[test]
fn every_limit_has_its_status() {
    let long = "x".repeat(MAX_HEAD_BYTES);
    let many = "a: b\n".repeat(MAX_HEADERS);
    let statuses = [
        (format!("GET /{long} HTTP/1.1\nHost: x\n\n"), 431),
        (format!("GET /{long}"), 431),
        (format!("GET / HTTP/1.1\nHost: x\n{many}\n"), 431),
        (format!("POST / HTTP/1.1\nHost: x\nContent-Length: {}\n\n", MAX_SKIPPED_BYTES + 1), 413),
        ("POST / HTTP/1.1\nHost: x\nContent-Length: 99999999999999999999999\n\n".to_owned(), 413),
        ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: gzip\n\n".to_owned(), 501),
        ("GET / HTTP/2.0\nHost: x\n\n".to_owned(), 505),
        ("\x16\x03\x01\x02".to_owned(), 400),
    ];
    for (request, status) in statuses {
        assert_eq!(first(&request).unwrap_err().status().0, status, "{:.60}", request);
    }
}

#[test]
fn a_browser_asks_for_a_page_by_options_with_the_method_and_an_origin() {
    let asks = |line: &str, fields: &str| {
        request(first(&format!("{line} HTTP/1.1\nHost: x\n{fields}\n"))).fields.preflight
    };
    let (origin, method) = ("Origin: null\n", "access-control-request-method: POST\n");
    assert_eq!(asks("OPTIONS /p", &[origin, method].concat()), Preflight::Asked);
    let private = "Access-Control-Request-Private-Network: true\n";
    assert_eq!(asks("OPTIONS /p", &[origin, method, private].concat()), Preflight::AskedFromOutside);
    for (line, fields) in [
        ("GET /p", [origin, method].concat()),
        ("OPTIONS /p", origin.to_owned()),
        ("OPTIONS /p", method.to_owned()),
    ] {
        assert_eq!(asks(line, &fields), Preflight::NotAsked, "{line} {fields}");
    }
}

#[test]
fn a_connection_is_kept_when_both_sides_can_tell_where_the_request_ends() {
    let kept = |line: &str, fields: &str| request(first(&format!("{line}\nHost: x\n{fields}\n"))).keep_alive;
    assert!(kept("GET / HTTP/1.1", ""));
    assert!(!kept("GET / HTTP/1.1", "Connection: Foo, Close\n"));
    assert!(!kept("GET / HTTP/1.0", ""));
    assert!(!kept("POST / HTTP/1.1", "Transfer-Encoding: chunked\n"));
}

/// All that is made of the input handed over in pieces, up to the first refusal.
fn read_pieces<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Request>, Option<Refusal>) {
    let (mut buffer, mut requests) = (RequestBuffer::default(), vec![]);
    for piece in pieces {
        buffer.extend(piece);
        loop {
            match buffer.next(|request| if request.path == "/p" { WANTED } else { BodyWish::Skip }) {
                Ok(Next::Request(request)) => requests.push(*request),
                // Told only to who has not sent the body yet.
                Ok(Next::Continue) => {}
                Ok(Next::More) => break,
                Err(refusal) => return (requests, Some(refusal)),
            }
        }
    }
    (requests, None)
}

/// Several requests, good and bad.
fn requests() -> impl Strategy<Value = String> {
    let some = |of: &'static [&'static str], most: usize| {
        proptest::collection::vec(proptest::sample::select(of), 0..=most).prop_map(|parts| parts.concat())
    };
    let chunked = (some(CHUNKS, 2), some(TRAILERS, 2));
    let body = prop_oneof![
        Just("\r\n".to_owned()),
        Just("Content-Length: 3\r\n\r\nabc".to_owned()),
        chunked.prop_map(|(chunks, trailers)| format!(
            "Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n{trailers}\r\n"
        )),
    ];
    let request = (some(BETWEEN, 1), proptest::sample::select(LINES), some(FIELDS, 2), body);
    let request = request
        .prop_map(|(between, line, fields, body)| format!("{between}{line}\r\nHost: x\r\n{fields}{body}"));
    proptest::collection::vec(request, 1..4).prop_map(|requests| requests.concat())
}

const LINES: &[&str] = &[
    "GET / HTTP/1.1",
    "POST /p HTTP/1.1",
    "POST /p HTTP/1.1",
    "POST http://y/p?q HTTP/1.0",
    "GET / HTTP/2.0",
    "GET /a b",
];
const FIELDS: &[&str] =
    &["A: b\r\n", "Expect: 100-continue\r\n", "A : b\r\n", "A: b\n", "Host: x\r\n", "Upgrade: websocket\r\n"];
const CHUNKS: &[&str] =
    &["3\r\nabc\r\n", "2;x\r\nab\r\n", "1 ; x\r\na\r\n", "1;\n", "1 \r\na\r\n", "1\r\nab"];
const TRAILERS: &[&str] = &["A: b\r\n", "A: b\n", "A\r\n", "A: b\rc\r\n", " x\r\n"];
const BETWEEN: &[&str] = &["\r\n", "\n", "\r\n\r\n", "\r", " ", "x"];

proptest! {
    #[test]
    fn requests_mean_the_same_however_they_are_cut(input in requests(), cut in 1_usize..9) {
        prop_assert_eq!(read_pieces([input.as_bytes()].into_iter()), read_pieces(input.as_bytes().chunks(cut)));
    }
}

#[test]
fn wherever_it_moves_between_bodies_the_requests_are_the_same() {
    let input = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nskip this\
        POST /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHEAD /4 HTTP/1.1\r\nHost: x\r\n\r\n";
    let read = |moves: bool| {
        let (mut buffer, mut requests, mut moved) = (RequestBuffer::default(), vec![], 0);
        for octet in input {
            buffer.extend(&[*octet]);
            let wish = |request: &mut Request| {
                if request.path == "/3" { BodyWish::Collect(100) } else { BodyWish::Skip }
            };
            while let Next::Request(request) = buffer.next(wish).unwrap() {
                requests.push((request.path, request.body));
            }
            if let Some(record) = buffer.pack().filter(|_| moves) {
                buffer = RequestBuffer::unpack(record);
                moved += 1;
            }
        }
        assert_eq!(moved > input.len() / 2, moves);
        requests
    };
    assert_eq!(read(false).len(), 4);
    assert_eq!(read(true), read(false));
}

#[test]
fn a_request_that_was_taken_back_does_not_move() {
    let mut buffer = RequestBuffer::default();
    buffer.extend(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
    let Ok(Next::Request(request)) = buffer.next(|_| BodyWish::Skip) else { panic!("it is whole") };
    assert!(buffer.is_between_bodies());
    buffer.put_back(request);
    assert!(!buffer.is_between_bodies() && buffer.pack().is_none());
}
