//! Publishing, topics, history and resuming, with the server in this process: what goes in over HTTP and what each
//! client hears of it.

use std::net::TcpStream;

use serde_json::{Value, json};
use support::client::Client;
use support::peer::Peer;
use support::publisher::Publisher;

use crate::running::Running;

/// The data of the next so many notifications.
fn hear_data(client: &mut Client, count: usize) -> Vec<Value> {
    (0..count).map(|_| client.hear_data()).collect()
}

#[test]
fn a_publication_is_heard_by_those_who_listen_with_the_id_that_was_answered() {
    let server = Running::with("");
    let mut publisher = Publisher::connect(server.address);
    let mut orders = server.client_at("/ws?topic=orders");
    let mut others = server.client();
    let id = publisher.publish_to("orders", json!({"n": [1, null, "ö"]}));
    let mut heard = orders.hear();
    assert!(heard["timestamp"].take().is_string());
    assert_eq!(
        heard,
        json!({"type": "notification", "id": id, "topic": "orders", "data": {"n": [1, null, "ö"]}, "timestamp": null})
    );
    publisher.publish_to("notifications", "only this");
    assert_eq!(hear_data(&mut others, 1), ["only this"]);
}

#[test]
fn what_curl_sends_by_default_is_a_string_for_the_default_topic() {
    let server = Running::with("");
    let mut client = server.client();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    assert_eq!(Publisher::connect(server.address).post("/publish", form, "hello").status, 200);
    let heard = client.hear();
    assert_eq!((&heard["topic"], &heard["data"]), (&json!("notifications"), &json!("hello")));
}

