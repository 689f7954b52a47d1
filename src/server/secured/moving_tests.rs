//! TLS that moves from one process to another at any time, while the socket takes what it likes. The client is rustls', and notices
//! nothing.

use std::io::Write;
use std::time::Instant;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::server::far_end::Wire;
use crate::server::secured::DIRECT_BYTES;
use crate::server::secured::Secured;
use crate::server::secured::tests::{Client, HEADER};
use crate::server::socket::{Handshake, Received, Socket};
use crate::server::transport::{Security, Transport};
use crate::wire::handover::drawn;
use crate::wire::handover::message::{decode, encode};
use crate::wire::handover::secured::{Open, Tls};
use crate::wire::octets::Octets;
use crate::wire::outbox::Outbox;
use crate::wire::tls::{Exported, State};

impl Client {
    /// What another process reads that is to go on with it.
    fn packed(&self) -> Tls {
        assert!(self.near.can_move());
        decode(&encode(&self.near.pack().unwrap())).unwrap()
    }

    fn packed_open(&self) -> Open {
        let Tls::Open(open) = self.packed() else { panic!("it has not begun") };
        open
    }

    /// Another process goes on with it, which speaks this with newcomers.
    fn move_on(&mut self, security: &Security) {
        let wire = Wire(self.far_end.clone());
        let moved = security.go_on(wire, Some(self.packed())).unwrap();
        let Transport::Tls(near) = moved else { panic!("it is no client of TLS any more") };
        self.near = *near;
    }
}

