//! Publications that are none: each is told what is wrong, and nothing is published.

use support::publisher::Publisher;

use super::*;

#[test]
fn a_bad_publication_is_told_what_is_wrong_and_nothing_is_published() {
    let server = Running::with("--max-publish-size 1000 --handshake-timeout 1");
    let mut client = server.client();
    let json = "Content-Type: application/json";
    let long = "x".repeat(1001);
    let bad = [
        (json, "{\n \"data\": }", 400, "line 2, octet 10: no '}' is expected here"),
        (json, "", 400, "line 1, octet 1: there is nothing here"),
        (json, "[{\"data\":1},{\"topic\":1,\"data\":1}]", 400, "line 1, octet 22: the field \"topic\""),
        (json, "[[\"a\",null,1,null]]", 400, "publication 1 of the list: a list stands where"),
        (json, "[{\"data\":1},[null,null,1,null]]", 400, "publication 2 of the list"),
        ("Content-Type: application/x-ndjson", "[null,null,1,null]", 400, "line 1, octet 1: a list stands"),
        (json, "{\"data\":1,\"data\":2}", 400, "the field \"data\" is given twice"),
        (json, "{\"data\":1}{}", 400, "line 1, octet 11: the JSON has ended before this"),
        (json, "{\"topic\":\"a b\",\"data\":1}", 422, "is no topic"),
        (json, &"[".repeat(900), 400, "line 1, octet 900: the JSON ends too early"),
        ("Content-Type: application/x-ndjson", "{\"data\":1}\nx", 400, "line 2, octet 1: names and strings"),
        ("Content-Type: application/x-www-form-urlencoded", "{\"data\":1}", 415, "curl --json"),
        ("Content-Type: text/plain", "", 400, "nothing to publish"),
        ("Content-Type: text/plain\r\nIdempotency-Key: ", "x", 400, "Idempotency-Key"),
        ("Content-Type: text/plain", &long, 413, "too large"),
    ];
    for (fields, body, status, what) in bad {
        let response = Publisher::connect(server.address).post("/publish", &format!("{fields}\r\n"), body);
        let said = response.text().replace("\\\"", "\"");
        assert!(response.status == status && said.contains(what), "{fields}, {body:.40}: {status} {said}");
    }
    client.echo("was there anything?");
}

#[test]
fn a_publication_that_is_no_body_or_never_ends_is_refused() {
    let server = Running::with("--max-publish-size 1000 --handshake-timeout 0.3");
    for (body, status) in [
        ("Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\n3e9\r\n", 413),
        ("Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", 408),
        ("Content-Length: 2\r\n\r\nx", 408),
        ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("Content-Length: 18446744073709551616\r\n\r\n", 413),
    ] {
        let mut peer = Peer::connect(server.address);
        peer.send(format!("POST /publish HTTP/1.1\r\nHost: localhost\r\n{body}"));
        let response = peer.response();
        assert_eq!(response.status, status, "{body}");
        assert_eq!(
            response.text().contains("1000 bytes are the most (--max-publish-size)"),
            body.contains("3e9")
        );
        assert_eq!(peer.rest(), b"", "{body}");
    }
    assert_serves(&server);
}
