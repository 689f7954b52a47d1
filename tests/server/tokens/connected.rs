//! What a client may while it is connected: subscribe, publish, refresh, and be closed when its time is over.

use std::net::TcpStream;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use support::PATIENCE;
use support::frames::{CLOSE, frame, text};

use super::*;

/// So many seconds from now on, as claims have it.
fn in_seconds(seconds: f64) -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() + seconds
}

fn join(server: &Running, target: &str, token: &str) -> Client {
    let glue = if target.contains('?') { '&' } else { '?' };
    server.client_at(&format!("{target}{glue}token={token}"))
}

fn metrics(server: &Running) -> String {
    let mut peer = Peer::connect(server.address);
    peer.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    peer.response().text().to_owned()
}

/// The answer to a command.
fn answer(client: &mut Client, command: &Value) -> Value {
    client.say(&command.to_string());
    let mut answer = client.hear();
    assert!(answer["timestamp"].take().is_string());
    answer.as_object_mut().unwrap().remove("timestamp");
    answer
}

#[test]
fn a_subscription_is_held_against_the_token() {
    let server = guarded("--anonymous-topic news");
    let mut ada = join(&server, "/ws?topic=a/1", &granting(&["a/*"], &[]));
    let mut nobody = server.client_at("/ws?topic=news");
    let subscribe = |topic| json!({"type": "subscribe", "topic": topic});
    for (who, topic, allowed) in [
        ("ada", "a/2", true),
        ("ada", "a/*", true),
        ("ada", "*", false),
        ("ada", "news", false),
        ("nobody", "news", true),
        ("nobody", "a/2", false),
        ("nobody", "news/*", false),
    ] {
        let client = if who == "ada" { &mut ada } else { &mut nobody };
        let told = answer(client, &subscribe(topic));
        let expected = if allowed { ("subscribed", Value::Null) } else { ("error", json!("forbidden")) };
        assert_eq!((told["type"].as_str().unwrap(), told["code"].clone()), expected, "{topic}");
        assert_eq!(told["topic"], topic, "whichever it is");
    }
    let mut publisher = Publisher::connect(server.address);
    publisher.publish_to("b", "not for them");
    publisher.publish_to("news", 1);
    publisher.publish_to("a/2", 2);
    assert_eq!((nobody.hear_data(), ada.hear_data()), (json!(1), json!(2)));
}

#[test]
fn without_keys_everybody_subscribes_to_everything_and_nobody_publishes_over_the_socket() {
    let server = Running::with("");
    let mut client = server.client();
    assert_eq!(answer(&mut client, &json!({"type": "subscribe", "topic": "*"}))["type"], "subscribed");
    let told = answer(&mut client, &json!({"type": "publish", "topic": "a", "data": 1, "ref": 5}));
    assert_eq!((&told["code"], &told["ref"]), (&json!("forbidden"), &json!(5)));
    let told = answer(&mut client, &json!({"type": "refresh", "token": granting(&["*"], &["*"])}));
    assert_eq!(told["code"], "forbidden");
    client.echo("and goes on");
}

#[test]
fn a_client_publishes_what_its_token_grants_and_is_told_the_id() {
    let server = guarded("--anonymous-topic news --max-publish-size 1000");
    let mut ear = join(&server, "/ws?topic=*", &granting(&["*"], &[]));
    let mut ada = join(&server, "/ws?topic=a", &granting(&["a"], &["chat/*"]));
    let publish =
        |topic: &str, data: Value| json!({"type": "publish", "topic": topic, "data": data, "ref": "r"});
    let told = answer(&mut ada, &publish("chat/7", json!({"n": 1})));
    let heard = ear.hear();
    assert_eq!(told, json!({"type": "published", "id": heard["id"], "ref": "r"}));
    assert_eq!((&heard["topic"], &heard["data"]), (&json!("chat/7"), &json!({"n": 1})));
    for (topic, data, code) in [
        ("a", json!(1), "forbidden"),
        ("chat", json!(1), "forbidden"),
        ("chat/*", json!(1), "bad_topic"),
        ("chat/7", json!("x".repeat(999)), "too_large"),
    ] {
        let told = answer(&mut ada, &publish(topic, data));
        assert_eq!(
            (&told["type"], &told["code"], &told["ref"]),
            (&json!("error"), &json!(code), &json!("r"))
        );
    }
    let mut nobody = server.client_at("/ws?topic=news");
    assert_eq!(answer(&mut nobody, &publish("news", json!(1)))["code"], "forbidden");
    assert_eq!(answer(&mut ear, &publish("chat/7", json!(1)))["code"], "forbidden");
    ada.say(&publish("chat/7", json!(2)).to_string());
    assert_eq!(ear.hear_data(), 2);
}

