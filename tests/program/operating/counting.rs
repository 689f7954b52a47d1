//! The numbers of one server, each brought about on purpose.

use std::net::Shutdown;
use std::process::Command;
use std::time::Instant;

use jiff::Timestamp;
use support::client::Client;
use support::peer::Peer;
use support::{HANDSHAKE, PATIENCE};
use tungstenite::Message;

use super::office::Office;
use crate::exposition::Metrics;
use crate::process::{BINARY, Process};

fn departed(metrics: &Metrics) -> Vec<(&str, f64)> {
    metrics.family("slackwater_disconnects_total").collect()
}

#[test]
fn every_client_is_counted_when_it_comes_and_why_it_goes() {
    let office = Office::open("--ws-max-size 100 --ws-ping-interval 0.1 --ws-ping-timeout 0.3");
    let (server, admin) = (&office.server, &office.admin);
    let mut clients: Vec<Client> = (0..8).map(|_| server.client()).collect();
    let silent = server.client();
    let metrics = admin.metrics();
    assert_eq!(
        (metrics.of("slackwater_connections_active"), metrics.of("slackwater_connections_total")),
        (9.0, 9.0)
    );
    assert_eq!(departed(&metrics), []);

    clients.pop().unwrap().leave();
    let mut with_a_code = clients.pop().unwrap();
    let code = tungstenite::protocol::CloseFrame { code: 4321.into(), reason: "".into() };
    with_a_code.socket.close(Some(code)).unwrap();
    assert_eq!(with_a_code.close_code(), Some(4321));
    for (message, code) in [(Message::binary(b"x".as_slice()), 1003), (Message::text("x".repeat(101)), 1009)]
    {
        let mut wrong = clients.pop().unwrap();
        wrong.socket.send(message).unwrap();
        assert_eq!(wrong.close_code(), Some(code));
    }
    clients.pop().unwrap().stream().shutdown(Shutdown::Write).unwrap();
    // Those who are left answer pings as long as they are listened to.
    let mut left = clients;
    let metrics = loop {
        left.iter_mut().for_each(|client| client.echo("x"));
        let metrics = admin.metrics();
        if departed(&metrics).len() == 6 {
            break metrics;
        }
    };
    let reasons = [
        ("gone", 0),
        ("peer_closed", 0),
        ("peer_closed", 4000),
        ("silent", 4003),
        ("violated", 1003),
        ("violated", 1009),
    ];
    for (reason, code) in reasons {
        let name = format!("slackwater_disconnects_total{{reason=\"{reason}\",code=\"{code}\"}}");
        assert_eq!(metrics.of(&name), 1.0);
    }
    assert_eq!(
        (metrics.of("slackwater_connections_active"), metrics.of("slackwater_connections_total")),
        (3.0, 9.0)
    );
    drop(silent);
}

#[test]
fn who_is_closed_because_the_server_leaves_is_counted_so() {
    let office = Office::open("--drain-check-interval 3600");
    let mut clients: Vec<Client> = (0..3).map(|_| office.server.client()).collect();
    office.server.signal("TERM");
    office.server.next_line("Waiting for 3");
    clients.pop().unwrap().leave();
    let metrics = office.admin.metrics();
    assert_eq!(
        departed(&metrics),
        [("slackwater_disconnects_total{reason=\"peer_closed\",code=\"0\"}", 1.0)]
    );
}

#[test]
fn publications_and_what_is_sent_are_counted_once_for_each_who_hears_them() {
    let office = Office::open("");
    let (server, admin) = (&office.server, &office.admin);
    let mut clients = [server.client(), server.client()];
    let before = admin.metrics();
    for number in 0..3 {
        assert_eq!(admin.publish(&number.to_string()).status, 200);
    }
    let mut octets = 0;
    for client in &mut clients {
        // Messages under 126 bytes have a header of two, others of four (RFC 6455 §5.2).
        let length = |client: &mut Client| client.socket.read().unwrap().len();
        octets += (0..3).map(|_| length(client)).map(|n| n + if n < 126 { 2 } else { 4 }).sum::<usize>();
    }
    let after = admin.metrics();
    let more = |name: &str| after.of(name) - before.of(name);
    assert_eq!(after.of("slackwater_publications_total"), 3.0);
    assert_eq!(more("slackwater_messages_sent_total"), 6.0);
    // The answers to operators are sent, too: those three, and the numbers as they were.
    assert!(more("slackwater_bytes_sent_total") > octets as f64);
    clients[0].echo("x");
    let later = admin.metrics();
    assert_eq!(later.of("slackwater_messages_sent_total"), after.of("slackwater_messages_sent_total") + 1.0);
}

