//! What is answered before anybody is let in.

use super::*;

#[test]
fn with_a_key_nobody_is_let_in_without_a_token() {
    let server = guarded("");
    for (target, fields) in
        [("/ws", ""), ("/ws?topic=a", ""), ("/ws?token=", "Authorization: Basic YTpi\r\n")]
    {
        let refused = ask(&server, target, fields);
        assert_eq!((refused.status, refused.field("WWW-Authenticate")), (401, Some("Bearer")), "{target}");
        assert_eq!(error(&refused), "a token is needed");
    }
    let mut peer = Peer::connect(server.address);
    peer.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(peer.response().status, 200);
}

#[test]
fn a_bad_token_is_told_which_check_it_failed_and_nothing_more() {
    let server = guarded("--auth-audience us --auth-issuer them");
    let good = json!({"aud": "us", "iss": "them", "slackwater": {"subscribe": ["*"]}});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signed(&claims)
    };
    assert_eq!(ask(&server, "/ws", &bearer(&signed(&good))).status, 101);
    let other = encode(&Header::default(), &good, &EncodingKey::from_secret(b"another")).unwrap();
    let long = encode(&Header::new(Algorithm::HS512), &good, &EncodingKey::from_secret(SECRET.as_bytes()));
    for (token, why) in [
        ("sekrit".to_owned(), "no JWT"),
        (other, "signature"),
        (long.unwrap(), "(alg)"),
        (with("exp", json!(1)), "(exp)"),
        (with("nbf", json!(1e12)), "(nbf)"),
        (with("aud", json!("sekrit")), "(aud)"),
        (with("iss", json!("sekrit")), "(iss)"),
        (with("slackwater", json!({"subscribe": ["sek rit"]})), "(slackwater)"),
        ("a".repeat(9000), "longer than 8192 bytes"),
    ] {
        let refused = ask(&server, "/ws", &bearer(&token));
        assert_eq!(refused.status, 401, "{why}");
        assert_eq!(refused.field("WWW-Authenticate"), Some("Bearer error=\"invalid_token\""));
        let told = error(&refused);
        assert!(told.contains(why) && !told.contains("sek"), "{why}: {told}");
    }
}

#[test]
fn a_page_that_asks_without_an_upgrade_is_told_why_it_would_not_be_let_in() {
    let server = guarded("--anonymous-topic news");
    let get = |target: &str, fields: &str| {
        let mut peer = Peer::connect(server.address);
        peer.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
        peer.response().status
    };
    let token = bearer(&granting(&["orders"], &[]));
    for (target, fields, status) in [
        ("/ws?topic=orders", "", 401),
        ("/ws?topic=orders", &*bearer("sekrit"), 401),
        ("/ws?topic=news", &*token, 403),
        ("/ws?topic=news", "", 426),
        ("/ws?topic=orders", &*token, 426),
    ] {
        assert_eq!(get(target, fields), status, "{target} {fields}");
    }
}

#[test]
fn nothing_wider_than_what_the_token_grants_is_let_in() {
    let server = guarded("");
    for (granted, target, status) in [
        (&["orders/*"][..], "/ws?topic=orders/*", 101),
        (&["orders/*"], "/ws?topic=orders/7", 101),
        (&["orders/*"], "/ws?topic=orders/7/*&topic=orders/8", 101),
        (&["orders/*"], "/ws?topic=orders", 403),
        (&["orders/*"], "/ws?topic=orders/7&topic=news", 403),
        (&["orders/*"], "/ws?topic=*", 403),
        (&["orders/7"], "/ws?topic=orders/7", 101),
        (&["orders/7"], "/ws?topic=orders/*", 403),
        (&["*"], "/ws?topic=*", 101),
        (&["*"], "/ws", 101),
        (&["notifications"], "/ws", 101),
        (&[], "/ws?topic=orders/7", 403),
    ] {
        let answer = ask(&server, target, &bearer(&granting(granted, &["*"])));
        assert_eq!(answer.status, status, "{granted:?} {target}");
        if status == 403 {
            assert_eq!(answer.field("WWW-Authenticate"), Some("Bearer error=\"insufficient_scope\""));
        }
    }
    let unnamed = ask(&server, "/ws", &bearer(&granting(&["orders/*"], &[])));
    assert_eq!(unnamed.status, 403);
    assert!(error(&unnamed).ends_with("name a topic"), "{}", error(&unnamed));
    let rightless = ask(&server, "/ws", &bearer(&signed(&json!({"sub": "ada"}))));
    assert_eq!(rightless.status, 403);
}

