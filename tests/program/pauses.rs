//! A server that was stopped for longer than its limits, as by `docker pause`: what has arrived meanwhile counts.

use std::thread;
use std::time::Duration;

use support::frames::{PING, TEXT, frame, text};
use support::peer::Peer;
use support::{HANDSHAKE, HEALTHZ};

use crate::process::Process;

/// More than are reported in one turn of the loop.
const CROWD: usize = 300;

/// The limit on handshakes here.
const LIMIT: Duration = Duration::from_secs(1);

/// Stops the server for longer than a limit, while something happens.
fn while_stopped(server: &Process, limit: Duration, act: impl FnOnce()) {
    server.signal("STOP");
    act();
    thread::sleep(limit + LIMIT / 2);
    server.signal("CONT");
}

/// Whoever has connected before is known to the server.
fn be_known(server: &Process) {
    let mut last = Peer::connect(server.address());
    last.send(HEALTHZ);
    assert_eq!(last.response().status, 200);
}

#[test]
fn a_request_that_came_while_the_server_was_stopped_is_answered() {
    let server = Process::start("--handshake-timeout 1");
    let mut peers: Vec<Peer> = (0..CROWD).map(|_| Peer::connect(server.address())).collect();
    be_known(&server);
    while_stopped(&server, LIMIT, || peers.iter_mut().for_each(|peer| peer.send(HEALTHZ)));
    for peer in &mut peers {
        assert_eq!(peer.response().status, 200);
    }
}

#[test]
fn a_request_that_was_half_there_when_the_server_was_stopped_is_answered() {
    let server = Process::start("--handshake-timeout 1");
    let mut peers: Vec<Peer> = (0..CROWD).map(|_| Peer::connect(server.address())).collect();
    peers.iter_mut().for_each(|peer| peer.send(&HANDSHAKE[..30]));
    be_known(&server);
    while_stopped(&server, LIMIT, || peers.iter_mut().for_each(|peer| peer.send(&HANDSHAKE[30..])));
    for peer in &mut peers {
        assert_eq!(peer.head().status, 101);
    }
}

#[test]
fn a_pong_that_came_while_the_server_was_stopped_is_heard() {
    let server = Process::start("--ws-ping-interval 0.5 --ws-ping-timeout 5");
    let mut peers: Vec<Peer> = (0..CROWD).map(|_| Peer::connect(server.address()).upgraded()).collect();
    peers.iter_mut().for_each(|peer| assert_eq!(peer.frame().first, PING));
    while_stopped(&server, LIMIT * 5, || peers.iter_mut().for_each(|peer| peer.send(frame(0x8a, ""))));
    for peer in &mut peers {
        peer.send(text("still here"));
        let answer = std::iter::repeat_with(|| peer.frame()).find(|frame| frame.first != PING);
        assert_eq!(answer.map(|frame| frame.first), Some(TEXT));
    }
}