#[test]
fn who_comes_back_is_counted_by_whether_all_could_be_brought() {
    let server = Process::start("--history-size 2");
    let public = server.door();
    let ids: Vec<String> = (0..4)
        .map(|number| public.publish(&number.to_string()).json()["id"].as_str().unwrap().to_owned())
        .collect();
    for id in [&ids[3], &ids[1], &ids[0], "nonsense", "00000000-1"] {
        Client::resume(server.address(), id);
    }
    // Whoever has heard nothing yet has no id, or an empty one.
    for newcomer in ["/ws", "/ws?last_event_id=", "/ws?last_event_id"] {
        assert_eq!(server.client_at(newcomer).welcome["resumed"], false);
    }
    let metrics = public.metrics();
    let resumes = ["resumed", "gap"]
        .map(|result| metrics.of(&format!("slackwater_resumes_total{{result=\"{result}\"}}")));
    assert_eq!(resumes, [2.0, 3.0]);
}

#[test]
fn who_does_not_become_a_client_is_counted_by_why() {
    let office = Office::open("--handshake-timeout 0.1");
    let (server, admin, public) = (&office.server, &office.admin, office.server.door());
    assert_eq!(admin.metrics().sum("slackwater_handshakes_rejected_total"), 0.0);
    assert_eq!(public.get("/ws").status, 426);
    assert_eq!(public.ask("DELETE /ws", "").status, 405);
    assert_eq!(Peer::connect(server.address()).rest(), b"", "who has asked nothing is no refused client");
    let mut halves = Peer::connect(server.address());
    halves.send("GET /ws HT");
    assert_eq!(halves.response().status, 408);
    let rejected = admin.metrics();
    for reason in ["no_upgrade", "method", "timeout"] {
        let name = format!("slackwater_handshakes_rejected_total{{reason=\"{reason}\"}}");
        assert_eq!(rejected.of(&name), 1.0, "{reason}");
    }
    assert_eq!(rejected.sum("slackwater_handshakes_rejected_total"), 3.0);
}

#[test]
fn who_is_one_too_many_is_counted_so() {
    let office = Office::open("--limit-concurrency 1");
    let _client = office.server.client();
    let mut refused = Peer::connect(office.server.address());
    refused.send(HANDSHAKE);
    assert_eq!(refused.response().status, 503);
    let rejected = office.admin.metrics();
    assert_eq!(rejected.of("slackwater_handshakes_rejected_total{reason=\"connection_limit\"}"), 1.0);
}

#[test]
fn who_is_refused_because_the_server_leaves_is_counted_so() {
    let office = Office::open("");
    let client = office.server.client();
    let mut half = Peer::connect(office.server.address());
    half.send(&HANDSHAKE[..20]);
    office.server.signal("TERM");
    office.server.next_line("Waiting for 1");
    half.send(&HANDSHAKE[20..]);
    assert_eq!(half.response().status, 503);
    let metrics = office.admin.metrics();
    assert_eq!(metrics.of("slackwater_handshakes_rejected_total{reason=\"draining\"}"), 1.0);
    client.leave();
    assert_eq!(office.server.end().0, Some(0));
}

#[test]
fn what_waits_for_a_client_is_shown_until_it_has_taken_it() {
    let office = Office::open("--outbox-limit 100000000 --max-publish-size 1000000");
    let mut deaf = office.server.client();
    let text = "x".repeat(500_000);
    let mut published = 0;
    while office.admin.metrics().of("slackwater_outbox_bytes") < 400_000.0 {
        assert_eq!(office.admin.publish(&text).status, 200);
        published += 1;
        assert!(published < 100, "a client that does not read takes no end of it");
    }
    let waits = office.admin.metrics().of("slackwater_outbox_bytes");
    assert_eq!(office.admin.status()["workers"][0]["outbox_bytes"].as_f64(), Some(waits));
    (0..published).for_each(|_| assert_eq!(deaf.hear_data(), text));
    office.admin.metrics_with("nothing that waits", |metrics| metrics.of("slackwater_outbox_bytes") == 0.0);
}