#[test]
fn a_publication_with_an_id_is_made_once_however_it_comes() {
    let server = guarded("");
    let token = granting(&["*"], &["*"]);
    let mut ear = join(&server, "/ws?topic=chat", &token);
    let mut ada = join(&server, "/ws?topic=a", &token);
    let publish = json!({"type": "publish", "topic": "chat", "data": 1, "id": "x"});
    let first = answer(&mut ada, &publish);
    assert_eq!(answer(&mut ada, &publish), first);
    let body = json!({"topic": "chat", "data": 1, "id": "x"}).to_string();
    let fields = format!("{}Content-Type: application/json\r\n", bearer(&token));
    let again = Publisher::connect(server.address).post("/publish", &fields, &body);
    assert_eq!((again.status, &again.json()["id"]), (200, &first["id"]));
    let other = json!({"type": "publish", "topic": "chat", "data": 2, "id": "x"});
    assert_eq!(answer(&mut ada, &other)["code"], "id_conflict");
    assert_eq!(
        answer(&mut ada, &json!({"type": "publish", "topic": "chat", "data": 3}))["type"],
        "published"
    );
    assert_eq!((ear.hear_data(), ear.hear_data()), (json!(1), json!(3)));
}

#[test]
fn the_ids_and_keys_of_one_publisher_say_nothing_to_another() {
    let server = guarded("--publish-token sesame");
    let of = |subject: Value| {
        signed(&json!({"sub": subject, "slackwater": {"subscribe": ["*"], "publish": ["*"]}}))
    };
    let tokens = [json!("ada"), json!("bob"), json!(""), Value::Null].map(of);
    let publish = |data: u32| json!({"type": "publish", "topic": "chat", "data": data, "id": "m-1"});
    let mut ids: Vec<Value> = vec![];
    for token in &tokens {
        let mut client = join(&server, "/ws?topic=a", token);
        let told = answer(&mut client, &publish(1));
        assert_eq!(told["type"], "published");
        assert!(!ids.contains(&told["id"]), "it is nobody else's");
        assert_eq!(answer(&mut client, &publish(2))["code"], "id_conflict");
        ids.push(told["id"].clone());
    }
    let mut publisher = Publisher::connect(server.address);
    let mut post = |token: &str, data: u32| {
        let fields = format!("{}Idempotency-Key: m-1\r\n", bearer(token));
        let response = publisher.post("/publish?topic=chat", &fields, &data.to_string());
        (response.status, response.json()["id"].clone())
    };
    for (token, data) in tokens.iter().map(String::as_str).chain(["sesame"]).zip(1..) {
        let (status, id) = post(token, data);
        assert_eq!(status, 200);
        assert!(!ids.contains(&id));
        assert_eq!((post(token, data).1, post(token, 0).0), (id.clone(), 422));
        ids.push(id);
    }
}

#[test]
fn many_publications_in_one_segment_are_all_answered_in_order() {
    let server = guarded("");
    let mut ada = join(&server, "/ws?topic=a", &granting(&["*"], &["*"]));
    for n in 0..2000 {
        ada.socket
            .write(tungstenite::Message::text(
                json!({"type": "publish", "topic": "b", "data": "x".repeat(100), "ref": n}).to_string(),
            ))
            .unwrap();
    }
    ada.socket.flush().unwrap();
    for n in 0..2000 {
        assert_eq!(ada.hear()["ref"], n);
    }
}

#[test]
fn a_publication_of_a_client_that_goes_at_once_is_heard_and_answered() {
    let server = guarded("");
    let mut ear = join(&server, "/ws?topic=chat", &granting(&["*"], &["*"]));
    let request = handshake(&format!("/ws?topic=a&token={}", granting(&["*"], &["*"])));
    let publish = json!({"type": "publish", "topic": "chat", "data": 1}).to_string();
    for close in [&frame(CLOSE, b"\x03\xe8")[..], b""] {
        for _ in 0..20 {
            let mut ada = Peer::connect(server.address);
            ada.send([request.as_bytes(), &text(&publish), close].concat());
            ada.finish();
            assert_eq!((ada.head().status, ada.message()["type"].as_str()), (101, Some("welcome")));
            let told = ada.message();
            assert_eq!((&told["type"], &told["id"]), (&json!("published"), &ear.hear()["id"]));
            if close.is_empty() {
                assert_eq!(ada.rest(), b"");
            } else {
                assert_eq!(ada.close_code(), Some(1000));
            }
        }
    }
}

