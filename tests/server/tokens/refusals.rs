//! Every refusal is counted: by what was asked for, and why.

use super::*;

/// The samples of these counters.
fn rejected(server: &Running, family: &str) -> Vec<String> {
    let mut peer = Peer::connect(server.address);
    peer.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let told = peer.response();
    let samples = told.text().lines().filter_map(|line| line.strip_prefix(family));
    let mut samples: Vec<String> = samples.map(str::to_owned).collect();
    samples.sort();
    samples
}

#[test]
fn requests_that_are_refused_are_counted_by_path_and_reason() {
    let server = guarded("--publish-token sesame --allowed-origin https://app.example");
    let mut publisher = Publisher::connect(server.address);
    let mut post = |target: &str, fields: &str, body: &str| publisher.post(target, fields, body).status;
    let (own, client) = (bearer("sesame"), bearer(&granting(&["*"], &["chat"])));
    let key = format!("{own}Idempotency-Key: k\r\n");
    let json = format!("{own}Content-Type: application/json\r\n");
    for (target, fields, body, status) in [
        ("/publish", &*own, "x", 200),
        ("/publish", &client, "x", 403),
        ("/publish?topic=chat", &client, "x", 200),
        ("/publish", &bearer("sesam"), "x", 401),
        ("/publish", &bearer(&signed(&json!({"exp": 1}))), "x", 401),
        ("/publish", "", "x", 401),
        ("/publish", &json, "{", 400),
        ("/publish?topic=a+b", &own, "x", 422),
        ("/publish", &key, "x", 200),
        ("/publish", &key, "y", 422),
        ("/publish", &json, &format!("[{}]", vec![r#"{"data":1}"#; 10_001].join(",")), 413),
        ("/drain", &client, "", 403),
        ("/drain", &bearer("sesam"), "", 401),
        ("/metrics", &own, "", 405),
        ("/", &own, "", 405),
        ("/nowhere", &own, "", 404),
    ] {
        assert_eq!(post(target, fields, body), status, "{target} {fields}");
    }
    for (what, fields, status) in [
        ("GET /status", "Host: example.com\r\n", 401),
        ("GET /metrics", "Host: example.com\r\nAuthorization: Bearer sesam\r\n", 401),
        ("GET /status", "Host: localhost\r\n", 200),
        (
            "OPTIONS /publish",
            "Host: localhost\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n",
            405,
        ),
    ] {
        let mut peer = Peer::connect(server.address);
        peer.send(format!("{what} HTTP/1.1\r\n{fields}\r\n"));
        assert_eq!(peer.response().status, status, "{what} {fields}");
    }
    assert_eq!(
        rejected(&server, "slackwater_requests_rejected_total"),
        [
            r#"{path="/drain",reason="forbidden"} 1"#,
            r#"{path="/drain",reason="unauthorized"} 1"#,
            r#"{path="/metrics",reason="method"} 1"#,
            r#"{path="/metrics",reason="unauthorized"} 1"#,
            r#"{path="/publish",reason="forbidden"} 1"#,
            r#"{path="/publish",reason="malformed"} 1"#,
            r#"{path="/publish",reason="origin"} 1"#,
            r#"{path="/publish",reason="too_large"} 1"#,
            r#"{path="/publish",reason="unauthorized"} 3"#,
            r#"{path="/publish",reason="unprocessable"} 2"#,
            r#"{path="/status",reason="unauthorized"} 1"#,
        ]
    );
    assert_eq!(rejected(&server, "slackwater_handshakes_rejected_total"), [""; 0]);
}

#[test]
fn commands_that_are_refused_are_counted_by_command_and_code() {
    let server = guarded("--max-publish-size 100");
    let token = granting(&["*"], &["chat"]);
    let mut ada = server.client_at(&format!("/ws?topic=a&topic=a+b&token={token}"));
    assert_eq!(ada.hear()["code"], "bad_topic");
    let mut bob = server.client_at(&format!("/ws?topic=b&token={}", granting(&["b"], &[])));
    let publish = |data: &str| json!({"type": "publish", "topic": "chat", "data": data, "id": "x"});
    for (is_ada, command, code) in [
        (true, publish("x"), Value::Null),
        (true, publish("y"), json!("id_conflict")),
        (true, publish(&"x".repeat(100)), json!("too_large")),
        (false, publish("x"), json!("forbidden")),
        (true, json!({"type": "publish", "topic": "chat"}), json!("bad_message")),
        (false, json!({"type": "subscribe", "topic": "a"}), json!("forbidden")),
        (false, json!({"type": "subscribe", "topic": "b"}), Value::Null),
        (false, json!({"type": "refresh", "token": "sekrit"}), json!("bad_token")),
        (false, json!({"type": "subscribe", "topic": "a b"}), json!("bad_topic")),
        (false, json!({"type": "dance"}), json!("bad_message")),
    ] {
        let client = if is_ada { &mut ada } else { &mut bob };
        client.say(&command.to_string());
        assert_eq!(client.hear()["code"], code, "{command}");
    }
    for topic in 0..128 {
        bob.say(&json!({"type": "unsubscribe", "topic": topic.to_string()}).to_string());
        ada.say(&json!({"type": "subscribe", "topic": topic.to_string()}).to_string());
        let (left, joined) = (bob.hear(), ada.hear());
        assert_eq!(left["type"], "unsubscribed");
        assert_eq!(joined["code"].is_string(), topic == 127, "{joined}");
    }
    assert_eq!(
        rejected(&server, "slackwater_commands_rejected_total"),
        [
            r#"{command="other",code="bad_message"} 1"#,
            r#"{command="publish",code="bad_message"} 1"#,
            r#"{command="publish",code="forbidden"} 1"#,
            r#"{command="publish",code="id_conflict"} 1"#,
            r#"{command="publish",code="too_large"} 1"#,
            r#"{command="refresh",code="bad_token"} 1"#,
            r#"{command="subscribe",code="bad_topic"} 2"#,
            r#"{command="subscribe",code="forbidden"} 1"#,
            r#"{command="subscribe",code="too_many_topics"} 1"#,
        ]
    );
}
