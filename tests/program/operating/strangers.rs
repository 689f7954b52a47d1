//! Whom a server without a token takes for somebody on its machine, and what it says to all others.

use support::peer::Response;

use super::office::Office;
use crate::door::Door;
use crate::process::Process;

const GUARDED: [&str; 4] = ["GET /metrics", "GET /status", "POST /publish", "POST /drain"];

/// Asks with these fields, of which the first is `Host`.
fn ask(door: &Door, what: &str, fields: &str) -> Response {
    door.send(&format!("{what} HTTP/1.1\r\n{fields}\r\nConnection: close\r\n\r\n"))
}

fn statuses(door: &Door, fields: &str) -> [u16; 4] {
    GUARDED.map(|what| ask(door, what, fields).status)
}

/// A server, and the door at which operators are answered.
fn servers() -> impl Iterator<Item = (Process, Door)> {
    ["", "--workers 2", "--admin 127.0.0.1:0", "--workers 2 --admin 127.0.0.1:0"].into_iter().map(|flags| {
        let server = Process::start(flags);
        let door = if flags.contains("--admin") {
            let line = server.next_line("Operators are answered on http://");
            line.rsplit_once("http://").unwrap().1.parse().unwrap()
        } else {
            server.address()
        };
        (server, Door::Ip(door))
    })
}

#[test]
fn who_comes_by_a_foreign_name_or_through_a_proxy_is_shown_nothing_and_changes_nothing() {
    for (_server, door) in servers() {
        for fields in [
            "Host: example.com",
            "Host: example.com\r\nOrigin: http://example.com",
            "Host: localhost\r\nX-Forwarded-For: 127.0.0.1",
            "Host: localhost\r\nVia: 1.1 proxy",
            "Host: localhost\r\nOrigin: https://example.com",
        ] {
            assert_eq!(statuses(&door, fields), [403; 4], "{fields}");
            for probe in ["GET /healthz", "GET /readyz"] {
                assert_eq!(ask(&door, probe, fields).status, 200, "{probe} {fields}");
            }
        }
        assert_eq!(door.status()["publications"], 0);
    }
}

#[test]
fn its_own_page_may_publish_and_look_at_whichever_of_its_names_it_was_loaded() {
    for (_server, door) in servers() {
        for name in ["127.0.0.2", "LocalHost:8000", "[::1]", "localhost."] {
            let fields = format!("Host: {name}\r\nOrigin: http://{}", name.to_lowercase());
            for (what, status) in GUARDED.into_iter().zip([200, 200, 400]) {
                assert_eq!(ask(&door, what, &fields).status, status, "{what} {name}: an empty body is none");
            }
        }
        assert_eq!(ask(&door, "POST /drain", "Host: [::1]\r\nOrigin: http://[::1]").status, 202);
    }
}

#[test]
fn with_the_token_it_does_not_matter_by_which_way_somebody_comes() {
    let server = Process::start("--publish-token sesame");
    let door = server.door();
    let forwarded = "Host: example.com\r\nX-Forwarded-For: 10.0.0.1";
    assert_eq!(statuses(&door, forwarded), [401; 4]);
    assert_eq!(statuses(&door, "Host: localhost"), [200, 200, 401, 401]);
    assert_eq!(
        statuses(&door, &format!("{forwarded}\r\nAuthorization: Bearer sesame")),
        [200, 200, 400, 202]
    );
}

#[test]
fn who_may_open_the_operators_socket_may_be_a_proxy_and_call_it_as_it_likes() {
    let office = Office::open("");
    let fields = "Host: ops.example\r\nX-Forwarded-For: 10.0.0.1";
    assert_eq!(statuses(&office.admin, fields), [200, 200, 400, 202]);
}

#[test]
fn what_a_page_of_another_origin_is_told_asks_for_nothing_that_would_not_help_it() {
    let server = Process::start("");
    let door = server.door();
    let refusal = ask(&door, "POST /publish", "Host: localhost\r\nOrigin: https://example.com");
    let why = refusal.json()["error"].as_str().unwrap().to_owned();
    // A browser asks before it sends a token to another origin, and may not.
    assert!(!why.contains("token") && why.contains("program") && why.contains("--allowed-origin"), "{why}");
    let preflight = "Host: localhost\r\nOrigin: https://example.com\r\nAccess-Control-Request-Method: POST\r\n\
        Access-Control-Request-Headers: authorization";
    assert_eq!(ask(&door, "OPTIONS /publish", preflight).status, 405);
    assert_eq!(door.publish("the program does it").status, 200);
}

#[test]
fn at_the_start_it_says_what_is_open_to_whom() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin").display().to_string();
    let cases = [
        (String::new(), "[INFO] Everyone on this machine may publish, "),
        ("--admin 127.0.0.1:0".to_owned(), "[INFO] Everyone on this machine may publish, "),
        (format!("--admin {socket}"), &*format!("[INFO] Everyone who may open unix:{socket} may publish ")),
        ("--host 0.0.0.0".to_owned(), "[WARNING] Publishing is off: "),
        ("--admin 0.0.0.0:0".to_owned(), "[WARNING] Publishing is off: "),
    ];
    for (flags, says) in cases {
        for workers in ["--workers 1", "--workers 2"] {
            let server = Process::start(&format!("{workers} {flags}"));
            let line = server.next_line("ublish");
            assert!(line.starts_with(says), "{flags}: {line}");
        }
    }
    let server = Process::start("--publish-token sesame");
    server.next_line("Serving ");
    server.signal("TERM");
    let (_, lines) = server.end();
    assert!(!lines.iter().any(|line| line.contains("ublish")), "{lines:?}");
}
