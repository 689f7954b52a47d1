//! What clients are sent that have agreed on compression, and what that costs.

use super::*;

/// Data that a message is compressible with, about so long; in another order for another number.
fn orders(bytes: usize, number: usize) -> Value {
    let orders = (0..bytes / 32).map(|n| json!({"order": n * 7919 + number, "state": "paid"}));
    orders.collect()
}

/// Data of this length that is compressible to about half of it.
fn hexadecimal(bytes: usize, seed: u64) -> Value {
    let mut state = seed;
    let digits = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from_digit((state >> 60) as u32, 16).unwrap()
    });
    digits.take(bytes).collect::<String>().into()
}

/// The next message, its JSON whatever it comes as, and whether that was compressed.
fn hear(peer: &mut Peer, window_bits: u8) -> (Vec<u8>, bool) {
    match peer.frame() {
        Frame { first: COMPRESSED, payload } => (inflated(&payload, window_bits), true),
        Frame { first: 0x81, payload } => (payload, false),
        other => panic!("no message: {other:?}"),
    }
}

#[test]
fn all_clients_hear_the_same_and_each_publication_is_compressed_once_for_all_of_them() {
    let server = Running::with("--ws-per-message-deflate");
    // What each offers beside the name, and its window.
    let kinds = [
        ("client_max_window_bits", 15),
        ("client_max_window_bits=9", 15),
        ("server_max_window_bits=15", 15),
        ("server_no_context_takeover", 15),
        ("server_max_window_bits=11", 11),
        ("server_max_window_bits=9", 9),
        ("server_max_window_bits=8", 9),
    ];
    let mut compressed = kinds.map(|(offer, _)| joined(&server, &format!("permessage-deflate; {offer}")));
    let mut plain = [(); 3].map(|()| Peer::connect(server.address).upgraded());
    let mut publisher = Publisher::connect(server.address);
    // Too short; for all but the smallest window; for a window of 11 bits; for the largest alone; not compressible.
    let data = [orders(64, 0), orders(280, 1), orders(1500, 2), orders(20_000, 3), hexadecimal(100, 1)];
    for data in &data {
        publisher.publish_to("notifications", data.clone());
    }
    let mut compressions = vec![];
    for data in &data {
        let (json, was_compressed) = hear(&mut plain[0], 15);
        assert!(!was_compressed);
        let message: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(message["data"], *data);
        for other in &mut plain[1..] {
            assert_eq!(hear(other, 15), (json.clone(), false));
        }
        for (peer, (_, window_bits)) in compressed.iter_mut().zip(kinds) {
            let (heard, was_compressed) = hear(peer, window_bits);
            assert_eq!(heard, json);
            compressions.push(was_compressed);
        }
    }
    let expected: [[bool; 7]; 5] = [
        [false; 7],
        [true, true, true, true, true, true, false],
        [true, true, true, true, true, false, false],
        [true, true, true, true, false, false, false],
        [false; 7],
    ];
    assert_eq!(compressions, expected.concat());
    assert_eq!(metric(&server, "slackwater_messages_compressed_total"), 3);
    assert_eq!(metric(&server, "slackwater_connections_compressed_total"), 7);
    let [before, after] = ["input", "output"]
        .map(|side| metric(&server, &format!("slackwater_compression_{side}_bytes_total")));
    assert!((21_780..23_500).contains(&before) && after < before / 2 && after > 500, "{before} {after}");
}

#[test]
fn what_was_missed_is_brought_as_it_was_compressed_for_those_who_were_there() {
    let server = Running::with("--ws-per-message-deflate");
    let mut publisher = Publisher::connect(server.address);
    let first = publisher.publish("where all begin");
    for n in 0..20 {
        publisher.publish_to("notifications", orders(1000, n));
    }
    let target = format!("/ws?last_event_id={first}");
    for _ in 0..3 {
        let mut peer = joined_at(&server, &target, "permessage-deflate");
        let mut small = joined_at(&server, &target, "permessage-deflate; server_max_window_bits=9");
        for n in 0..20 {
            let ((json, was_compressed), (same, was_small)) = (hear(&mut peer, 15), hear(&mut small, 9));
            let message: Value = serde_json::from_slice(&json).unwrap();
            assert_eq!((&message["data"], was_compressed, was_small), (&orders(1000, n), true, false));
            assert_eq!(json, same);
        }
    }
    assert_eq!(metric(&server, "slackwater_messages_compressed_total"), 20);
}

