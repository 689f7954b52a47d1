//! Which path is answered by which door, and how.

use std::net::TcpListener;
use std::process::Command;

use support::client::Client;

use super::office::Office;
use crate::door::Door;
use crate::process::{BINARY, Process, run, text_of};

/// What is asked, and the status with the methods that a refusal names.
type Expected = (&'static str, u16, Option<&'static str>);

const OPERATORS: [Expected; 15] = [
    ("GET /readyz", 200, None),
    ("HEAD /readyz", 200, None),
    ("POST /readyz", 405, Some("GET, HEAD")),
    ("GET /status", 200, None),
    ("HEAD /status", 200, None),
    ("POST /status", 405, Some("GET, HEAD")),
    ("GET /metrics", 200, None),
    ("HEAD /metrics", 200, None),
    ("DELETE /metrics", 405, Some("GET, HEAD")),
    ("GET /drain", 405, Some("POST")),
    ("HEAD /drain", 405, Some("POST")),
    ("GET /publish", 405, Some("POST")),
    ("PUT /publish", 405, Some("POST")),
    ("GET /readyz/", 404, None),
    ("GET /nothing", 404, None),
];

const HEALTH: [Expected; 3] =
    [("GET /healthz", 200, None), ("HEAD /healthz", 200, None), ("POST /healthz", 405, Some("GET, HEAD"))];

fn assert_answers<'a>(door: &Door, expected: impl IntoIterator<Item = &'a Expected>) {
    for (what, status, allow) in expected {
        let answer = door.ask(what, "");
        assert_eq!((answer.status, answer.field("allow")), (*status, *allow), "{what}: {answer:?}");
        assert_eq!(what.starts_with("HEAD "), answer.body.is_empty(), "{what}: {answer:?}");
    }
}

fn assert_clients_are_served(server: &Process) {
    server.client().echo("x");
    assert_eq!(server.door().get("/").status, 200);
}

#[test]
fn without_a_door_of_their_own_operators_are_answered_with_the_rest() {
    let server = Process::start("");
    let public = server.door();
    assert_answers(&public, OPERATORS.iter().chain(&HEALTH));
    assert_eq!(public.publish("x").status, 200);
    assert_clients_are_served(&server);
}

#[test]
fn a_door_of_their_own_has_all_that_is_theirs_and_nothing_else() {
    for flags in ["", "--workers 2"] {
        let office = Office::open(flags);
        assert_answers(&office.admin, OPERATORS.iter().chain(&HEALTH));
        for path in ["GET /app.js", "GET /slackwater.js", "GET /ws", "POST /ws"] {
            assert_eq!(office.admin.ask(path, "").status, 404, "{path}");
        }
        for (page, at_the_public_door) in [("GET /", 200), ("GET /status.js", 404)] {
            assert_eq!(office.admin.ask(page, "").status, 200, "{page}");
            assert_eq!(office.server.door().ask(page, "").status, at_the_public_door, "{page}");
        }
        let mut listener = office.server.client();
        assert_eq!(office.admin.publish("over there").status, 200);
        assert_eq!(listener.hear_data(), "over there");
    }
}

#[test]
fn with_it_the_public_door_has_none_of_it_but_the_health() {
    for flags in ["", "--workers 2"] {
        let office = Office::open(flags);
        let public = office.server.door();
        assert_answers(&public, &HEALTH);
        for (what, ..) in OPERATORS {
            let answer = public.ask(what, "");
            assert_eq!((answer.status, answer.field("allow")), (404, None), "{what}: {answer:?}");
        }
        assert_eq!((public.publish("x").status, public.ask("POST /drain", "").status), (404, 404));
        assert_clients_are_served(&office.server);
        assert_eq!(office.admin.get("/readyz").status, 200, "nobody has made it leave");
        assert_eq!(office.admin.status()["publications"], 0);
    }
}

#[test]
fn a_door_at_an_address_is_a_listener_of_its_own() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Process::start(&format!("--admin {free}"));
    let admin = Door::Ip(free);
    assert_answers(&admin, OPERATORS.iter().chain(&HEALTH));
    let client = server.client();
    server.signal("TERM");
    server.next_line("Waiting for 1");
    assert!(!server.door().is_open() && admin.is_open());
    client.leave();
    assert_eq!(server.end().0, Some(0));
    assert!(!admin.is_open());
}

#[test]
fn a_socket_file_goes_with_the_server() {
    for flags in ["", "--workers 2"] {
        let office = Office::open(flags);
        assert!(office.path.exists());
        office.server.signal("TERM");
        assert_eq!(office.server.end().0, Some(0));
        assert!(!office.path.exists(), "{flags}");
    }
}

#[test]
fn a_door_that_is_taken_is_said_in_one_line_with_the_mend() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("missing/admin").display().to_string();
    for workers in ["1", "2"] {
        for place in [&taken.to_string(), &nowhere] {
            let flags = ["--port", "0", "--workers", workers, "--admin", place];
            let (code, stderr) = run(Command::new(BINARY).args(flags));
            assert_eq!((code, stderr.lines().count()), (Some(3), 1), "{stderr}");
            let said = text_of(&stderr);
            assert!(said.starts_with("[ERROR] cannot listen on --admin ") && said.contains(place), "{said}");
            assert!(said.contains("choose another address or path"), "{said}");
        }
    }
    drop(holder);
}

#[test]
fn what_is_neither_an_address_nor_a_path_is_bad_usage() {
    for place in ["admin", "localhost", ":9000", "localhost:99999", ""] {
        let (code, stderr) = run(Command::new(BINARY).args(["--port", "0", "--admin", place]));
        assert_eq!(code, Some(2), "{place:?}: {stderr}");
        assert!(stderr.contains("--admin"), "{stderr}");
    }
}

#[test]
fn a_crowded_server_still_answers_operators() {
    let office = Office::open("--limit-concurrency 2");
    let clients = [office.server.client(), office.server.client()];
    let public = office.server.door();
    let refused = public.get("/");
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("5")));
    assert_eq!(public.get("/healthz").status, 200);
    assert_answers(&office.admin, OPERATORS.iter().chain(&HEALTH));
    assert_eq!(office.admin.publish("x").status, 200);
    assert_eq!(office.admin.ask("POST /drain", "").status, 202);
    clients.into_iter().for_each(Client::leave);
    assert_eq!(office.server.end().0, Some(0));
}

#[test]
fn a_crowded_server_without_that_door_answers_all_but_publishers() {
    let server = Process::start("--limit-concurrency 1");
    let _client = server.client();
    let public = server.door();
    for path in ["/healthz", "/readyz", "/status", "/metrics"] {
        assert_eq!(public.get(path).status, 200, "{path}");
    }
    assert_eq!(public.publish("x").status, 503);
}

#[test]
fn operators_are_let_in_however_many_connections_their_address_has() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Process::start(&format!("--limit-per-ip 1 --limit-connect-rate 0.1 --admin {free}"));
    let _client = server.client();
    for _ in 0..3 {
        assert_eq!(server.door().get("/").status, 429);
    }
    for _ in 0..20 {
        assert_eq!(Door::Ip(free).get("/readyz").status, 200);
    }
    server.next_line(
        "[WARNING] Refused for their address (--limit-per-ip, --limit-connect-rate): 1, the last of 127.0.0.1",
    );
}