#[test]
fn without_a_token_only_anonymous_topics_are_heard() {
    let server = guarded("--anonymous-topic news/* --anonymous-topic notifications");
    for (target, status) in [
        ("/ws", 101),
        ("/ws?topic=news/*", 101),
        ("/ws?topic=news/1&topic=notifications", 101),
        ("/ws?topic=orders", 401),
        ("/ws?topic=*", 401),
        ("/ws?topic=news/1&topic=news", 401),
        ("/ws?token=sekrit", 401),
    ] {
        assert_eq!(ask(&server, target, "").status, status, "{target}");
    }
    let server = guarded("--anonymous-topic news");
    // A token might grant what is heard where no topic is named: to ask for one is no fault of the request (RFC 6750 §3.1).
    let nameless = ask(&server, "/ws", "");
    assert_eq!((nameless.status, nameless.field("WWW-Authenticate")), (401, Some("Bearer")));
    let told = nameless.json()["error"].to_string();
    assert!(told.contains("name a topic, or show a token"), "{told}");
    assert_eq!(ask(&server, "/ws", &bearer(&granting(&["a"], &[]))).status, 403);
    // Whoever shows a token has its rights and no others.
    assert_eq!(ask(&server, "/ws?topic=news", &bearer(&granting(&["a"], &[]))).status, 403);
}

#[test]
fn a_token_is_taken_from_each_of_its_places_and_the_sub_protocol_is_answered() {
    let server = guarded("");
    let token = granting(&["*"], &[]);
    for (target, fields, protocol) in [
        ("/ws", bearer(&token), None),
        ("/ws", format!("Cookie: a=b; slackwater_token={token}\r\n"), None),
        (
            "/ws",
            format!("Sec-WebSocket-Protocol: slackwater, slackwater.token.{token}\r\n"),
            Some("slackwater"),
        ),
        (&*format!("/ws?token={token}"), String::new(), None),
        (
            &format!("/ws?token={token}"),
            "Sec-WebSocket-Protocol: mqtt, slackwater\r\n".to_owned(),
            Some("slackwater"),
        ),
    ] {
        let answer = ask(&server, target, &fields);
        assert_eq!((answer.status, answer.field("Sec-WebSocket-Protocol")), (101, protocol), "{fields}");
    }
    // The first of them counts, good or bad.
    let bad_first = format!("{}Cookie: slackwater_token={token}\r\n", bearer("sekrit"));
    assert_eq!(ask(&server, "/ws", &bad_first).status, 401);
}

#[test]
fn publishing_takes_the_rights_of_a_token_for_all_of_a_body_or_nothing() {
    let server = guarded("--publish-token sesame");
    let mut client = Client::join(server.address, &format!("/ws?topic=*&token={}", granting(&["*"], &[])));
    let mut publisher = Publisher::connect(server.address);
    let token = granting(&[], &["chat/*", "news"]);
    let mut post = |token: &str, target: &str, body: &Value| {
        let fields = format!("{}Content-Type: application/json\r\n", bearer(token));
        let response = publisher.post(target, &fields, &body.to_string());
        (response.status, response.field("WWW-Authenticate").map(str::to_owned))
    };
    let insufficient = (403, Some("Bearer error=\"insufficient_scope\"".to_owned()));
    let batch = json!([{"topic": "chat/1", "data": 0}, {"topics": ["news", "orders"], "data": 0}]);
    assert_eq!(post(&token, "/publish", &json!({"topic": "chat/1", "data": 1})), (200, None));
    assert_eq!(post(&token, "/publish?topic=news", &json!(2)), (200, None));
    assert_eq!(post(&token, "/publish", &batch), insufficient);
    assert_eq!(post(&token, "/publish?topic=news&topic=chat", &json!(0)), insufficient);
    assert_eq!(post(&token, "/publish", &json!({"data": 0})), insufficient, "the default topic");
    assert_eq!(post(&granting(&["*"], &[]), "/publish?topic=news", &json!(0)), insufficient);
    assert_eq!(post("sesame", "/publish?topic=orders", &json!(3)), (200, None));
    let invalid = (401, Some("Bearer error=\"invalid_token\"".to_owned()));
    assert_eq!(post("sesam", "/publish?topic=orders", &json!(0)), invalid);
    assert_eq!(post(&signed(&json!({"exp": 1})), "/publish?topic=news", &json!(0)), invalid);
    for n in 1..=3 {
        assert_eq!(client.hear_data(), n);
    }
    let misplaced = publisher.post("/publish?topic=news&token=sesame", "", "x");
    assert_eq!(misplaced.status, 401);
    assert_eq!(misplaced.json()["error"], "the operators' token is taken in Authorization alone");
    let missing = publisher.post("/publish?topic=news", "", "x");
    assert_eq!((missing.status, missing.field("WWW-Authenticate")), (401, Some("Bearer")));
    // Browsers send cookies with the requests of foreign pages, too.
    let cookie = format!("Cookie: slackwater_token={token}\r\n");
    assert_eq!(publisher.post("/publish?topic=news", &cookie, "x").status, 401);
}