#[test]
fn replies_go_plain() {
    let server = Running::with("--ws-per-message-deflate");
    let mut peer = joined(&server, "permessage-deflate");
    let long = "x".repeat(10_000);
    peer.send([frame(COMPRESSED, deflated(long.as_bytes())), text(&long)].concat());
    assert_eq!([echo(&mut peer), echo(&mut peer)], [(); 2].map(|()| format!("Server received: {long}")));
    assert_eq!(metric(&server, "slackwater_messages_compressed_total"), 0);
}

#[test]
fn what_is_compressed_costs_no_publication_its_place_in_the_history() {
    let server = Running::with("--ws-per-message-deflate --history-bytes 60000");
    let mut publisher = Publisher::connect(server.address);
    let resumed = |id: &str| {
        let mut peer = Peer::connect(server.address);
        peer.send(support::handshake(&format!("/ws?last_event_id={id}")));
        assert_eq!(peer.head().status, 101);
        peer.message()["resumed"].clone()
    };
    let first = publisher.publish("where all begin");
    for n in 0..10 {
        publisher.publish_to("notifications", hexadecimal(4000, n));
    }
    let mut peer = joined_at(&server, &format!("/ws?last_event_id={first}"), "permessage-deflate");
    for _ in 0..10 {
        assert!(hear(&mut peer, 15).1);
    }
    assert_eq!(resumed(&first), true);
    for n in 10..20 {
        publisher.publish_to("notifications", hexadecimal(4000, n));
    }
    assert_eq!(resumed(&first), false, "there was room for hardly more than ten");
}

#[test]
fn a_burst_that_is_much_to_compress_is_heard_once_and_in_order() {
    let server = Running::with("--ws-per-message-deflate --max-publish-size 4000000");
    let mut peers = [(); 3].map(|()| joined(&server, "permessage-deflate"));
    let mut publisher = Publisher::connect(server.address);
    let batch = (0..150).map(|n| json!({"topic": "notifications", "data": [n, hexadecimal(10_000, n)]}));
    publisher.publish_json(&batch.collect());
    for peer in &mut peers {
        for n in 0..150 {
            let (json, is_compressed) = hear(peer, 15);
            let message: Value = serde_json::from_slice(&json).unwrap();
            assert_eq!((&message["data"][0], is_compressed), (&json!(n), true));
        }
    }
    assert_eq!(metric(&server, "slackwater_messages_compressed_total"), 150);
}

#[test]
fn an_echo_is_compressed_for_whoever_can_inflate_it_as_text_and_as_octets() {
    let server = Running::echo_with("--ws-per-message-deflate");
    let mut peers = ["permessage-deflate", "permessage-deflate; server_max_window_bits=10"].map(|offers| {
        let mut peer = Peer::connect(server.address);
        peer.send(offering(offers));
        assert_eq!(peer.head().status, 101);
        peer
    });
    let long = "Hear, hear! ".repeat(100);
    for peer in &mut peers {
        peer.send([frame(0xc1, deflated(long.as_bytes())), frame(0x82, &long), text("short")].concat());
    }
    for kind in [1, 2] {
        let Frame { first, payload } = peers[0].frame();
        assert_eq!((first, inflated(&payload, 15)), (0xc0 | kind, long.clone().into_bytes()));
        // It is longer than the window of the other.
        assert_eq!(peers[1].frame(), Frame { first: 0x80 | kind, payload: long.clone().into_bytes() });
    }
    for peer in &mut peers {
        assert_eq!(peer.frame(), Frame { first: 0x81, payload: b"short".to_vec() });
    }
    peers[1].send(text(&long[..1000]));
    let Frame { first, payload } = peers[1].frame();
    assert_eq!((first, inflated(&payload, 10)), (COMPRESSED, long.as_bytes()[..1000].to_vec()));
    assert_eq!(metric(&server, "slackwater_messages_compressed_total"), 3);
}
