//! Pages of this and of other origins, as a browser sends their requests: who may listen, who may publish, and what a
//! browser is told that asks for a page. The rule itself is tested in `http::origin`.

use serde_json::json;
use support::HANDSHAKE;
use support::peer::{Peer, Response};

use crate::running::Running;

/// The answer to an opening handshake with this `Host` and these further fields, each with its CRLF.
fn open(server: &Running, host: &str, fields: &str) -> Response {
    let mut peer = Peer::connect(server.address);
    peer.send(HANDSHAKE.replace("Host: x\r\n", &format!("Host: {host}\r\n{fields}")));
    let response = peer.head();
    if response.status == 101 {
        assert_eq!(peer.message()["type"], "welcome");
    }
    response
}

fn status(server: &Running, host: &str, origin: &str) -> u16 {
    open(server, host, &format!("Origin: {origin}\r\n")).status
}

/// The answer to a request of a page, with its further fields, each with its CRLF.
fn ask(server: &Running, what: &str, origin: &str, fields: &str, body: &str) -> Response {
    let mut peer = Peer::connect(server.address);
    let length = body.len();
    peer.send(format!(
        "{what} HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    ));
    peer.response()
}

fn preflight(server: &Running, path: &str, origin: &str) -> Response {
    let asks = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n";
    ask(server, &format!("OPTIONS {path}"), origin, asks, "")
}

/// To whom the answer may be shown.
fn sharing(response: &Response) -> [Option<&str>; 2] {
    ["Access-Control-Allow-Origin", "Vary"].map(|name| response.field(name))
}

const APP: &str = "https://app.example.com";
const SHARED_WITH_APP: [Option<&str>; 2] = [Some(APP), Some("Origin")];
const NOT_SHARED: [Option<&str>; 2] = [None, None];

#[test]
fn a_page_of_another_site_may_not_listen_and_is_told_why_before_the_upgrade() {
    let server = Running::with("");
    for (host, origin) in [("localhost", "https://evil.example"), ("evil.example", "http://evil.example")] {
        let mut peer = Peer::connect(server.address);
        let request = HANDSHAKE.replace("Host: x\r\n", &format!("Host: {host}\r\nOrigin: {origin}\r\n"));
        for _ in 0..2 {
            peer.send(&request);
            let refusal = peer.response();
            assert_eq!((refusal.status, sharing(&refusal)), (403, NOT_SHARED));
            assert_eq!(refusal.field("Content-Type"), Some("application/json"));
            assert!(refusal.json()["error"].as_str().unwrap().contains("--allowed-origin"), "{refusal:?}");
        }
    }
    assert_eq!(status(&server, "localhost", "null"), 403);
    assert_eq!(open(&server, "evil.example", "").status, 101, "a program calls it as it likes");
}

#[test]
fn pages_of_this_machine_may_listen_on_a_loopback_address_and_not_publish() {
    let server = Running::with("");
    for origin in ["http://localhost", "http://localhost:3000", "http://127.0.0.1:5173", "https://[::1]:1"] {
        assert_eq!(status(&server, "localhost", origin), 101, "{origin}");
    }
    let refusal = ask(&server, "POST /publish", "http://localhost:3000", "", "x");
    assert_eq!((refusal.status, sharing(&refusal)), (403, NOT_SHARED));
    assert_eq!(preflight(&server, "/publish", "http://localhost:3000").status, 405);
}

#[test]
fn behind_a_proxy_that_says_so_the_page_of_the_foreign_name_may_listen_and_no_other() {
    let server = Running::with("");
    let forwarded = "X-Forwarded-For: 10.0.0.1\r\n";
    for (origin, status) in [
        ("https://app.example.com", 101),
        ("https://evil.example", 403),
        ("http://localhost:3000", 403),
        ("null", 403),
    ] {
        let fields = format!("Origin: {origin}\r\n{forwarded}");
        assert_eq!(open(&server, "app.example.com", &fields).status, status, "{origin}");
    }
}

#[test]
fn beyond_this_machine_only_the_servers_own_page_may_listen() {
    let server = Running::with("--host 0.0.0.0");
    for (origin, expected) in [
        ("http://app.example.com:8000", 101),
        ("http://localhost:8000", 403),
        ("http://app.example.com", 403),
        ("https://evil.example", 403),
    ] {
        assert_eq!(status(&server, "app.example.com:8000", origin), expected, "{origin}");
    }
}

#[test]
fn pages_of_an_allowed_origin_may_listen_and_publish() {
    let server =
        Running::with(&format!("--allowed-origin {APP} --allowed-origin http://*.dev.example:81,null"));
    let mut listener = server.client();
    for (n, origin) in [APP, "http://a.dev.example:81", "null"].into_iter().enumerate() {
        assert_eq!(status(&server, "localhost", origin), 101, "{origin}");
        assert_eq!(status(&server, "rebound.example", origin), 101, "{origin}");
        let json = "Content-Type: application/json\r\n";
        let answer = ask(&server, "POST /publish", origin, json, &json!({ "data": n }).to_string());
        assert_eq!((answer.status, sharing(&answer)), (200, [Some(origin), Some("Origin")]));
        assert_eq!(listener.hear_data(), n);
    }
    for origin in ["https://evil.example", "http://dev.example:81", "https://app.example.com:444"] {
        assert_eq!(status(&server, "localhost", origin), 403, "{origin}");
        let refusal = ask(&server, "POST /publish", origin, "", "x");
        assert_eq!((refusal.status, sharing(&refusal)), (403, NOT_SHARED), "{origin}");
    }
    assert_eq!(status(&server, "localhost", "http://localhost:3000"), 101, "as without the flag");
}

#[test]
fn a_browser_that_asks_is_told_what_a_page_of_an_allowed_origin_may_send_and_of_no_other() {
    let server = Running::with(&format!("--allowed-origin {APP}"));
    let answer = preflight(&server, "/publish?topic=x", APP);
    assert_eq!((answer.status, sharing(&answer)), (204, SHARED_WITH_APP));
    assert_eq!(answer.field("Access-Control-Allow-Methods"), Some("POST"));
    let fields = answer.field("Access-Control-Allow-Headers").unwrap();
    assert_eq!(fields, "Authorization, Content-Type, Idempotency-Key, Last-Event-ID");
    for (path, origin, allow) in [
        ("/publish", "https://evil.example", "POST"),
        ("/publish", "http://localhost", "POST"),
        ("/ws", APP, "GET"),
        ("/drain", APP, "POST"),
        ("/status", APP, "GET, HEAD"),
    ] {
        let refusal = preflight(&server, path, origin);
        assert_eq!((refusal.status, refusal.field("Allow")), (405, Some(allow)), "{path} {origin}");
        assert_eq!(sharing(&refusal), NOT_SHARED, "{path} {origin}");
        assert_eq!(refusal.field("Access-Control-Allow-Methods"), None);
    }
    // An OPTIONS that is no preflight.
    assert_eq!(ask(&server, "OPTIONS /publish", APP, "", "").status, 405);
}

#[test]
fn a_page_of_an_allowed_origin_can_read_its_errors() {
    let server = Running::with(&format!("--allowed-origin {APP} --max-publish-size 100"));
    let json = "Content-Type: application/json\r\n";
    for (what, fields, body, status) in [
        ("POST /publish", json, "{", 400),
        ("POST /publish", "Idempotency-Key: \r\n", "x", 400),
        ("POST /publish?topic=a+b", "", "x", 422),
        ("POST /publish", "", &*"x".repeat(101), 413),
        ("GET /publish", "", "", 405),
    ] {
        let answer = ask(&server, what, APP, fields, body);
        assert_eq!((answer.status, sharing(&answer)), (status, SHARED_WITH_APP), "{what} {fields}{body}");
    }
    let used = "Idempotency-Key: k\r\n";
    assert_eq!(ask(&server, "POST /publish", APP, used, "one").status, 200);
    let conflict = ask(&server, "POST /publish", APP, used, "two");
    assert_eq!((conflict.status, sharing(&conflict)), (422, SHARED_WITH_APP));
}

#[test]
fn with_a_token_a_page_of_an_allowed_origin_needs_it_and_can_read_that() {
    let server = Running::with(&format!("--publish-token sesame --allowed-origin {APP}"));
    assert_eq!(preflight(&server, "/publish", APP).status, 204);
    assert_eq!(preflight(&server, "/publish/orders/7", APP).status, 204);
    let refusal = ask(&server, "POST /publish", APP, "", "x");
    assert_eq!((refusal.status, sharing(&refusal)), (401, SHARED_WITH_APP));
    let bearing = "Authorization: Bearer sesame\r\n";
    let answer = ask(&server, "POST /publish", APP, bearing, "x");
    assert_eq!((answer.status, sharing(&answer)), (200, SHARED_WITH_APP));
    // Whoever has it may, but a browser asks first, and then shows the page nothing.
    let answer = ask(&server, "POST /publish", "https://evil.example", bearing, "x");
    assert_eq!((answer.status, sharing(&answer)), (200, NOT_SHARED));
    assert_eq!(preflight(&server, "/publish", "https://evil.example").status, 405);
}

#[test]
fn an_allowed_origin_opens_nothing_to_those_who_come_through_a_proxy_or_from_elsewhere() {
    let flags = format!("--allowed-origin {APP}");
    let server = Running::with(&flags);
    // Behind a proxy anybody can say that he is that page.
    let refusal = ask(&server, "POST /publish", APP, "X-Forwarded-For: 10.0.0.1\r\n", "x");
    assert_eq!((refusal.status, sharing(&refusal)), (403, SHARED_WITH_APP));
    for what in ["GET /status", "GET /metrics", "POST /drain"] {
        let refusal = ask(&server, what, APP, "", "");
        assert_eq!((refusal.status, sharing(&refusal)), (403, NOT_SHARED), "{what}");
    }
    let server = Running::with(&format!("--host 0.0.0.0 {flags}"));
    let refusal = ask(&server, "POST /publish", APP, "", "x");
    assert_eq!((refusal.status, sharing(&refusal)), (403, SHARED_WITH_APP));
    assert!(refusal.json()["error"].as_str().unwrap().contains("--publish-token"));
}

#[test]
fn with_an_asterisk_any_page_may() {
    let server = Running::with("--allowed-origin *");
    for origin in ["https://evil.example", "null", "moz-extension://x"] {
        assert_eq!(status(&server, "rebound.example", origin), 101, "{origin}");
        let answer = ask(&server, "POST /publish", origin, "", "x");
        assert_eq!((answer.status, sharing(&answer)), (200, [Some(origin), Some("Origin")]));
    }
}