#[test]
fn whoever_shows_a_token_is_judged_by_it_where_all_of_this_machine_may_publish() {
    let server = guarded("");
    let mut publisher = Publisher::connect(server.address);
    let mut post = |fields: &str| publisher.post("/publish?topic=news", fields, "x").status;
    assert_eq!(post(""), 200);
    assert_eq!(post(&bearer(&granting(&[], &["news"]))), 200);
    assert_eq!(post(&bearer(&granting(&[], &["chat"]))), 403);
    assert_eq!(post(&bearer("sekrit")), 401);
}

#[test]
fn no_clients_token_makes_the_server_leave_where_all_of_this_machine_may() {
    for flags in ["", "--publish-token sesame"] {
        let mut server = guarded(flags);
        let mut operator = Publisher::connect(server.address);
        let mut drain = |target: &str, fields: &str| operator.post(target, fields, "").status;
        let token = granting(&["*"], &["*"]);
        assert_eq!(drain("/drain", &bearer(&token)), 403);
        assert_eq!(drain(&format!("/drain?token={token}"), ""), 403);
        assert_eq!(drain("/drain", &bearer("sekrit")), 401);
        let own = if flags.is_empty() { String::new() } else { bearer("sesame") };
        assert_eq!(drain("/drain", &own), 202, "{flags}");
        server.outcome();
    }
}

#[test]
fn beyond_this_machine_publishing_is_for_whoevers_token_grants_it() {
    let server = guarded("--host 0.0.0.0");
    let mut publisher = Publisher::connect(server.address);
    let mut post = |fields: &str| publisher.post("/publish?topic=news", fields, "x").status;
    assert_eq!(post(""), 401);
    assert_eq!(post(&bearer(&granting(&[], &["news"]))), 200);
    // What is not publishing stays the operators'.
    assert_eq!(publisher.post("/drain", &bearer(&granting(&["*"], &["*"])), "").status, 403);
}

#[test]
fn without_keys_tokens_mean_nothing() {
    let server = Running::with("");
    for fields in [bearer("sekrit"), "Cookie: slackwater_token=sekrit\r\n".to_owned()] {
        assert_eq!(ask(&server, "/ws?topic=*&token=sekrit", &fields).status, 101);
    }
    let offered = HANDSHAKE.replacen("\r\n\r\n", "\r\nSec-WebSocket-Protocol: slackwater\r\n\r\n", 1);
    let mut peer = Peer::connect(server.address);
    peer.send(offered);
    assert_eq!(peer.head().field("Sec-WebSocket-Protocol"), Some("slackwater"));
    assert_eq!(Publisher::connect(server.address).post("/publish", &bearer("sekrit"), "x").status, 200);
}

#[test]
fn refusals_are_counted_and_no_token_is_shown_to_operators() {
    let server = guarded("");
    let token = granting(&["a"], &[]);
    ask(&server, "/ws", "");
    ask(&server, &format!("/ws?topic=b&token={token}"), "");
    let mut client = server.client_at(&format!("/ws?topic=a&token={token}"));
    client.echo("here");
    for (target, counted) in [("/metrics", true), ("/status", false)] {
        let mut peer = Peer::connect(server.address);
        peer.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let told = peer.response();
        assert!(!told.text().contains(&token) && !told.text().contains(SECRET));
        for reason in ["unauthorized", "forbidden"] {
            let line = format!("slackwater_handshakes_rejected_total{{reason=\"{reason}\"}} 1");
            assert_eq!(told.text().contains(&line), counted, "{}", told.text());
        }
    }
}
