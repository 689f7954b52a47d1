//! Violations of RFC 6455: each is told by its close code, and nothing of what came before it is lost.

use super::*;

/// Each kind of violation: what it is, the bytes, and the code it is closed with.
fn violations() -> Vec<(String, Vec<u8>, u16)> {
    let mut kinds = vec![
        ("not masked", b"\x81\x01x".to_vec(), 1002),
        ("reserved bit 1", frame(0xc1, "x"), 1002),
        ("reserved bit 2", frame(0xa1, "x"), 1002),
        ("reserved bit 3", frame(0x91, "x"), 1002),
        ("fragmented ping", frame(0x09, ""), 1002),
        ("fragmented close", frame(0x08, ""), 1002),
        ("ping over 125 bytes", frame(PING, [b'x'; 126]), 1002),
        ("continuation of nothing", frame(0x80, "x"), 1002),
        ("message inside a fragmented one", [frame(0x01, "a"), frame(TEXT, "b")].concat(), 1002),
        ("16-bit length of 5", [&[TEXT, 0xfe, 0, 5][..], &frame(TEXT, "hello")[2..]].concat(), 1002),
        (
            "64-bit length of 5",
            [&[TEXT, 0xff, 0, 0, 0, 0, 0, 0, 0, 5][..], &frame(TEXT, "hello")[2..]].concat(),
            1002,
        ),
        ("length over 63 bits", header(TEXT, u64::MAX), 1002),
        ("close with half a code", frame(CLOSE, b"\x03"), 1002),
        ("close whose reason is not UTF-8", frame(CLOSE, b"\x03\xe8\xff"), 1007),
        ("text that is not UTF-8", frame(TEXT, b"\xc0\xaf"), 1007),
        ("text that ends within a character", frame(TEXT, b"\xe2\x82"), 1007),
        ("not UTF-8 over fragments", [frame(0x01, b"\xe2\x82"), frame(0x80, "x")].concat(), 1007),
        (
            "not UTF-8 in the middle of a frame",
            frame(TEXT, [b"ok\xff", &[b'x'; 90][..]].concat())[..9].to_vec(),
            1007,
        ),
        ("a header of more than the limit", header(TEXT, 1001), 1009),
        ("a header of 1 GiB", header(TEXT, 1 << 30), 1009),
        ("fragments of more than the limit", [frame(0x01, [b'x'; 600]), header(0x80, 401)].concat(), 1009),
        ("binary", frame(0x82, "x"), 1003),
        ("fragmented binary", frame(0x02, ""), 1003),
    ]
    .into_iter()
    .map(|(what, bytes, code)| (what.to_owned(), bytes, code))
    .collect::<Vec<_>>();
    kinds.extend(
        [0x83, 0x84, 0x85, 0x86, 0x87, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f]
            .map(|first: u8| (format!("reserved opcode {:x}", first & 0xf), frame(first, ""), 1002)),
    );
    kinds.extend(
        [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535]
            .map(|code| (format!("close with {code}"), frame(CLOSE, code.to_be_bytes()), 1002)),
    );
    kinds
}

#[test]
fn each_violation_is_told_by_its_close_code_before_a_clean_end() {
    let server = Running::with("--ws-max-size 1000");
    for (what, bytes, code) in violations() {
        let mut peer = Peer::connect(server.address).upgraded();
        peer.send(bytes);
        assert_eq!(peer.close_code(), Some(code), "{what}");
    }
}

#[test]
fn each_violation_is_told_behind_the_answers_to_what_came_before_it_in_the_same_segment() {
    let server = Running::with("--ws-max-size 1000");
    for (what, bytes, code) in violations() {
        let mut peer = Peer::connect(server.address);
        peer.send([HANDSHAKE.as_bytes(), &text("fine"), &bytes].concat());
        assert_eq!(peer.head().status, 101, "{what}");
        assert_eq!(peer.message()["type"], "welcome", "{what}");
        assert_eq!(peer.message()["message"], "Server received: fine", "{what}");
        assert_eq!(peer.close_code(), Some(code), "{what}");
    }
}

#[test]
fn a_flood_behind_a_violation_does_not_destroy_the_close_frame() {
    let server = Running::with("");
    let flood = text(&"x".repeat(60_000)).repeat(17);
    for (violation, code) in
        [(frame(0x83, ""), 1002), (frame(0x82, "x"), 1003), (header(TEXT, 1 << 30), 1009)]
    {
        let mut peer = Peer::connect(server.address).upgraded();
        peer.send([violation, flood.clone()].concat());
        assert_eq!(peer.close_code(), Some(code));
    }
}

#[test]
fn a_message_of_just_the_limit_is_no_violation() {
    let server = Running::with("--ws-max-size 1000");
    let mut peer = Peer::connect(server.address).upgraded();
    peer.send([frame(0x01, [b'x'; 600]), frame(0x80, [b'x'; 400]), frame(CLOSE, "")].concat());
    assert_eq!(peer.close_code(), None);
}
