//! What clients are told, asked or not: welcome, notifications, echoes, errors, pings.

use super::*;

#[test]
fn the_welcome_comes_first_with_all_that_the_contract_names() {
    let server = Running::with("");
    let mut welcome = timeless(server.client().welcome);
    let fields = welcome.as_object_mut().unwrap();
    for opaque in ["connection_id", "last_event_id"] {
        let value = fields.remove(opaque).unwrap();
        assert!(value.as_str().is_some_and(|value| !value.is_empty()), "{opaque} is {value}");
    }
    assert_eq!(
        welcome,
        json!({
            "type": "welcome", "protocol": 1, "message": "Connected to WebSocket server",
            "topics": ["notifications"], "resumed": false, "ping_interval_ms": null
        })
    );
    for (flags, interval) in [("--ws-ping-interval 0", json!(null)), ("--ws-ping-interval 2.5", json!(2_500))]
    {
        let welcome = Running::with(flags).client().welcome;
        assert_eq!(welcome.get("ping_interval_ms"), Some(&interval), "{flags}");
    }
}

#[test]
fn connections_have_names_of_their_own() {
    let server = Running::with("");
    let (one, other) = (server.client(), server.client());
    assert_ne!(one.welcome["connection_id"], other.welcome["connection_id"]);
}

#[test]
fn everyone_hears_the_same_notifications_in_the_same_order() {
    let server = Running::with("--notify-interval 0.2");
    let mut clients: [Client; 3] = std::array::from_fn(|_| server.client());
    let heard = clients.each_mut().map(|client| {
        let all_here = |message: &Value| message["active_connections"] == 3;
        let messages = std::iter::repeat_with(|| client.hear()).skip_while(|message| !all_here(message));
        messages.take(3).collect::<Vec<_>>()
    });
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[1], heard[2]);
    let numbers = heard[0].iter().map(|message| message["message"].as_str().unwrap());
    let numbers = numbers.map(|message| message.strip_prefix("Periodic notification #").unwrap());
    let numbers: Vec<u64> = numbers.map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers, [numbers[0], numbers[0] + 1, numbers[0] + 2]);
}

#[test]
fn a_notification_has_all_that_the_contract_names() {
    let server = Running::with("--notify-interval 0.1");
    let mut client = server.client();
    let (mut first, second) = (timeless(client.hear()), client.hear());
    let id = first.as_object_mut().unwrap().remove("id").unwrap();
    assert!(id.is_string() && id != second["id"], "{id}");
    let number = first["message"].clone();
    assert_eq!(
        first,
        json!({"type": "notification", "topic": "notifications", "message": number, "active_connections": 1})
    );
}

#[test]
fn who_joins_later_hears_what_follows_the_newest_id_of_its_welcome() {
    let server = Running::with("--notify-interval 0.1");
    let mut early = server.client();
    let mut ids = vec![early.hear()["id"].clone()];
    let mut late = server.client();
    let first_of_late = late.hear()["id"].clone();
    while ids.last() != Some(&first_of_late) {
        ids.push(early.hear()["id"].clone());
    }
    assert_eq!(ids[ids.len() - 2], late.welcome["last_event_id"]);
}

#[test]
fn text_is_echoed() {
    let server = Running::with("");
    let mut client = server.client();
    for text in ["hello", "", "ö €", "{\"a\":1}", "[\"type\"]", &"x".repeat(65_536)] {
        client.say(text);
        assert_eq!(placeless(client.hear()), echo_of(text));
    }
}

#[test]
fn an_echo_names_the_newest_id_of_all_topics_from_which_the_client_may_resume() {
    let server = Running::with("");
    let mut client = server.client();
    let mut place = |text| {
        client.say(text);
        client.hear()["last_event_id"].clone()
    };
    assert_eq!(place("hello"), server.client().welcome["last_event_id"]);
    let quiet = "POST /publish?topic=elsewhere HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 1\n\n1";
    assert_eq!(ask(&server, quiet).status, 200);
    let moved = place("hello again");
    assert_eq!(moved, server.client().welcome["last_event_id"]);
    assert_eq!(Client::resume(server.address, moved.as_str().unwrap()).welcome["resumed"], true);
}

#[test]
fn an_unknown_command_is_answered_with_an_error() {
    let server = Running::with("");
    let mut client = server.client();
    client.say(r#"{"type":"dance","topic":"a"}"#);
    let mut told = timeless(client.hear());
    let message = told["message"].take();
    assert!(
        message.as_str().unwrap().starts_with("unknown type \"dance\", which is \"subscribe\", "),
        "{message}"
    );
    assert_eq!(
        told,
        json!({"type": "error", "code": "bad_message", "message": null, "command": "other", "topic": "a"})
    );
    client.echo("still here");
}

#[test]
fn a_burst_of_short_messages_is_answered_whole_when_the_client_reads() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address).upgraded();
    let mut writer = peer.socket.try_clone().unwrap();
    let talking = std::thread::spawn(move || writer.write_all(&text("x").repeat(40_000)));
    let answers = std::iter::repeat_with(|| peer.frame().first).take(40_000);
    assert_eq!(answers.take_while(|first| *first == TEXT).count(), 40_000);
    talking.join().unwrap().unwrap();
}

#[test]
fn who_answers_pings_stays_and_is_pinged_again_after_the_interval() {
    let server = Running::with("--ws-ping-interval 0.1 --ws-ping-timeout 60");
    let mut client = server.client();
    for _ in 0..5 {
        assert!(matches!(client.socket.read(), Ok(Message::Ping(_))), "a ping comes long before the timeout");
    }
    client.echo("still here");
}
