//! A server that is told to leave: what its clients live to see until it has ended.

use super::*;

#[test]
fn a_server_without_clients_leaves_at_once() {
    let mut server = Running::with("");
    server.signal();
    assert_eq!(server.outcome(), Outcome::Drained);
}

#[test]
fn clients_stay_and_are_answered_while_the_server_leaves_and_the_last_one_ends_it() {
    let mut server = Running::with("");
    let (mut one, mut other) = (server.client(), server.client());
    leave(&server);
    for client in [&mut one, &mut other] {
        client.echo("still here");
    }
    drop(one);
    other.echo("alone");
    other.socket.close(None).unwrap();
    assert_eq!(server.outcome(), Outcome::Drained);
    assert!(matches!(other.socket.read(), Ok(Message::Close(None))));
}

#[test]
fn the_periodic_notification_stops_when_the_server_leaves() {
    let server = Running::with("--notify-interval 0.1");
    let mut client = server.client();
    assert_eq!(client.hear()["type"], "notification");
    leave(&server);
    client.say("the last");
    while client.hear()["type"] != "echo" {}
    client.stream().set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    match client.socket.read() {
        Err(Error::Io(e)) if e.kind() == ErrorKind::WouldBlock => {}
        other => panic!("expected silence, not {other:?}"),
    }
}

#[test]
fn a_successor_serves_on_the_same_port_while_the_first_server_still_leaves() {
    let mut first = Running::with("");
    let mut stays = first.client();
    leave(&first);
    let second = Running::with(&format!("--port {}", first.door.port()));
    let mut moved = second.client();
    for client in [&mut stays, &mut moved] {
        client.echo("hello");
    }
    drop(stays);
    assert_eq!(first.outcome(), Outcome::Drained);
}

#[test]
fn a_new_connection_is_refused_while_the_server_leaves() {
    let server = Running::with("");
    let _client = server.client();
    leave(&server);
    assert_eq!(TcpStream::connect(server.door).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_connection_from_before_is_told_to_come_back_later_when_it_asks_for_an_upgrade() {
    let server = Running::with("");
    let _client = server.client();
    let (mut fresh, mut half) = (Peer::connect(server.address), Peer::connect(server.address));
    half.send(&HANDSHAKE[..40]);
    leave(&server);
    fresh.send(HANDSHAKE);
    half.send(&HANDSHAKE[40..]);
    for mut peer in [fresh, half] {
        let response = peer.response();
        let fields = ["Retry-After", "Connection"].map(|name| response.field(name));
        assert_eq!((response.status, fields), (503, [Some("1"), Some("close")]));
        assert_eq!(peer.rest(), b"");
    }
}

#[test]
fn the_server_says_that_it_is_healthy_while_it_leaves() {
    let server = Running::with("");
    let _client = server.client();
    let mut peer = Peer::connect(server.address);
    leave(&server);
    peer.send(HEALTHZ);
    let response = peer.response();
    assert_eq!((response.status, response.field("Connection")), (200, Some("close")));
    assert_eq!(peer.rest(), b"");
}

#[test]
fn a_second_signal_ends_the_patience() {
    let mut server = Running::with("");
    let mut clients: [Client; 3] = std::array::from_fn(|_| server.client());
    leave(&server);
    server.signal();
    for client in &mut clients {
        let close = close_of(client);
        assert_eq!((u16::from(close.code), close.reason.as_str()), (1012, "server restart"));
        assert!(matches!(client.socket.read(), Err(Error::ConnectionClosed)));
    }
    drop(clients);
    assert_eq!(server.outcome(), Outcome::Forced);
}

#[test]
fn when_the_patience_runs_out_every_client_is_closed_with_1012() {
    let began = Instant::now();
    let mut server = Running::with("--timeout-graceful-shutdown 0.3");
    let mut clients: [Client; 3] = std::array::from_fn(|_| server.client());
    server.signal();
    for client in &mut clients {
        assert_eq!(u16::from(close_of(client).code), 1012);
    }
    assert_waited(began, 300);
    drop(clients);
    assert_eq!(server.outcome(), Outcome::Forced);
}

#[test]
fn what_is_queued_arrives_before_the_farewell() {
    let mut server = Running::with("");
    let mut peer = Peer::with_little_room(server.address).upgraded();
    // In one segment, and over TLS in one record: with the first, all of them have been heard.
    peer.send(text("x").repeat(2000));
    assert_eq!(placeless(peer.message()), echo_of("x"));
    server.signal();
    server.signal();
    for _ in 1..2000 {
        assert_eq!(peer.message()["message"], echo_of("x")["message"]);
    }
    assert_eq!(peer.close_code(), Some(1012));
    drop(peer);
    assert_eq!(server.outcome(), Outcome::Forced);
}

#[test]
fn a_deaf_client_cannot_hold_the_farewell() {
    let mut server = Running::with("");
    let mut deaf = Peer::with_little_room(server.address).upgraded();
    deaf.send(text("x").repeat(4000));
    server.signal();
    server.signal();
    assert_eq!(server.outcome(), Outcome::Forced);
}

#[test]
fn sockets_that_never_became_websockets_do_not_hold_the_exit() {
    let mut server = Running::with("");
    let (mut silent, mut half) = (Peer::connect(server.address), Peer::connect(server.address));
    half.send(&HANDSHAKE[..40]);
    let client = server.client();
    leave(&server);
    silent.socket.set_nonblocking(true).unwrap();
    assert_eq!(
        silent.socket.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock,
        "it was let go early"
    );
    drop(client);
    assert_eq!(server.outcome(), Outcome::Drained);
}