#[test]
fn fan_outs_and_turns_are_timed() {
    let office = Office::open("");
    let (server, admin) = (&office.server, &office.admin);
    let mut client = server.client();
    let before = admin.metrics();
    for number in 0..5 {
        admin.publish(&number.to_string());
        client.hear();
    }
    let after = admin.metrics();
    for name in ["fanout_seconds", "loop_turn_seconds"] {
        let name = format!("slackwater_{name}");
        assert_eq!(after.kinds[&name], "histogram");
        let count = after.of(&format!("{name}_count"));
        let more = count - before.of(&format!("{name}_count"));
        assert!(if name.contains("fanout") { more == 5.0 } else { more >= 5.0 }, "{name}: {more} more");
        let mut buckets: Vec<(f64, f64)> =
            after.family(&format!("{name}_bucket")).map(|(name, value)| (bound(name), value)).collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.len() > 10 && buckets.is_sorted_by(|a, b| a.1 <= b.1), "{buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)));
        let sum = after.of(&format!("{name}_sum"));
        assert!(sum > before.of(&format!("{name}_sum")) && sum < 60.0);
    }
}

fn bound(name: &str) -> f64 {
    let bound = name.split_once("le=\"").unwrap().1.split('"').next().unwrap();
    if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() }
}

#[test]
fn lines_that_nobody_read_are_counted() {
    let (server, _log) = Process::spawn_unread(&mut Command::new(BINARY));
    assert_eq!(server.door().metrics().of("slackwater_log_lines_lost_total"), 0.0);
    // A pipe holds 64 KiB, and each client logs over 100 bytes that nobody reads.
    let deadline = Instant::now() + PATIENCE;
    while server.door().metrics().of("slackwater_log_lines_lost_total") == 0.0 {
        assert!(Instant::now() < deadline, "nothing is lost, or nobody counts it");
        (0..100).for_each(|_| server.client().leave());
    }
}

#[test]
fn the_build_and_the_process_are_told() {
    let seconds = || Timestamp::now().as_microsecond() as f64 / 1e6;
    let before = seconds();
    let office = Office::open("");
    let metrics = office.admin.metrics();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(metrics.of(&format!("slackwater_build_info{{version=\"{version}\"}}")), 1.0);
    let started = metrics.of("process_start_time_seconds");
    assert!(started >= before && started <= seconds(), "{started} {before}");
    assert!(metrics.of("process_resident_memory_bytes") > 1e6);
    assert!(metrics.of("process_virtual_memory_bytes") >= metrics.of("process_resident_memory_bytes"));
    assert!(metrics.of("process_cpu_seconds_total") < 60.0);
    let most = metrics.of("process_max_fds");
    assert!(metrics.get("process_open_fds").is_none_or(|open| open >= 5.0 && open < most));
}

#[test]
fn that_wrong_tokens_are_tried_is_logged_once_and_each_of_them_is_counted() {
    for workers in ["1", "2"] {
        let server = Process::start(&format!("--workers {workers} --publish-token sesame"));
        let door = server.door();
        for what in ["POST /publish", "POST /drain"].iter().cycle().take(20) {
            assert_eq!(door.ask(what, "Authorization: Bearer sekrit\r\n").status, 401);
        }
        let at = |path: &str| {
            format!("slackwater_requests_rejected_total{{path=\"{path}\",reason=\"unauthorized\"}}")
        };
        door.metrics_with("ten refusals at each", |metrics| {
            ["/publish", "/drain"].iter().all(|path| metrics.get(&at(path)) == Some(10.0))
        });
        // All that was said before has been read once this has.
        server.signal("TERM");
        server.line("Shutdown signal received");
        let lines = server.lines();
        let said = lines.iter().filter(|line| line.contains("Refused with a token")).count();
        assert!((1..=workers.parse().unwrap()).contains(&said), "{lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("sekrit")));
    }
}