#[test]
fn where_the_path_names_the_topic_the_body_is_the_data() {
    let server = Running::with("");
    let mut client = server.client_at("/ws?topic=orders/*");
    let mut publisher = Publisher::connect(server.address);
    let json = "Content-Type: application/json\r\n";
    let mut post = |target: &str, fields: &str, body: &str| {
        let response = publisher.post(target, fields, body);
        (response.status, response.json())
    };
    let (status, answer) = post("/publish/orders/7", "", "paid {");
    let heard = client.hear();
    assert_eq!((status, &heard["id"], &heard["topic"]), (200, &answer["id"], &json!("orders/7")));
    let key = format!("{json}Idempotency-Key: k\r\n");
    let first = post("/publish/orders%2F8", &key, r#"{"state":"paid"}"#);
    assert_eq!(post("/publish/orders/8", &key, r#"{"state":"paid"}"#), first);
    assert_eq!(post("/publish/orders/9", &key, r#"{"state":"paid"}"#).0, 422);
    for (target, fields, body, status) in [
        ("/publish/orders/*", "", "x", 422),
        ("/publish/", "", "x", 422),
        ("/publish/orders/7?topic=orders/8", "", "x", 400),
        ("/publish/orders/7", json, "{", 400),
        ("/publish/orders/7", json, r#"{"topic":"orders/8","data":1}"#, 400),
        ("/publish/orders/7", json, r#"{"data":1}"#, 400),
        ("/publish/orders/7", "", "", 400),
        ("/publish/orders/7", "Content-Type: application/x-www-form-urlencoded\r\n", r#"{"a":1}"#, 415),
    ] {
        let answer = post(target, fields, body);
        assert!(answer.0 == status && answer.1["error"].is_string(), "{target}: {answer:?}");
    }
    assert_eq!(
        post("/publish/orders/7", "Content-Type: application/x-ndjson\r\n", "1\n2").1["ids"][1]
            .as_str()
            .map(str::len),
        first.1["id"].as_str().map(str::len)
    );
    assert_eq!(hear_data(&mut client, 3), [json!({"state": "paid"}), json!(1), json!(2)]);
    publisher.0.send("GET /publish/orders/7 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let refused = publisher.0.response();
    assert_eq!((refused.status, refused.field("Allow")), (405, Some("POST")), "on the same connection");
    assert_eq!(publisher.post("/publishing", "", "x").status, 404);
}

#[test]
fn json_that_curl_sends_as_a_form_is_refused_with_the_line_to_use_and_text_is_not() {
    let server = Running::with("");
    let mut client = server.client();
    let mut publisher = Publisher::connect(server.address);
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let refused = publisher.post("/publish", form, r#" {"topic":"orders/7","data":1}"#);
    let why = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(refused.status == 415 && why.contains("curl --json '{"), "{why}");
    assert_eq!(publisher.post("/publish", form, "hello").status, 200);
    assert_eq!(hear_data(&mut client, 1), ["hello"]);
}

#[test]
fn whoever_is_refused_a_command_is_told_which_and_which_topic() {
    let server = Running::with("");
    let mut client = server.client_at("/ws?topic=a+b");
    let mut told = |text: &str| {
        if !text.is_empty() {
            client.say(text);
        }
        let error = client.hear();
        assert_eq!(error["type"], "error");
        ["code", "command", "topic", "ref"].map(|name| error[name].clone())
    };
    assert_eq!(told(""), [json!("bad_topic"), json!("subscribe"), json!("a b"), json!(null)]);
    for (text, expected) in [
        (r#"{"type":"subscribe","topic":"a*"}"#, json!(["bad_topic", "subscribe", "a*", null])),
        (r#"{"type":"unsubscribe","topic":""}"#, json!(["bad_topic", "unsubscribe", "", null])),
        (r#"{"type":"publish","topic":"a*","data":1,"ref":7}"#, json!(["bad_topic", "publish", "a*", 7])),
        (r#"{"type":"publish","topic":"a","data":1,"ref":"x"}"#, json!(["forbidden", "publish", "a", "x"])),
        (r#"{"type":"refresh","token":"x"}"#, json!(["forbidden", "refresh", null, null])),
    ] {
        assert_eq!(json!(told(text)), expected, "{text}");
    }
}

#[test]
fn batches_are_published_in_order_and_all_or_nothing() {
    let server = Running::with("");
    let mut client = server.client_at("/ws?topic=*");
    let mut publisher = Publisher::connect(server.address);
    let answer =
        publisher.publish_json(&json!([{"topic": "a", "data": 1}, {"topics": ["b", "c"], "data": 2}]));
    assert_eq!(answer["ids"].as_array().unwrap().len(), 3);
    let lines = "{\"topic\":\"a\",\"data\":3}\n{\"topic\":\"a b\",\"data\":4}\n";
    let refused = publisher.post("/publish", "Content-Type: application/x-ndjson\r\n", lines);
    assert_eq!(refused.status, 422);
    publisher.publish_to("d", 5);
    assert_eq!(hear_data(&mut client, 4), [1, 2, 2, 5]);
}

#[test]
fn a_chunked_body_and_one_that_waits_for_100_are_taken_and_the_connection_is_kept() {
    let server = Running::with("");
    let mut client = server.client();
    let mut publisher = Publisher::connect(server.address);
    publisher.0.send("POST /publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n");
    assert_eq!(publisher.0.response().status, 200);
    publisher.0.send(
        "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(publisher.0.head().status, 100);
    publisher.0.send("efgh");
    assert_eq!(publisher.0.response().status, 200);
    assert_eq!(hear_data(&mut client, 2), ["abcd", "efgh"]);
}

#[test]
fn a_retry_gets_the_first_answer_and_publishes_nothing() {
    let server = Running::with("");
    let mut client = server.client();
    let mut publisher = Publisher::connect(server.address);
    let mut post = |key: &str, text: &str| {
        publisher.post("/publish", &format!("Idempotency-Key: {key}\r\n"), text).json()
    };
    let first = post("k", "one");
    assert_eq!(post("k", "one"), first);
    assert_ne!(post("l", "two"), first);
    let objects = json!([{"id": "x", "data": "three"}, {"id": "y", "data": "four"}]);
    let both = publisher.publish_json(&objects);
    assert_eq!(publisher.publish_json(&json!([{"id": "y", "data": "four"}]))["ids"][0], both["ids"][1]);
    publisher.publish_to("notifications", "five");
    assert_eq!(hear_data(&mut client, 5), ["one", "two", "three", "four", "five"]);
}

#[test]
fn a_used_key_on_something_else_is_refused_and_publishes_nothing() {
    let server = Running::with("");
    let mut client = server.client_at("/ws?topic=*");
    let mut publisher = Publisher::connect(server.address);
    let key = "Idempotency-Key: k\r\n";
    let mut is_refused = |target: &str, fields: &str, body: &str| {
        let response = publisher.post(target, fields, body);
        let error = response.json()["error"].take();
        assert!(response.status == 200 || error.is_string());
        response.status == 422
    };
    assert!(!is_refused("/publish", key, "one"));
    assert!(is_refused("/publish", key, "another"));
    assert!(is_refused("/publish?topic=elsewhere", key, "one"));
    let json = "Content-Type: application/json\r\n";
    assert!(is_refused("/publish", &(key.to_owned() + json), r#"{"data":1}"#));
    assert!(!is_refused("/publish", json, r#"{"id":"x","data":"two"}"#));
    assert!(is_refused("/publish", json, r#"[{"data":"in vain"},{"id":"x","data":"another"}]"#));
    assert!(!is_refused("/publish", json, r#"{"id":"x","topic":"elsewhere","data":"three"}"#));
    assert!(!is_refused("/publish", "", "four"));
    assert_eq!(hear_data(&mut client, 4), ["one", "two", "three", "four"]);
}

#[test]
fn keys_that_are_not_text_are_told_apart_by_their_octets() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address);
    let mut post = |fields: &[u8]| {
        let head = [b"POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n", fields, b"\r\nx"]
            .concat();
        peer.send(head);
        peer.response()
    };
    // Latin-1, and then UTF-8.
    let first = post(b"Idempotency-Key: M\xfcller-1\r\n").body;
    let second = post(b"Idempotency-Key: M\xf6ller-1\r\n").body;
    let third = post("Idempotency-Key: Müller-1\r\n".as_bytes()).body;
    assert!(first != second && second != third && third != first);
    assert_eq!(post(b"Idempotency-Key: M\xfcller-1\r\n").body, first);
    assert_eq!(post(b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n").status, 400);
}

#[test]
fn only_the_token_opens_publishing_where_there_is_one() {
    let server = Running::with("--publish-token sesame");
    let mut publisher = Publisher::connect(server.address);
    let wrong = "Bearer error=\"invalid_token\"";
    for (shown, challenge, why) in [
        ("", "Bearer", "a token is needed"),
        ("Authorization: Basic sesame\r\n", "Bearer", "a token is needed"),
        (
            "Authorization: Bearer sesam\r\n",
            wrong,
            "the token is wrong: it is not the one of --publish-token",
        ),
        (
            "Authorization: Bearer sesame.a.b\r\n",
            wrong,
            "the token is wrong: it is not the one of --publish-token",
        ),
    ] {
        for target in ["/publish", "/publish/a"] {
            let response = publisher.post(target, shown, "x");
            assert_eq!((response.status, response.field("WWW-Authenticate")), (401, Some(challenge)));
            assert!(response.json()["error"].as_str().unwrap().starts_with(why), "{response:?}");
        }
    }
    assert_eq!(publisher.post("/publish", "Authorization: bearer sesame\r\n", "x").status, 200);
}

#[test]
fn without_a_token_pages_of_other_origins_may_not_publish() {
    let server = Running::with("");
    let mut publisher = Publisher::connect(server.address);
    assert_eq!(publisher.post("/publish", "Origin: http://elsewhere.example\r\n", "x").status, 403);
    assert_eq!(
        publisher.post("/publish", "Origin: http://x\r\n", "x").status,
        403,
        "a name of its own for this machine"
    );
    for (scheme, status) in [(server.scheme(), 200), ("ftp", 403)] {
        let page = format!("Host: localhost:1\r\nOrigin: {scheme}://localhost:1\r\n");
        publisher.0.send(format!("POST /publish HTTP/1.1\r\n{page}Content-Length: 1\r\n\r\nx"));
        assert_eq!(publisher.0.response().status, status, "{scheme}");
    }
}

#[test]
fn beyond_this_machine_publishing_is_off_without_a_token() {
    let server = Running::with("--host 0.0.0.0");
    let response = Publisher::connect(server.address).post("/publish", "", "x");
    assert_eq!(response.status, 403);
    assert!(response.json()["error"].as_str().unwrap().contains("--publish-token"));
}

#[test]
fn topics_come_and_go_while_connected() {
    let server = Running::with("");
    let mut client = server.client_at("/ws?topic=a&topic=b/*");
    assert_eq!(client.welcome["topics"], json!(["a", "b/*"]));
    let mut publisher = Publisher::connect(server.address);
    publisher.publish_to("c", "before it listened");
    client.say(r#"{"type":"subscribe","topic":"c"}"#);
    assert_eq!(client.hear()["type"], "subscribed");
    client.say(r#"{"type":"unsubscribe","topic":"a"}"#);
    let gone = client.hear();
    assert_eq!((&gone["type"], &gone["topic"]), (&json!("unsubscribed"), &json!("a")));
    for topic in ["a", "b", "b/1", "c", "b/2/x"] {
        publisher.publish_to(topic, topic);
    }
    assert_eq!(hear_data(&mut client, 3), ["b/1", "c", "b/2/x"]);
}

#[test]
fn a_topic_that_is_named_twice_is_heard_once_until_it_is_left() {
    let server = Running::with("");
    let mut client = server.client_at("/ws?topic=a&topic=b&topic=a");
    assert_eq!(client.welcome["topics"], json!(["a", "b"]));
    let mut publisher = Publisher::connect(server.address);
    let _ = ["a", "b"].map(|topic| publisher.publish_to(topic, topic));
    assert_eq!(hear_data(&mut client, 2), ["a", "b"]);
    client.say(r#"{"type":"unsubscribe","topic":"a"}"#);
    assert_eq!(client.hear()["type"], "unsubscribed");
    let _ = ["a", "b"].map(|topic| publisher.publish_to(topic, topic));
    assert_eq!(hear_data(&mut client, 1), ["b"]);
}

#[test]
fn a_connection_has_at_most_128_topics() {
    let server = Running::with("");
    let topics: Vec<String> = (0..130).map(|n| format!("topic=t{n}")).collect();
    let mut client = server.client_at(&format!("/ws?{}", topics.join("&")));
    assert_eq!(client.welcome["topics"].as_array().unwrap().len(), 128);
    assert_eq!(
        [client.hear()["code"].clone(), client.hear()["code"].clone()],
        ["too_many_topics", "too_many_topics"]
    );
    client.say(r#"{"type":"subscribe","topic":"more"}"#);
    let told = client.hear();
    assert_eq!((&told["code"], &told["topic"]), (&"too_many_topics".into(), &"more".into()));
}

#[test]
fn who_comes_back_is_brought_what_it_missed_of_its_topics_and_then_what_follows() {
    let server = Running::with("");
    let mut publisher = Publisher::connect(server.address);
    let left_at = publisher.publish_to("a", 1);
    publisher.publish_to("b", 2);
    publisher.publish_to("a", 3);
    publisher.publish_to("c/1", 4);
    let mut client = server.client_at(&format!("/ws?topic=a&topic=c/*&last_event_id={left_at}"));
    assert_eq!(client.welcome["resumed"], true);
    publisher.publish_to("a", 5);
    assert_eq!(hear_data(&mut client, 3), [3, 4, 5]);
}

#[test]
fn what_cannot_be_brought_back_whole_is_not_begun() {
    let server = Running::with("--history-size 2");
    let mut publisher = Publisher::connect(server.address);
    let ids: Vec<String> = (0..4).map(|n| publisher.publish_to("notifications", n)).collect();
    let (epoch, _) = ids[0].split_once('-').unwrap();
    let future = format!("{epoch}-99");
    for lost in [&ids[0], "00000000-4", "nonsense", &future, "%00", ""] {
        let mut client = server.client_at(&format!("/ws?last_event_id={lost}"));
        assert_eq!(
            (&client.welcome["resumed"], &client.welcome["last_event_id"]),
            (&json!(false), &json!(ids[3])),
            "{lost}"
        );
        client.echo("anything before this?");
    }
    let mut client = server.client_at(&format!("/ws?last_event_id={}", ids[1]));
    assert_eq!(client.welcome["resumed"], true);
    assert_eq!(hear_data(&mut client, 2), [2, 3]);
}

#[test]
fn a_replay_larger_than_the_outbox_flows_as_it_is_read_and_others_do_not_wait_for_it() {
    let server = Running::with("--outbox-limit 65536");
    let mut publisher = Publisher::connect(server.address);
    let start = publisher.publish_to("notifications", 0);
    for n in 1..100 {
        publisher.publish_to("notifications", format!("{n:05}{}", "x".repeat(50_000)));
    }
    let mut slow = server.client_at(&format!("/ws?last_event_id={start}"));
    let mut other = server.client();
    publisher.publish_to("notifications", "live");
    assert_eq!(hear_data(&mut other, 1), ["live"]);
    let heard = hear_data(&mut slow, 100);
    let numbers: Vec<usize> =
        heard[..99].iter().map(|data| data.as_str().unwrap()[..5].parse().unwrap()).collect();
    assert_eq!((numbers, &heard[99]), ((1..100).collect(), &json!("live")));
}

#[test]
fn a_draining_server_refuses_publications() {
    let mut server = Running::with("");
    let mut client = server.client();
    let mut publisher = Publisher::connect(server.address);
    let fields = "Host: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    publisher.0.send(format!("POST /publish HTTP/1.1\r\n{fields}"));
    assert_eq!(publisher.0.head().status, 100, "it has been heard");
    publisher.0.send("on");
    client.echo("is it there?");
    server.signal();
    // The body ends only once the drain has begun: nothing is positioned any more.
    while TcpStream::connect(server.door).is_ok() {}
    publisher.0.send("e");
    let response = publisher.0.response();
    assert_eq!((response.status, response.field("Retry-After")), (503, Some("1")));
    drop(client);
    server.outcome();
}
