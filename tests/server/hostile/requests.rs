//! Requests that a proxy in front may understand in another way, or that never end: none does what it seems to ask
//! for, each gets one answer, and nothing behind it is taken for a request.

use super::*;

/// Sends it with another request behind it, and gives back the status of the one answer that comes.
fn only_status(server: &Running, request: &str) -> u16 {
    let mut peer = Peer::connect(server.address);
    peer.send([request, HEALTHZ].concat());
    let response = peer.response();
    assert_eq!(response.field("Connection"), Some("close"), "{request:?}");
    assert_eq!(peer.rest(), b"", "{request:?}");
    response.status
}

#[test]
fn nothing_is_published_by_a_target_that_is_not_the_path() {
    let server = Running::with("");
    let mut client = server.client();
    let no_targets = [
        "*://y/publish",
        "*",
        "publish",
        "foo?x://y/publish",
        "http:///publish",
        "http:/publish",
        "http://u@y/publish",
        "http://[::1/publish",
        "ftp://y/publish",
        "/a b/publish",
        "/publish b",
        "/publish#x",
        "\\publish",
        "/\\publish",
        "/publ\u{ef}sh",
        "/publish\0",
        "/publish\x7f",
    ];
    for target in no_targets {
        let request = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(only_status(&server, &request), 400, "{target:?}");
    }
    let other_paths = [
        "//publish",
        "//y/publish",
        "/publish;x",
        "/Publish",
        "/%70ublish",
        "/publish%00",
        "/publish%20",
        "/./publish",
        "/a/../publish",
        "/a/%2e%2e/publish",
        "http://localhost//publish",
        "http://localhost?/publish",
    ];
    for target in other_paths {
        let mut peer = Peer::connect(server.address);
        peer.send(format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"));
        let status = peer.response().status;
        assert!(matches!(status, 404 | 405), "{status} {target}");
    }
    for no_topic in ["/publish/", "/publish/%00", "/publish/a%20b", "/publish/a%2A"] {
        let mut peer = Peer::connect(server.address);
        peer.send(format!("POST {no_topic} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"));
        assert_eq!(peer.response().status, 422, "{no_topic}");
    }
    client.echo("was there anything?");
}

#[test]
fn a_host_that_is_none_is_told_400() {
    let server = Running::with("");
    for host in ["a b", "a/b", "u@x", "[::1", "x:y", "x:65536", "[x]", "a, b", "x\\y", "\u{fc}"] {
        for line in ["GET /healthz HTTP/1.1", "GET http://x/healthz HTTP/1.1", "GET /healthz HTTP/1.0"] {
            assert_eq!(
                only_status(&server, &format!("{line}\r\nHost: {host}\r\n\r\n")),
                400,
                "{line} {host}"
            );
        }
    }
    for host in ["x", "X:1", "127.0.0.1:8000", "[::1]:8000", "LocalHost.", ""] {
        let mut peer = Peer::connect(server.address);
        peer.send(HEALTHZ.replace("Host: x", &format!("Host: {host}")));
        assert_eq!(peer.response().status, 200, "{host}");
    }
}

#[test]
fn nothing_is_smuggled_behind_chunks_that_others_read_in_another_way() {
    let server = Running::with("");
    let mut client = server.client();
    let hidden = "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx";
    for chunks in [
        format!("1;\n{hidden}\r\n0\r\n\r\n"),
        format!("1\n{hidden}\r\n0\r\n\r\n"),
        format!("1;a\r{hidden}\r\n0\r\n\r\n"),
        format!("1;a\0\r\nx\r\n0\r\n\r\n{hidden}"),
        "1 \r\nx\r\n0\r\n\r\n".to_owned(),
        "+1\r\nx\r\n0\r\n\r\n".to_owned(),
        "0x1\r\nx\r\n0\r\n\r\n".to_owned(),
        "1\r\nx\n0\r\n\r\n".to_owned(),
        format!("1\r\nx\r\n0\r\n\n{hidden}"),
        format!("1\r\nx\r\n0\r\na: b\n\n{hidden}"),
        format!("1\r\nx\r\n0\r\n{hidden}"),
        format!("1\r\nx\r\n0\r\na : b\r\n\r\n{hidden}"),
        format!("1\r\nx\r\n0\r\na: b\r\n c\r\n\r\n{hidden}"),
    ] {
        let request = format!(
            "POST /publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        );
        assert_eq!(only_status(&server, &request), 400, "{chunks:?}");
    }
    client.echo("was there anything?");
}

#[test]
fn a_head_whose_lines_end_with_a_line_feed_alone_is_told_400() {
    let server = Running::with("");
    for request in [
        "GET /healthz HTTP/1.1\nHost: x\n\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nX: y\nContent-Length: 1\r\n\r\n",
    ] {
        assert_eq!(only_status(&server, request), 400, "{request:?}");
    }
}

#[test]
fn a_request_whose_body_never_comes_has_one_answer() {
    let server = Running::with("--timeout-keep-alive 0.3 --handshake-timeout 0.3");
    for (line, status) in
        [("POST /healthz", 405), ("POST /nowhere", 404), ("GET /healthz", 200), ("PUT /publish", 405)]
    {
        for half in [
            "Content-Length: 9\r\n\r\n1",
            "Transfer-Encoding: chunked\r\n\r\n9\r\n1",
            "Content-Length: 9\r\n\r\n",
        ] {
            let mut peer = Peer::connect(server.address);
            peer.send(format!("{line} HTTP/1.1\r\nHost: x\r\n{half}"));
            assert_eq!(peer.response().status, status, "{line} {half:?}");
            assert_eq!(peer.rest(), b"", "{line} {half:?}");
        }
    }
}

#[test]
fn an_empty_line_behind_a_body_is_no_request_that_never_ends() {
    let server = Running::with("--timeout-keep-alive 0.3 --handshake-timeout 0.3");
    let mut peer = Peer::connect(server.address);
    peer.send("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx\r\n");
    assert_eq!(peer.response().status, 405);
    assert_eq!(peer.rest(), b"");
}
