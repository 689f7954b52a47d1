//! A server that leaves, as operators see it: from the moment of the signal, and for as long as it takes.

use jiff::Timestamp;
use serde_json::Value;

use support::client::Client;

use super::office::Office;
use crate::door::Door;
use crate::process::Process;

fn drain(door: &Door, fields: &str) -> u16 {
    door.ask("POST /drain", fields).status
}

fn unix_ms(time: &Value) -> i64 {
    time.as_str().unwrap().parse::<Timestamp>().unwrap().as_millisecond()
}

fn assert_draining(admin: &Door, connections: usize) -> i64 {
    let answer = admin.get("/readyz");
    let said = answer.json();
    assert_eq!((answer.status, &said["status"]), (503, &"draining".into()));
    assert_eq!(said["connections"], connections, "{said}");
    assert_eq!(said.as_object().unwrap().len(), 3, "{said}");
    unix_ms(&said["deadline"])
}

#[test]
fn readiness_ends_with_the_signal_and_health_with_the_process() {
    for flags in ["", "--workers 2"] {
        let office = Office::open(&format!("{flags} --timeout-graceful-shutdown 100"));
        let (server, admin) = (&office.server, &office.admin);
        let mut clients = vec![server.client(), server.client(), server.client()];
        let ready = admin.get("/readyz");
        assert_eq!((ready.status, ready.text()), (200, r#"{"status":"ready"}"#));
        let before = Timestamp::now().as_millisecond();
        server.signal("TERM");
        server.next_line("Shutdown signal received");
        let deadline = assert_draining(admin, 3);
        let after = Timestamp::now().as_millisecond();
        assert!((before + 100_000..=after + 100_000).contains(&deadline), "{before} {deadline} {after}");
        while clients.len() > 1 {
            clients.pop().unwrap().leave();
            // One that has left is counted out before its farewell is answered, and the supervisor hears of it soon.
            admin.metrics_with("the client's leaving", |metrics| {
                metrics.of("slackwater_drain_remaining") == clients.len() as f64
            });
            assert_eq!(assert_draining(admin, clients.len()), deadline, "it stays what it was");
            assert_eq!(admin.get("/healthz").status, 200);
        }
        clients.pop().unwrap().leave();
        assert_eq!(office.server.end().0, Some(0));
        assert!(!admin.is_open());
    }
}

#[test]
fn in_the_delay_it_is_not_ready_but_still_lets_clients_in() {
    for flags in ["", "--workers 2"] {
        let office = Office::open(&format!("{flags} --drain-delay 0.8 --timeout-graceful-shutdown 100"));
        let (server, admin) = (&office.server, &office.admin);
        let early = server.client();
        server.next_line("Client connected");
        let before = Timestamp::now().as_millisecond();
        server.signal("TERM");
        assert_eq!(server.next_line(""), "[INFO] Shutdown signal received");
        let deadline = assert_draining(admin, 1);
        assert!(deadline >= before + 100_800, "the delay comes first");
        let mut late = server.client();
        assert_eq!(admin.publish("still").status, 200);
        assert_eq!(late.hear_data(), "still");
        server.next_line("Client connected");
        assert_eq!(assert_draining(admin, 2), deadline);

        server.next_line("Graceful shutdown initiated");
        office.server.door().closes();
        assert_eq!(admin.publish("too late").status, 503);
        assert_eq!(assert_draining(admin, 2), deadline);
        early.leave();
        late.leave();
        assert_eq!(office.server.end().0, Some(0));
    }
}

#[test]
fn a_second_signal_ends_the_delay_and_the_patience() {
    for flags in ["", "--workers 2"] {
        let office = Office::open(&format!("{flags} --drain-delay 1000"));
        let mut client = office.server.client();
        office.server.signal("TERM");
        office.server.next_line("Shutdown signal received");
        office.server.signal("TERM");
        assert_eq!(client.close_code(), Some(1012));
        assert_eq!(office.server.end().0, Some(1));
    }
}

#[test]
fn an_operator_can_make_it_leave_and_to_ask_twice_is_not_to_insist() {
    for flags in ["", "--workers 2", "--drain-delay 0.3"] {
        let office = Office::open(flags);
        let mut client = office.server.client();
        office.server.next_line("Client connected");
        let answer = office.admin.ask("POST /drain", "");
        assert_eq!((answer.status, answer.text()), (202, r#"{"status":"draining"}"#));
        office.server.next_line("Shutdown signal received");
        assert_eq!(drain(&office.admin, ""), 202);
        office.server.next_line("Waiting for 1");
        assert_eq!(drain(&office.admin, ""), 202);
        assert_eq!(assert_draining(&office.admin, 1), assert_draining(&office.admin, 1));
        client.echo("still here");
        client.leave();
        let (code, lines) = office.server.end();
        assert_eq!(code, Some(0), "{lines:?}");
    }
}

#[test]
fn the_first_signal_after_an_operator_has_asked_hastens_nothing() {
    for flags in ["", "--drain-delay 0.3", "--workers 2", "--workers 2 --drain-delay 0.3"] {
        let office = Office::open(flags);
        let mut client = office.server.client();
        assert_eq!(drain(&office.admin, ""), 202);
        office.server.next_line("Shutdown signal received");
        office.server.signal("TERM");
        office.server.next_line("Shutdown signal received while leaving");
        office.server.next_line("Waiting for 1");
        client.echo("still here");
        client.leave();
        assert_eq!(office.server.end().0, Some(0));
    }
}

#[test]
fn the_second_signal_after_an_operator_has_asked_insists() {
    let office = Office::open("--drain-delay 1000");
    let mut client = office.server.client();
    assert_eq!(drain(&office.admin, ""), 202);
    office.server.next_line("Shutdown signal received");
    office.server.signal("TERM");
    office.server.next_line("Shutdown signal received while leaving");
    office.server.signal("TERM");
    assert_eq!(client.close_code(), Some(1012));
    assert_eq!(office.server.end().0, Some(1));
}

#[test]
fn who_has_no_token_can_not_make_it_leave() {
    for flags in ["", "--workers 2"] {
        let office = Office::open(&format!("{flags} --publish-token sesame"));
        let client = office.server.client();
        for (fields, challenge) in [
            ("", "Bearer"),
            ("Authorization: Bearer wrong\r\n", "Bearer error=\"invalid_token\""),
            ("Authorization: Basic sesame\r\n", "Bearer"),
        ] {
            let answer = office.admin.ask("POST /drain", fields);
            assert_eq!((answer.status, answer.field("www-authenticate")), (401, Some(challenge)));
        }
        assert_eq!(office.admin.get("/readyz").status, 200, "to look takes no token");
        assert_eq!(drain(&office.admin, "Authorization: Bearer sesame\r\n"), 202);
        office.server.next_line("Waiting for 1");
        client.leave();
        assert_eq!(office.server.end().0, Some(0));
    }
}

#[test]
fn a_page_of_another_origin_can_not_make_it_leave() {
    let server = Process::start("");
    let office = Office::open("");
    for door in [server.door(), office.server.door(), office.admin.clone()] {
        for origin in ["https://elsewhere.example", "null", "http://localhost:1"] {
            let status = drain(&door, &format!("Origin: {origin}\r\n"));
            assert!(matches!(status, 403 | 404), "{origin}: {status}");
        }
    }
    assert_eq!(drain(&office.admin, "Origin: https://elsewhere.example\r\n"), 403);
    assert_eq!(server.door().get("/readyz").status, 200);
    assert_eq!(office.admin.get("/readyz").status, 200);
    assert_eq!(drain(&server.door(), "Origin: http://localhost\r\n"), 202, "its own page may");
}

#[test]
fn a_server_for_others_without_a_token_leaves_at_nobodys_word() {
    let server = Process::start("--host 0.0.0.0");
    let loopback = Door::Ip(([127, 0, 0, 1], server.address().port()).into());
    assert_eq!(drain(&loopback, ""), 403);
    assert_eq!(loopback.get("/readyz").status, 200);
}

#[test]
fn the_status_says_how_far_it_is() {
    for flags in ["", "--workers 2"] {
        let office = Office::open(flags);
        let (server, admin) = (&office.server, &office.admin);
        let mut clients = vec![server.client(), server.client(), server.client(), server.client()];
        assert_eq!(admin.publish("x").status, 200);
        let status = admin.status();
        assert_eq!((&status["status"], &status["connections"]), (&"serving".into(), &4.into()));
        assert_eq!(
            (&status["version"], &status["publications"]),
            (&env!("CARGO_PKG_VERSION").into(), &1.into())
        );
        assert_eq!(status.get("drain"), None);
        let workers = status["workers"].as_array().unwrap();
        assert_eq!(workers.len(), if flags.is_empty() { 1 } else { 2 });
        let mut there = 0;
        for (number, worker) in workers.iter().enumerate() {
            assert_eq!(worker["number"], number + 1);
            assert!(std::path::Path::new(&format!("/proc/{}", worker["pid"])).exists());
            assert!(worker["outbox_bytes"].is_u64());
            there += worker["connections"].as_u64().unwrap();
        }
        assert_eq!(there, 4);

        server.signal("TERM");
        server.next_line("Waiting for");
        let deadline = assert_draining(admin, 4);
        clients.drain(..3).for_each(Client::leave);
        admin.metrics_with("three to leave", |metrics| metrics.of("slackwater_drain_remaining") == 1.0);
        let status = admin.status();
        assert_eq!((&status["status"], &status["connections"]), (&"draining".into(), &1.into()));
        let drain = &status["drain"];
        assert_eq!((&drain["connections_then"], &drain["remaining"]), (&4.into(), &1.into()));
        assert_eq!(unix_ms(&drain["deadline"]), deadline);
        assert_eq!(deadline - unix_ms(&drain["since"]), 1_800_000);
        let elapsed = Timestamp::now().as_millisecond() - unix_ms(&drain["since"]);
        let rate = drain["departures_per_second"].as_f64().unwrap();
        // It has been less at the time of the answer.
        assert!(rate >= 3.0 / (elapsed as f64 / 1000.0), "{rate} after {elapsed} ms");
    }
}

#[test]
fn the_numbers_say_how_far_it_is() {
    let office = Office::open("--timeout-graceful-shutdown 50");
    let (server, admin) = (&office.server, &office.admin);
    let clients = [server.client(), server.client()];
    let gauges = ["draining", "drain_remaining", "drain_departures_per_second", "drain_deadline_seconds"];
    let metrics = admin.metrics();
    assert_eq!(gauges.map(|gauge| metrics.of(&format!("slackwater_{gauge}"))), [0.0; 4]);
    server.signal("TERM");
    server.next_line("Waiting for 2");
    let [first, second] = clients;
    first.leave();
    let metrics =
        admin.metrics_with("a rate", |metrics| metrics.of("slackwater_drain_departures_per_second") > 0.0);
    let [draining, remaining, rate, deadline] =
        gauges.map(|gauge| metrics.of(&format!("slackwater_{gauge}")));
    assert_eq!((draining, remaining), (1.0, 1.0));
    assert!(rate <= 1000.0 && deadline > 0.0 && deadline <= 50.0, "{rate} {deadline}");
    assert!(admin.metrics().of("slackwater_drain_deadline_seconds") <= deadline, "it comes nearer");
    second.leave();
    assert_eq!(office.server.end().0, Some(0));
}

#[test]
fn the_status_and_the_log_say_where_it_came_from() {
    for flags in ["", "--workers 2"] {
        let server = Process::start(flags);
        let (client, door) = (server.client(), server.door());
        assert_eq!(drain(&door, ""), 202);
        server.next_line("Asked to leave by POST /drain from 127.0.0.1:");
        client.leave();
        assert_eq!(server.end().0, Some(0));

        let office = Office::open(&format!("{flags} --log-level debug"));
        let client = office.server.client();
        office.server.signal("INT");
        office.server.next_line("[DEBUG] Asked to leave by SIGINT");
        office.server.next_line("Waiting for 1");
        assert_eq!(office.admin.status()["drain"]["origin"], "SIGINT");
        client.leave();
        assert_eq!(office.server.end().0, Some(0));
    }
}
