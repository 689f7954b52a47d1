//! HTTP beside the WebSocket: keep-alive, pipelining, the files of the page, and what is refused.

use super::*;

#[test]
fn every_file_of_the_page_has_its_type_its_tag_and_is_asked_for_again() {
    let server = Running::with("");
    let files = [
        ("/", "index.html", "text/html; charset=utf-8"),
        ("/app.js", "app.js", "text/javascript; charset=utf-8"),
        ("/slackwater.js", "slackwater.js", "text/javascript; charset=utf-8"),
        ("/style.css", "style.css", "text/css; charset=utf-8"),
        ("/favicon.svg", "favicon.svg", "image/svg+xml"),
    ];
    for (path, file, content_type) in files {
        let response = get(&server, path);
        let fields = ["Content-Type", "Cache-Control"].map(|name| response.field(name).unwrap());
        assert_eq!((response.status, fields), (200, [content_type, "no-cache"]), "{path}");
        let stored = std::fs::read(format!("{}/static/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(response.body == stored, "{path} is not static/{file}");

        let etag = response.field("ETag").unwrap();
        let again = format!("GET {path} HTTP/1.1\nHost: x\nIf-None-Match: \"other\", {etag}\n\n");
        let mut peer = Peer::connect(server.address);
        peer.send(again.replace('\n', "\r\n").replace("x\r\n", "x\r\nConnection: close\r\n"));
        let response = peer.head();
        assert_eq!((response.status, response.field("ETag")), (304, Some(etag)), "{path}");
        assert_eq!(peer.rest(), b"", "304 has no body");
    }
}

#[test]
fn the_server_says_that_it_is_healthy() {
    let server = Running::with("");
    let response = get(&server, "/healthz");
    assert_eq!((response.status, response.body), (200, br#"{"status":"ok"}"#.to_vec()));
    assert!(response.head.contains("Content-Type: application/json\r\n"), "{}", response.head);
}

#[test]
fn unknown_paths_and_wrong_methods_are_told_so_in_small_json() {
    let server = Running::with("");
    let refused = [
        ("GET", "/nowhere", 404, None),
        ("POST", "/nowhere", 404, None),
        ("GET", "/../Cargo.toml", 404, None),
        ("POST", "/healthz", 405, Some("GET, HEAD")),
        ("DELETE", "/", 405, Some("GET, HEAD")),
        ("POST", "/ws", 405, Some("GET")),
    ];
    for (method, path, status, allow) in refused {
        let response = ask(&server, &format!("{method} {path} HTTP/1.1\nHost: x\n\n"));
        assert_eq!((response.status, response.field("Allow")), (status, allow), "{method} {path}");
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        assert!(body["error"].is_string(), "{body}");
    }
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address);
    for path in ["/healthz", "/nowhere", "/app.js", "/healthz"] {
        peer.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let response = peer.response();
        assert_eq!(response.status, if path == "/nowhere" { 404 } else { 200 });
        assert_eq!(response.field("Connection"), None);
    }
    peer.send(HANDSHAKE);
    assert_eq!(peer.head().status, 101);
}

#[test]
fn who_asks_to_close_is_answered_and_closed() {
    let server = Running::with("");
    for request in
        ["GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "GET /healthz HTTP/1.0\r\n\r\n"]
    {
        let mut peer = Peer::connect(server.address);
        peer.send(request);
        let response = peer.response();
        assert_eq!((response.status, response.field("Connection")), (200, Some("close")));
        assert_eq!(peer.rest(), b"");
    }
}

#[test]
fn requests_in_one_segment_are_answered_in_order() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address);
    let requests = [
        HEALTHZ,
        "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /",
        "HEAD /style.css HTTP/1.1\r\nHost: x\r\n\r\n",
        HANDSHAKE,
    ];
    peer.send([requests.concat().as_bytes(), &text("and on")].concat());
    assert_eq!([(); 3].map(|()| peer.response().status), [200, 404, 405]);
    assert_eq!([(); 2].map(|()| peer.head().status), [200, 101]);
    assert_eq!(peer.message()["type"], "welcome");
    assert_eq!(placeless(peer.message()), echo_of("and on"));
}

#[test]
fn who_reads_late_and_has_half_closed_gets_every_answer_and_a_clean_end() {
    let server = Running::with("");
    let mut peer = Peer::with_little_room(server.address);
    peer.send("GET /app.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200));
    peer.finish();
    let script = get(&server, "/app.js").body;
    for _ in 0..200 {
        assert!(peer.response().body == script);
    }
    assert_eq!(peer.rest(), b"");
}

#[test]
fn the_answer_to_head_has_the_fields_of_the_answer_to_get_and_no_body() {
    let server = Running::with("");
    let undated =
        |head: &str| head.lines().filter(|line| !line.starts_with("Date: ")).collect::<Vec<_>>().join("\n");
    for path in ["/", "/healthz", "/nowhere"] {
        let mut peer = Peer::connect(server.address);
        peer.send(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n{HEALTHZ}"));
        assert_eq!(undated(&peer.head().head), undated(&get(&server, path).head), "{path}");
        assert_eq!(peer.response().status, 200, "a body follows the answer to HEAD {path}");
    }
}

#[test]
fn a_request_over_a_limit_or_of_two_meanings_is_refused_and_the_stream_ends() {
    let server = Running::with("");
    let long = "x".repeat(16 * 1024);
    let refused = [
        (431, format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n")),
        (431, format!("GET / HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n")),
        (413, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n".to_owned()),
        (
            400,
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_owned(),
        ),
        (400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned()),
        (400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
    ];
    for (status, request) in refused {
        let mut peer = Peer::connect(server.address);
        // What follows would be a second request to whoever reads the first one otherwise.
        peer.send([&request, HEALTHZ].concat());
        let response = peer.response();
        assert_eq!((response.status, response.field("Connection")), (status, Some("close")), "{request:.90}");
        assert_eq!(peer.rest(), b"", "{request:.90}");
    }
}

#[test]
fn an_upgrade_that_is_not_offered_is_ignored_and_the_connection_kept() {
    let server = Running::with("");
    let fields = HANDSHAKE.split_once("\r\n").unwrap().1.replace("\r\n", "\n");
    let unkeyed = "Host: x\nUpgrade: websocket\n\n".to_owned();
    let h2c =
        "Host: x\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAARAAAAA\n\n"
            .to_owned();
    for fields in [fields, unkeyed, h2c] {
        let asked = [
            ("GET /healthz", 200),
            ("GET /", 200),
            ("GET /nowhere", 404),
            ("POST /ws", 405),
            ("PUT /ws", 405),
            ("POST /publish", 400),
        ];
        for (line, status) in asked {
            let mut peer = Peer::connect(server.address);
            let fields = fields.replace("Host: x", "Host: localhost");
            peer.send(format!("{line} HTTP/1.1\n{fields}").replace('\n', "\r\n"));
            let response = peer.response();
            assert_eq!((response.status, response.field("Connection")), (status, None), "{line} {fields}");
            peer.send(HEALTHZ);
            assert_eq!(peer.response().status, 200, "{line} {fields}");
        }
        let mut peer = Peer::connect(server.address);
        peer.send(format!("HEAD /ws HTTP/1.1\n{fields}").replace('\n', "\r\n"));
        assert_eq!(peer.head().status, 405, "{fields}");
        let publication = fields.replace("Host: x", "Host: localhost\nContent-Length: 2");
        let response = ask(&server, &format!("POST /publish HTTP/1.1\n{publication}hi"));
        assert_eq!(response.status, 200, "{fields}");
    }
    let other = ask(&server, "GET /ws HTTP/1.1\nHost: x\nConnection: Upgrade\nUpgrade: h2c\n\n");
    assert_eq!((other.status, other.field("Upgrade")), (426, Some("websocket")));
}

#[test]
fn http_1_0_is_not_told_to_go_on_nor_upgraded() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address);
    peer.send(
        "POST /publish HTTP/1.0\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    );
    peer.send("hi");
    assert_eq!(peer.response().status, 200);
    assert_eq!(peer.rest(), b"");

    let mut peer = Peer::connect(server.address);
    peer.send(HANDSHAKE.replace("HTTP/1.1", "HTTP/1.0"));
    let response = peer.response();
    assert_eq!((response.status, response.field("Upgrade")), (426, Some("websocket")));
    assert_eq!(peer.rest(), b"");
    assert_eq!(
        ask(&server, "GET /healthz HTTP/1.0\nUpgrade: websocket\nExpect: 100-continue\n\n").status,
        200
    );
}

#[test]
fn options_for_the_whole_server_names_the_methods_that_there_are() {
    let server = Running::with("");
    let response = ask(&server, "OPTIONS * HTTP/1.1\nHost: x\n\n");
    assert_eq!((response.status, response.field("Allow")), (405, Some("GET, HEAD, POST")));
}

#[test]
fn a_url_as_the_target_is_answered_as_its_path() {
    let server = Running::with("");
    for target in ["http://y/healthz", "HTTPS://[::1]:8000/healthz?x", "http://y"] {
        assert_eq!(ask(&server, &format!("GET {target} HTTP/1.1\nHost: x\n\n")).status, 200, "{target}");
    }
}