#[derive(Debug, Clone)]
enum Act {
    /// The server has something to say to the client.
    Push(Vec<u8>),
    /// The client takes only so much more, until it takes more again.
    TakeOnly(usize),
    Flush,
    /// The client says something, of which only so much arrives for now.
    Say(Vec<u8>, usize),
    /// The server reads once, with so much room.
    Read(usize),
    Move,
    /// As `Move`, but nobody takes over after all.
    MoveInVain,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let room = prop_oneof![0..40_usize, 0..40_000_usize];
    let act = prop_oneof![
        vec(any::<u8>(), 2..20_000).prop_map(Act::Push),
        vec(any::<u8>(), 2..40).prop_map(Act::Push),
        room.prop_map(Act::TakeOnly),
        Just(Act::Flush),
        (vec(any::<u8>(), 1..30_000), 0..40_000_usize)
            .prop_map(|(octets, arrives)| Act::Say(octets, arrives)),
        prop_oneof![1..100_usize, Just(64 * 1024)].prop_map(Act::Read),
        Just(Act::Move),
        Just(Act::MoveInVain),
    ];
    vec(act, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn both_hear_all_once_and_in_order_wherever_it_moves(acts in acts()) {
        let (mut client, mut outbox, now) = (Client::open(), Outbox::default(), Instant::now());
        let [mut told, mut said, mut heard] = [const { Vec::<u8>::new() }; 3];
        let read = |client: &mut Client, most: usize, heard: &mut Vec<u8>| {
            let mut room = vec![0; most];
            let received = client.near.receive(&mut room);
            if let Received::Bytes(count) = received {
                heard.extend(&room[..count]);
            }
            received
        };
        client.far_end.borrow_mut().room = 0;
        for act in acts {
            match act {
                Act::Push(octets) => {
                    told.extend(&octets);
                    outbox.push_unbounded(Bytes::from(octets));
                }
                Act::TakeOnly(room) => client.far_end.borrow_mut().room = room,
                Act::Flush => drop(outbox.flush_to(&mut client.near, now).unwrap()),
                Act::Say(octets, arrives) => {
                    said.extend(&octets);
                    client.say_partly(&octets, arrives);
                }
                Act::Read(most) => drop(read(&mut client, most, &mut heard)),
                Act::Move => client.move_on(&Security::default()),
                Act::MoveInVain => drop(client.packed()),
            }
            client.listen();
        }
        client.far_end.borrow_mut().room = usize::MAX;
        outbox.flush_to(&mut client.near, now).unwrap();
        client.speak();
        while read(&mut client, 64 * 1024, &mut heard) != Received::Nothing {}
        client.listen();
        prop_assert!(outbox.is_empty() && client.heard == told && heard == said);
    }
}

#[test]
fn what_was_read_ahead_is_heard_first_and_no_event_announces_it() {
    let mut client = Client::open();
    client.say(&[b'a'; 2 * DIRECT_BYTES]);
    assert_eq!(client.near.receive(&mut [0; 10]), Received::Bytes(10));
    client.move_on(&Security::default());
    assert!(client.near.has_read_ahead() && client.near.bytes_to_move() > 10);
    assert_eq!(client.hear(64 * 1024), [b'a'; 2 * DIRECT_BYTES - 10]);
    assert!(!client.near.has_read_ahead());
}

#[test]
fn a_client_that_has_closed_its_side_is_said_to_have_and_still_told() {
    let mut client = Client::open();
    client.session.close(&mut client.said);
    client.speak();
    assert_eq!(client.receive(), [Received::Finished]);
    client.move_on(&Security::default());
    assert!(client.near.has_read_ahead());
    assert_eq!(client.receive(), [Received::Finished]);
    client.near.write_all(b"answer").unwrap();
    client.near.finish().unwrap();
    client.listen();
    assert_eq!((&client.heard[..], client.session.state()), (&b"answer"[..], State::PeerClosed));
}

#[test]
fn a_handshake_under_way_does_not_move_nor_does_what_is_over() {
    let mut client = Client::connected();
    client.speak();
    client.receive();
    assert!(client.near.handshake() == Handshake::UnderWay && !client.near.can_move());
    let mut client = Client::open();
    client.far_end.borrow_mut().said.extend([23, 3, 3, 0, 17].iter().chain(&[0; 17]));
    assert_eq!(client.receive(), [Received::Broken]);
    assert!(!client.near.can_move());
}

#[test]
fn whoever_has_said_nothing_is_a_newcomer_of_the_other_process() {
    let mut client = Client::connected();
    let plain = Security::default().go_on(Wire(client.far_end.clone()), Some(client.packed())).unwrap();
    assert!(matches!(plain, Transport::Plain(_)));
    client.move_on(&Security::tls(Client::terms()));
    client.shake_hands();
    client.say(b"a request");
    assert_eq!(client.hear(64 * 1024), b"a request");
}

#[test]
fn what_a_proxy_has_said_so_far_is_known() {
    for moved_behind in [0, 1, 10, HEADER.len() - 1] {
        let mut client = Client::connected();
        client.near.expect_preamble(vec![]);
        let (one, other) = HEADER.split_at(moved_behind);
        client.far_end.borrow_mut().said.extend(one);
        assert_eq!(client.hear(64 * 1024), one);
        client.move_on(&Security::tls(Client::terms()));
        client.far_end.borrow_mut().said.extend(other);
        assert_eq!(client.hear(64 * 1024), other);
        client.shake_hands();
    }
}

#[test]
fn what_cannot_have_been_packed_is_refused() {
    let wire = || Wire(Client::connected().far_end);
    let open = Client::open().packed_open();
    assert!(Secured::go_on(wire(), open.clone()).is_ok());
    for damage in [&open.session[1..], &open.session[..open.session.len() - 1], b"\xa0", b""] {
        let damaged = Open { session: Octets::new(damage), ..open.clone() };
        assert!(Secured::go_on(wire(), damaged).is_err());
    }
}

proptest! {
    #[test]
    fn whatever_is_said_to_be_on_its_way_does_no_harm(
        mut open in drawn::open(), held in vec(any::<u8>(), 0..20), is_session: bool,
    ) {
        let mut client = Client::open();
        if is_session {
            let mut session: Exported = decode(&client.packed_open().session).unwrap();
            session.held = held;
            open.session = Octets::encode(&session, 1000);
        }
        if let Ok(near) = Secured::go_on(Wire(client.far_end.clone()), open) {
            client.near = near;
            client.say(b"more");
            client.hear(1);
            client.hear(64 * 1024);
            let _ = client.near.write(b"more");
            let _ = client.near.finish();
        }
    }
}

#[test]
fn no_key_is_shown() {
    assert!(format!("{:?}", Client::open().packed_open()).contains("session: Octets(..)"));
}