#[test]
fn a_leaving_server_takes_no_publications_from_its_clients() {
    let mut server = guarded("");
    let mut ada = join(&server, "/ws?topic=a", &granting(&["*"], &["*"]));
    server.signal();
    while TcpStream::connect(server.door).is_ok() {}
    let told = answer(&mut ada, &json!({"type": "publish", "topic": "a", "data": 1}));
    assert_eq!(told["code"], "restarting");
    ada.leave();
    server.outcome();
}

#[test]
fn a_token_that_expires_closes_its_connection_with_4004_and_no_other() {
    let server = guarded("--anonymous-topic news");
    let claims = |seconds| json!({"exp": in_seconds(seconds), "slackwater": {"subscribe": ["*"]}});
    let mut brief = join(&server, "/ws", &signed(&claims(2.0)));
    let mut long = join(&server, "/ws", &signed(&claims(3600.0)));
    let mut endless = join(&server, "/ws", &granting(&["*"], &[]));
    let mut nobody = server.client_at("/ws?topic=news");
    assert_eq!(brief.close_code(), Some(4004));
    for client in [&mut long, &mut endless, &mut nobody] {
        client.echo("still here");
    }
    // It is counted once the client has gone, too.
    let (line, asked) = (r#"disconnects_total{reason="expired",code="4004"} 1"#, Instant::now());
    while !metrics(&server).contains(line) {
        assert!(asked.elapsed() < PATIENCE, "{}", metrics(&server));
    }
}

#[test]
fn a_refresh_extends_the_connection_and_replaces_its_rights() {
    let server = guarded("");
    let token = |subject: &str, seconds: f64, subscribe: &[&str]| {
        let rights = json!({"subscribe": subscribe, "publish": ["chat"]});
        signed(&json!({"sub": subject, "exp": in_seconds(seconds), "slackwater": rights}))
    };
    let mut ada = join(&server, "/ws?topic=a&topic=b/*&topic=b/1", &token("ada", 3.0, &["a", "b/*"]));
    let refresh = |token: &str| json!({"type": "refresh", "token": token});
    for (bad, why) in [
        (token("eve", 9.0, &["*"]), "(sub)"),
        (token("ada", -1.0, &["*"]), "(exp)"),
        (signed(&json!({"exp": in_seconds(9.0)})), "(sub)"),
        ("sekrit".to_owned(), "no JWT"),
    ] {
        let told = answer(&mut ada, &refresh(&bad));
        assert_eq!(told["code"], "bad_token");
        let message = told["message"].as_str().unwrap();
        assert!(message.contains(why) && !message.contains("sekrit"), "{message}");
    }
    ada.say(&refresh(&token("ada", 3600.0, &["b/1", "c"])).to_string());
    let gone = [ada.hear(), ada.hear()].map(|told| (told["type"].clone(), told["topic"].clone()));
    assert_eq!(gone, ["a", "b/*"].map(|topic| (json!("unsubscribed"), json!(topic))));
    let told = ada.hear();
    assert_eq!(told["type"], "refreshed");
    assert!(told["expires"].as_str().unwrap().ends_with('Z'), "{told}");
    // Another one, of the time that the first token had: by then it is closed, if it is to be.
    let seconds = json!({"exp": in_seconds(3.0), "slackwater": {"subscribe": ["c"]}});
    assert_eq!(join(&server, "/ws?topic=c", &signed(&seconds)).close_code(), Some(4004));
    assert_eq!(answer(&mut ada, &json!({"type": "subscribe", "topic": "c"}))["type"], "subscribed");
    assert_eq!(answer(&mut ada, &json!({"type": "subscribe", "topic": "a"}))["code"], "forbidden");
    let mut publisher = Publisher::connect(server.address);
    for topic in ["a", "b/2", "b/1", "c"] {
        publisher.publish_to(topic, topic);
    }
    assert_eq!((ada.hear_data(), ada.hear_data()), (json!("b/1"), json!("c")));
}

#[test]
fn a_refresh_without_exp_never_expires_and_one_with_less_time_expires_sooner() {
    let server = guarded("");
    let token = |exp: Value| signed(&json!({"sub": "ada", "exp": exp, "slackwater": {"subscribe": ["*"]}}));
    let mut ada = join(&server, "/ws", &token(json!(in_seconds(3600.0))));
    let told = answer(&mut ada, &json!({"type": "refresh", "token": token(Value::Null)}));
    assert_eq!(told, json!({"type": "refreshed", "expires": null}));
    let told = answer(&mut ada, &json!({"type": "refresh", "token": token(json!(in_seconds(2.0)))}));
    assert_eq!(told["type"], "refreshed");
    assert_eq!(ada.close_code(), Some(4004));
}
