//! Peers that are gone: each is seen to be at once, whatever it was doing, and leaves its place. No limit of time helps with
//! that: they all last longer than a test.

use std::time::Duration;

use socket2::SockRef;
use support::frames::text;
use support::publisher::Publisher;

use super::*;

const LASTING: &str = "--handshake-timeout 600 --timeout-keep-alive 600 --write-timeout 600";

/// What one address may have at once.
const PLACES: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parting {
    /// As soon as it has asked: the answer finds nobody.
    Close,
    /// With a reset.
    Reset,
    /// Once the answer has come, which is not read.
    CloseOverUnread,
}

/// Connects from 127.0.0.`host`, or behind a proxy that names such an address.
fn connect(server: &Running, host: u8, is_proxied: bool) -> Peer {
    let mut peer = from(if is_proxied { 1 } else { host }, server);
    if is_proxied {
        peer.send(format!("PROXY TCP4 203.0.113.{host} 127.0.0.1 4660 8000\r\n"));
    }
    peer
}

/// Is answered time after time: by then the server has taken in all that was there before, when so many are left.
fn let_turns_pass(server: &Running, watcher: &mut Peer, left: usize) {
    server.settle(left);
    for _ in 0..20 {
        watcher.send(HEALTHZ);
        assert_eq!(watcher.response().status, 200);
    }
}

fn reset(peer: Peer) {
    SockRef::from(&peer.socket).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
}

fn part(peer: Peer, parting: Parting) {
    match parting {
        Parting::Close => drop(peer),
        Parting::Reset => reset(peer),
        Parting::CloseOverUnread => {
            assert!(peer.socket.peek(&mut [0]).is_ok_and(|count| count > 0));
            drop(peer);
        }
    }
}

/// All that one may ask or begin to, with whether it is answered.
fn requests() -> Vec<(Vec<u8>, bool)> {
    let answered = [
        "GARBAGE\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
        HANDSHAKE,
    ];
    let behind_handshake = [b"\x81\x01x".to_vec(), text("x"), frame(CLOSE, 1000_u16.to_be_bytes())];
    let behind_handshake = behind_handshake.map(|bytes| [HANDSHAKE.as_bytes(), &bytes].concat());
    let answered = answered.map(|request| request.as_bytes().to_vec()).into_iter().chain(behind_handshake);
    let begun = [b"".to_vec(), b"GET / HT".to_vec()];
    answered.map(|request| (request, true)).chain(begun.map(|request| (request, false))).collect()
}

fn leave_their_places(is_proxied: bool) {
    let protocol = if is_proxied { "--proxy-protocol" } else { "" };
    let server = Running::with(&format!("{LASTING} {protocol} --limit-per-ip {PLACES}"));
    let mut watcher = connect(&server, 200, is_proxied);
    let mut host = 2;
    for (request, is_answered) in requests() {
        for parting in [Parting::Close, Parting::Reset, Parting::CloseOverUnread] {
            if parting == Parting::CloseOverUnread && !is_answered {
                continue;
            }
            host += 1;
            for _ in 0..PLACES {
                let mut peer = connect(&server, host, is_proxied);
                peer.send(&request);
                part(peer, parting);
            }
            let_turns_pass(&server, &mut watcher, 1);
            let newcomers = [(); PLACES].map(|()| ask(connect(&server, host, is_proxied), HANDSHAKE));
            let statuses = newcomers.each_ref().map(|(_, response)| response.status);
            // A port that is closed in peace is taken for another minute.
            newcomers.into_iter().for_each(|(peer, _)| reset(peer));
            assert_eq!(statuses, [101; PLACES], "{parting:?} {}", String::from_utf8_lossy(&request));
        }
    }
}

#[test]
fn whoever_has_asked_and_is_gone_leaves_its_place_at_once() {
    leave_their_places(false);
}

#[test]
fn whoever_has_asked_and_is_gone_leaves_its_place_at_once_behind_a_proxy_that_names_it() {
    leave_their_places(true);
}

#[test]
fn whoever_was_one_too_many_and_is_gone_waits_no_longer() {
    let server = Running::with(&format!("{LASTING} --limit-per-ip 1"));
    let mut watcher = from(200, &server);
    let _only = from(2, &server).upgraded();
    for _ in 0..4 {
        for _ in 0..10 {
            let mut peer = from(2, &server);
            peer.send(HANDSHAKE);
            drop(peer);
        }
        let_turns_pass(&server, &mut watcher, 2);
        assert_eq!(status_from(2, &server, HANDSHAKE), 429);
    }
}

/// A peer with room for little, which has sent this.
fn deaf(server: &Running, bytes: impl AsRef<[u8]>) -> Peer {
    let mut peer = Peer::with_little_room(server.address);
    peer.send(bytes);
    peer
}

/// Brings a peer into it.
type Phase = fn(&Running) -> Peer;

fn stalled(server: &Running) -> Peer {
    deaf(server, [HANDSHAKE.as_bytes(), &text("x").repeat(4000)].concat())
}

fn held_back(server: &Running) -> Peer {
    let mut peer = Peer::connect(server.address).upgraded();
    peer.send(text("x").repeat(50));
    (0..10).for_each(|_| _ = peer.message());
    peer
}

fn told_of_its_end(server: &Running) -> Peer {
    let mut peer = Peer::connect(server.address).upgraded();
    peer.send(b"\x81\x01x");
    assert_eq!(peer.close_code(), Some(1002));
    peer
}

fn replaying(server: &Running) -> Peer {
    let mut publisher = Publisher(from(201, server));
    let ids = [(); 50].map(|()| publisher.publish(&"x".repeat(20_000)));
    deaf(server, HANDSHAKE.replacen("/ws", &format!("/ws?last_event_id={}", ids[0]), 1))
}

fn publishing(server: &Running) -> Peer {
    let body = "x".repeat(60_000);
    let publish = format!("POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{body}");
    deaf(server, publish.repeat(100))
}

#[test]
fn whoever_is_reset_leaves_its_place_at_once_whatever_it_was_doing() {
    let phases: [(&str, Phase); 7] = [
        ("idle", |server| Peer::connect(server.address).upgraded()),
        ("stalled", stalled),
        ("held back", held_back),
        ("told of its end", told_of_its_end),
        ("replaying", replaying),
        ("publishing", publishing),
        ("slow to take a response", |server| {
            deaf(server, "GET /app.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        }),
    ];
    for (name, phase) in phases {
        for ends_its_side_first in [false, true] {
            let server = Running::with(&format!(
                "{LASTING} --limit-per-ip 1 --limit-messages {}",
                if name == "held back" { "0.1" } else { "100000" }
            ));
            let mut watcher = from(200, &server);
            let peer = phase(&server);
            if ends_its_side_first {
                peer.finish();
                let_turns_pass(&server, &mut watcher, 2);
            }
            reset(peer);
            let_turns_pass(&server, &mut watcher, 1);
            assert_eq!(status_from(1, &server, HANDSHAKE), 101, "{name} {ends_its_side_first}");
        }
    }
}
