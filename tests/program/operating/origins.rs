//! What the owner of a server learns of the pages that it does not let in, and by which doors its flag counts.

use std::os::unix::net::UnixStream;
use std::process::Command;

use support::HANDSHAKE;
use support::peer::Peer;

use super::office::Office;
use crate::door::Door;
use crate::process::{BINARY, Process, run};

/// Asks for a WebSocket, and for the end behind any other answer.
fn handshake(host: &str, origin: &str) -> String {
    let from = format!("Host: {host}\r\nOrigin: {origin}\r\n");
    HANDSHAKE.replace("Host: x\r\n", &from).replace("Connection: Upgrade", "Connection: Upgrade, close")
}

fn is_refused(door: &Door, origin: &str) -> bool {
    door.send(&handshake("localhost", origin)).status == 403
}

/// Lets it leave, and counts what it has logged of refusals.
fn refusals(server: Process) -> usize {
    server.signal("TERM");
    let (code, lines) = server.end();
    assert_eq!(code, Some(0));
    lines.iter().filter(|line| line.contains("Refused ")).count()
}

#[test]
fn a_page_that_is_refused_is_counted_each_time_and_named_once_with_the_flag_that_lets_it_in() {
    let server = Process::start("");
    let door = server.door();
    for _ in 0..3 {
        for origin in ["https://a.example", "https://b.example", "x\ty"] {
            assert!(is_refused(&door, origin), "{origin}");
        }
    }
    let asks = "OPTIONS /publish HTTP/1.1\r\nHost: localhost\r\nOrigin: https://c.example\r\n\
        Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n";
    assert_eq!(door.send(asks).status, 405);
    let line = server.line("c.example");
    assert!(line.ends_with(" start the server with --allowed-origin https://c.example"), "{line}");
    let line = server.line("a.example");
    assert!(line.starts_with("[WARNING] Refused a page of the origin https://a.example: "), "{line}");
    assert!(line.ends_with(" --allowed-origin https://a.example"), "{line}");
    assert!(server.line("x\\ty").ends_with(" start the server with --allowed-origin"));
    let refused = "slackwater_handshakes_rejected_total{reason=\"origin\"}";
    assert_eq!(door.metrics().of(refused), 9.0);
    assert_eq!(refusals(server), 4);
}

#[test]
fn nobody_can_flood_the_log_with_origins() {
    let server = Process::start("");
    let door = server.door();
    for n in 0..100 {
        assert!(is_refused(&door, &format!("https://n{n}.example")));
    }
    server.line("Refused pages of still other origins");
    assert_eq!(refusals(server), 17);
}

#[test]
fn an_origin_that_is_allowed_by_the_environment_is_so_with_every_worker() {
    let mut command = Command::new(BINARY);
    let origins = "https://a.example, https://*.b.example";
    let server = Process::spawn(command.args(["--workers", "2"]).env("SLACKWATER_ALLOWED_ORIGIN", origins));
    for _ in 0..8 {
        for (origin, status) in
            [("https://a.example", 101), ("https://x.b.example", 101), ("https://c.example", 403)]
        {
            let mut peer = Peer::connect(server.address());
            peer.send(handshake("localhost", origin));
            assert_eq!(peer.head().status, status, "{origin}");
        }
    }
}

#[test]
fn an_origin_that_is_none_is_wrong_usage() {
    let mut by_flag = Command::new(BINARY);
    by_flag.args(["--allowed-origin", "app.example.com"]);
    let mut by_variable = Command::new(BINARY);
    by_variable.env("SLACKWATER_ALLOWED_ORIGIN", "https://a.example app.example.com");
    for (mut command, value, place) in [
        (by_flag, "app.example.com", "--allowed-origin <ORIGIN>"),
        (by_variable, "https://a.example app.example.com", "SLACKWATER_ALLOWED_ORIGIN"),
    ] {
        let (code, said) = run(&mut command);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(&format!("'{value}' for '{place}': ")), "{said}");
        assert!(said.contains("give an origin, such as https://app.example.com"), "{said}");
    }
}

#[test]
fn that_any_page_may_is_said_at_the_start() {
    let server = Process::start("--allowed-origin *");
    assert!(server.line("Pages of every web site").starts_with("[WARNING] "));
    let server = Process::start("--allowed-origin https://a.example");
    server.client();
    assert!(!server.lines().iter().any(|line| line.contains("web site")));
}

#[test]
fn at_a_door_of_their_own_an_allowed_page_may_publish_and_nothing_else() {
    let office = Office::open("--allowed-origin https://a.example");
    let ask = |door: &Door, what: &str, origin: &str, fields: &str| {
        door.ask(what, &format!("Origin: {origin}\r\n{fields}Content-Length: 0\r\n"))
    };
    let asks = "Access-Control-Request-Method: POST\r\n";
    let (public, own) = (&office.server.door(), "https://a.example");
    assert_eq!(ask(&office.admin, "OPTIONS /publish", own, asks).status, 204);
    let answer = ask(&office.admin, "POST /publish", own, "");
    assert_eq!((answer.status, answer.field("Access-Control-Allow-Origin")), (400, Some(own)));
    assert_eq!(ask(&office.admin, "POST /publish", "https://b.example", "").status, 403);
    assert_eq!(ask(&office.admin, "POST /drain", own, "").status, 403);
    // It is not there for anybody.
    let answer = ask(public, "OPTIONS /publish", own, asks);
    assert_eq!((answer.status, answer.field("Access-Control-Allow-Origin")), (404, None));
}

#[test]
fn on_a_unix_socket_the_page_of_whatever_host_the_proxy_names_may_listen_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clients");
    let _server = Process::start(&format!("--uds {}", path.display()));
    for (origin, status) in [
        ("https://app.example", 101),
        ("https://app.example:8443", 403),
        ("https://evil.example", 403),
        ("http://localhost:3000", 403),
    ] {
        let mut peer = Peer::over(UnixStream::connect(&path).unwrap());
        peer.send(handshake("app.example", origin));
        assert_eq!(peer.head().status, status, "{origin}");
    }
}
