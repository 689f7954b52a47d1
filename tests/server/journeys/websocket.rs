//! The WebSocket on the wire: the handshake and its refusals, pieces of frames, pings and closes.

use super::*;
use support::publisher::Publisher;

#[test]
fn the_handshake_of_the_rfc_is_answered_as_in_the_rfc() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address);
    peer.send(HANDSHAKE);
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_eq!(peer.head().head, head);
}

#[test]
fn a_frame_in_the_same_segment_as_the_handshake_is_not_lost() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address);
    peer.send([HANDSHAKE.as_bytes(), &text("early")].concat());
    assert_eq!(peer.head().status, 101);
    assert_eq!(peer.message()["type"], "welcome");
    assert_eq!(placeless(peer.message()), echo_of("early"));
}

#[test]
fn half_a_frame_in_the_same_segment_as_the_handshake_is_not_lost() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address);
    let early = text("early");
    peer.send([HANDSHAKE.as_bytes(), &early[..7]].concat());
    assert_eq!(peer.head().status, 101);
    assert_eq!(peer.message()["type"], "welcome");
    peer.send(&early[7..]);
    assert_eq!(placeless(peer.message()), echo_of("early"));
}

#[test]
fn a_handshake_and_a_frame_may_come_byte_by_byte() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address);
    for octet in [HANDSHAKE.as_bytes(), &text("slow")].concat() {
        peer.send([octet]);
    }
    assert_eq!(peer.head().status, 101);
    assert_eq!(peer.message()["type"], "welcome");
    assert_eq!(placeless(peer.message()), echo_of("slow"));
}

#[test]
fn a_ping_between_fragments_is_answered_before_the_message_is_whole() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address).upgraded();
    peer.send([frame(0x01, "frag"), frame(PING, "p"), frame(0x00, "")].concat());
    assert_eq!(peer.frame(), Frame { first: 0x8a, payload: b"p".to_vec() });
    peer.send(frame(0x80, "ments"));
    assert_eq!(placeless(peer.message()), echo_of("fragments"));
}

#[test]
fn a_close_is_echoed_with_its_code_and_ends_the_stream() {
    let server = Running::with("");
    for (payload, code) in
        [(&b"\x03\xe8bye"[..], Some(1000)), (b"\x03\xf6", Some(1014)), (b"\x10\xe1", Some(4321)), (b"", None)]
    {
        let mut peer = Peer::connect(server.address).upgraded();
        peer.send(frame(CLOSE, payload));
        assert_eq!(peer.close_code(), code);
    }
}

#[test]
fn what_was_said_before_a_close_is_answered_before_the_echo_of_the_close() {
    let server = Running::with("");
    let mut peer = Peer::connect(server.address).upgraded();
    peer.send([text("last words"), frame(CLOSE, b"\x03\xe8")].concat());
    assert_eq!(placeless(peer.message()), echo_of("last words"));
    assert_eq!(peer.close_code(), Some(1000));
}

#[test]
fn what_was_said_before_a_client_ends_its_side_is_answered_before_the_stream_ends() {
    let server = Running::with("");
    // Whether the text and the end of the stream are met in one turn is for the kernel to say.
    for _ in 0..20 {
        let mut peer = Peer::connect(server.address).upgraded();
        peer.send([text("last words"), text("and more")].concat());
        peer.finish();
        assert_eq!([(); 2].map(|()| placeless(peer.message())), ["last words", "and more"].map(echo_of));
        assert_eq!(peer.rest(), b"");

        let mut peer = Peer::connect(server.address);
        peer.send([HANDSHAKE.as_bytes(), &text("all at once"), &frame(CLOSE, b"\x03\xe8")].concat());
        peer.finish();
        assert_eq!((peer.head().status, peer.message()["type"].as_str()), (101, Some("welcome")));
        assert_eq!(placeless(peer.message()), echo_of("all at once"));
        assert_eq!(peer.close_code(), Some(1000));
    }
}

#[test]
fn whoever_ends_its_side_is_still_brought_all_that_it_missed() {
    let server = Running::with("--notify-interval 0");
    let mut publisher = Publisher::connect(server.address);
    let mut publish = |data: String| publisher.post("/publish", "", &data).json()["id"].clone();
    let first = publish("heard".to_owned());
    let missed: Vec<Value> = (0..40).map(|n| publish(n.to_string().repeat(5000))).collect();
    let target = format!("/ws?last_event_id={}", first.as_str().expect("an id"));
    for _ in 0..5 {
        let mut peer = Peer::connect(server.address);
        peer.send(HANDSHAKE.replacen("/ws", &target, 1));
        peer.finish();
        assert_eq!((peer.head().status, peer.message()["resumed"].as_bool()), (101, Some(true)));
        missed.iter().for_each(|id| assert_eq!(peer.message()["id"], *id));
        assert_eq!(peer.rest(), b"");
    }
}

#[test]
fn a_close_of_the_client_is_agreed_on() {
    let server = Running::with("");
    let mut client = server.client();
    client.socket.close(None).unwrap();
    assert!(matches!(client.socket.read(), Ok(Message::Close(None))));
    assert!(matches!(client.socket.read(), Err(Error::ConnectionClosed)));
}

#[test]
fn a_handshake_that_breaks_a_rule_is_refused_with_400() {
    let server = Running::with("");
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let broken = [
        HANDSHAKE.replace(key, ""),
        HANDSHAKE.replace(key, "Sec-WebSocket-Key: c2hvcnQ=\r\n"),
        HANDSHAKE.replace(key, &[key, key].concat()),
        HANDSHAKE.replace("Host: x\r\n", ""),
        HANDSHAKE.replace("Host: x\r\n", "Host: x\r\nHost: x\r\n"),
        HANDSHAKE.replace("Connection: Upgrade", "Connection: keep-alive"),
    ];
    for request in broken {
        let mut peer = Peer::connect(server.address);
        peer.send([&request, HEALTHZ].concat());
        let response = peer.response();
        assert_eq!((response.status, response.field("Connection")), (400, Some("close")), "{request}");
        assert_eq!(peer.rest(), b"", "{request}");
    }
}

#[test]
fn another_version_is_told_which_one_is_spoken() {
    let server = Running::with("");
    for version in ["Sec-WebSocket-Version: 8\n", ""] {
        let handshake = HANDSHAKE.replace("\r\n", "\n").replace("Sec-WebSocket-Version: 13\n", version);
        let response = ask(&server, &handshake);
        assert_eq!((response.status, response.field("Sec-WebSocket-Version")), (426, Some("13")));
    }
    assert_eq!(get(&server, "/ws").status, 426);
}

#[test]
fn letter_case_and_further_tokens_do_not_matter() {
    let server = Running::with("");
    let fine = [
        HANDSHAKE.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        HANDSHAKE.replace("Connection: Upgrade", "CONNECTION: uPGRADE"),
        HANDSHAKE.replace("Upgrade: websocket", "upgrade: h2c,WebSocket"),
        HANDSHAKE.replace("/ws", "/ws?topic=notifications"),
        HANDSHAKE.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        HANDSHAKE.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: a, b\r\n\r\n"),
    ];
    for request in fine {
        let mut peer = Peer::connect(server.address);
        peer.send(&request);
        let response = peer.head();
        assert_eq!(response.status, 101, "{request}");
        let chosen = ["Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"].map(|name| response.field(name));
        assert_eq!(chosen, [None, None], "nothing is chosen that is not spoken");
    }
}
