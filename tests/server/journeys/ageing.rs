//! A server whose clients are asked to reconnect once their connections are old.

use super::*;

/// The notice that comes next: its two numbers.
fn notice(client: &mut Client, reason: &str) -> (u64, Option<u64>) {
    let message = timeless(client.hear());
    assert_eq!((&message["type"], &message["reason"]), (&"reconnect".into(), &reason.into()));
    assert_eq!(message.as_object().unwrap().len(), 5, "{message}");
    assert!(message["last_event_id"].is_string(), "{message}");
    (message["after_ms"].as_u64().unwrap(), message["deadline_ms"].as_u64())
}

fn publish(server: &Running, data: &str) {
    let response =
        ask(server, &format!("POST /publish HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 1\n\n{data}"));
    assert_eq!(response.status, 200);
}

#[test]
fn an_old_client_moves_to_the_same_server_without_a_gap_and_is_asked_again_when_it_is_old_again() {
    let server = Running::with("--max-connection-age 1 --drain-spread 0");
    let began = Instant::now();
    let mut old = server.client();
    publish(&server, "1");
    assert_eq!(old.hear_data(), "1");
    for data in ["2", "3"] {
        let (after_ms, deadline_ms) = notice(&mut old, "connection_age");
        assert!(after_ms <= 100 && deadline_ms.is_none(), "{after_ms} {deadline_ms:?}");
        publish(&server, data);
        let heard = old.hear();
        let mut new = Client::resume(server.address, old.welcome["last_event_id"].as_str().unwrap());
        assert_eq!(new.welcome["resumed"], true);
        while new.hear_data() != data {}
        old.echo("still here");
        assert_eq!(heard["data"], data);
        old.leave();
        old = new;
    }
    assert_waited(began, 2000);
}

#[test]
fn an_old_client_that_has_not_moved_is_closed_when_it_was_told_and_counted() {
    let server = Running::with("--max-connection-age 1 --drain-close-after 0.4 --drain-spread 0");
    let began = Instant::now();
    let mut client = server.client();
    let (after_ms, deadline_ms) = notice(&mut client, "connection_age");
    let (told, deadline_ms) = (Instant::now(), deadline_ms.unwrap());
    assert!(after_ms <= 100 && deadline_ms <= after_ms + 401, "{after_ms} {deadline_ms}");
    let close = close_of(&mut client);
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1012, "connection age"));
    assert_waited(began, 1000 + deadline_ms);
    while client.socket.read().is_ok() {}
    drop(client);
    let line = r#"slackwater_disconnects_total{reason="too_old",code="1012"} 1"#;
    let metrics = || ask(&server, "GET /metrics HTTP/1.1\nHost: 127.0.0.1\n\n").body;
    while !String::from_utf8_lossy(&metrics()).contains(line) {
        assert!(told.elapsed() < support::PATIENCE, "it is not counted");
    }
}

#[test]
fn an_old_client_is_told_another_moment_when_the_server_leaves() {
    let mut server = Running::with(
        "--max-connection-age 1 --drain-close-after 1000 --drain-spread 600 --timeout-graceful-shutdown 2000",
    );
    let mut client = server.client();
    let (_, deadline_ms) = notice(&mut client, "connection_age");
    assert!(deadline_ms.is_some_and(|ms| (1_000_000 - 1000..=1_000_101).contains(&ms)), "{deadline_ms:?}");
    server.signal();
    let (after_ms, deadline_ms) = notice(&mut client, "server_restart");
    assert!(after_ms <= 600_000, "{after_ms}");
    assert!(deadline_ms.is_some_and(|ms| (1_900_000..=2_000_000).contains(&ms)), "{deadline_ms:?}");
    client.echo("still here");
    client.leave();
    assert_eq!(server.outcome(), Outcome::Drained);
}
