//! Connections over TLS move with their sessions, and nobody notices.

use std::process::Command;

use super::rollback::StandIn;
use super::server::Server;
use crate::process::BINARY;
use crate::secured::{Guests, House};

#[test]
fn clients_over_tls_go_on_in_the_midst_of_everything_from_one_process_or_several() {
    for workers in [1, 2] {
        let house = House::new();
        let flags = format!("{} --workers {workers}", house.flags());
        let server = Server::spawn(Command::new(BINARY).args(flags.split_whitespace()));
        let guests = Guests::invite(&house, server.address());
        server.hand_over();
        house.publish("over");
        guests.assert_gone_on(&house, "over");
        assert_eq!(server.leave().0, Some(0));
    }
}

#[test]
fn a_hand_over_that_is_called_off_leaves_their_sessions_as_they_were() {
    let house = House::new();
    let path = house.path("handover");
    let server = Server::start(&format!("{} --handover {}", house.flags(), path.display()));
    let mut client = house.client(server.address());
    for n in 1..=2 {
        client.echo("before");
        let mut successor = StandIn::connect(&path);
        successor.greet();
        successor.get_ready();
        drop(successor);
        server.failed(n);
        client.echo("behind");
    }
    server.hand_over();
    client.echo("and by the successor");
    client.leave();
    assert_eq!(server.leave().0, Some(0));
}
