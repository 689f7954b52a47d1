//! Who cannot be parked: a request under way is finished first where that takes less than a second, and whoever is left after that
//! has a moment.

use std::process::{Command, Stdio};

use support::HEALTHZ;
use support::peer::Peer;
use support::publisher::Publisher;

use slackwater::wire::handover::message::ToSuccessor;

use super::manager::Manager;
use super::server::{PARK, Service};
use crate::handing_over::rollback::StandIn;
use crate::handing_over::server::FAILED;
use crate::process::Process;

/// The beginning of a request whose body is still to come.
const HALF: &str =
    "POST /publish HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

fn half(service: &Service) -> Peer {
    let mut peer = Peer::connect(service.address());
    peer.send(HALF);
    assert_eq!(peer.head().status, 100);
    peer
}

#[test]
fn a_request_under_way_is_finished_first() {
    let mut service = Service::start("");
    let (mut client, mut publisher) = (service.client(), half(&service));
    service.process().signal("TERM");
    publisher.send("hello");
    assert_eq!(publisher.response().status, 200);
    let lines = service.parked();
    assert!(
        lines.iter().any(|line| line.contains("Parked 2 connections") && line.contains("; 0 could")),
        "{lines:#?}"
    );
    service.go_on();
    assert_eq!(client.hear_data(), "hello");
    publisher.send(HEALTHZ);
    assert_eq!(publisher.response().status, 200);
}

#[test]
fn one_that_is_not_finished_stays_and_ends_with_the_old_process() {
    let mut service = Service::start("");
    let (mut client, mut publisher) = (service.client(), half(&service));
    let lines = service.park();
    assert!(
        lines.iter().any(|line| line.contains("Parked 1 connections") && line.contains("; 1 could")),
        "{lines:#?}"
    );
    assert_eq!(publisher.rest(), b"", "it was cut");
    service.go_on();
    client.echo("x");
    let door = service.process().door();
    assert_eq!(door.metrics().of("slackwater_handover_connections_total{result=\"stayed\"}"), 1.0);
}

#[test]
fn a_hand_over_that_is_not_over_comes_to_nothing() {
    let manager = Manager::new(1);
    let path = manager.folder().join("handover");
    let mut service = Service::under(manager, &format!("--handover {}", path.display()));
    let mut client = service.client();
    let mut successor = StandIn::connect(&path);
    successor.greet();
    let lines = service.park();
    let failed = format!("{FAILED}it has been told to leave");
    assert!(lines.contains(&failed), "{lines:#?}");
    assert_eq!(successor.hear(), ToSuccessor::abort(&"it has been told to leave"));
    service.go_on();
    client.echo("x");
}

#[test]
fn who_has_no_room_is_asked_to_reconnect_and_is_closed_in_the_end() {
    let manager = Manager::new(1);
    let mut command = manager.command("--drain-spread 30", &[]);
    command.env(PARK.0, PARK.1).env("SLACKWATER_NO_DRAIN_NOTICE", "0").stdin(Stdio::null());
    // Root may have any number of descriptors in flight.
    let can = become_nobody(Command::new("sh").args(["-c", "true"])).output();
    if !can.is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: this user may not become another");
    }
    let mut command = become_nobody(&command);
    let server = Process::spawn(&mut command);
    let address = server.address();
    let mut peers: Vec<Peer> = (0..460).map(|_| Peer::connect(address).upgraded()).collect();
    // Their numbers are free for what parking takes, whatever the limit.
    drop(peers.drain(..60).collect::<Vec<_>>());
    let door = server.door();
    door.metrics_with("who has left", |now| now.of("slackwater_connections_active") == 400.0);
    let pid = server.pid().to_string();
    let mut limit = Command::new("prlimit");
    limit.args(["--pid", &pid, "--nofile=60:60"]);
    assert!(become_nobody(&limit).status().unwrap().success());
    server.signal("TERM");
    server.line("[WARNING] 200 connections do not fit, and are let go: as many as the limit on open files wait somewhere already");
    server.line(
        "] Parked 200 connections with the service manager until the next start; 200 could not be parked",
    );
    let (code, lines) = server.end();
    assert_eq!(code, Some(1), "{lines:#?}");
    let mut service = Service::under(manager, "");
    service.process().line("] Took up 200 connections");
    Publisher::connect(service.address()).publish("x");
    let mut lives = 0;
    for peer in &mut peers {
        let message = peer.frame();
        let message: serde_json::Value = match message.first {
            0x88 => panic!("closed without a notice"),
            _ => serde_json::from_slice(&message.payload).unwrap(),
        };
        match message["type"].as_str().unwrap() {
            // As it answers nothing, it is reset in the end.
            "reconnect" => assert_eq!(peer.frame().payload[..2], 1012_u16.to_be_bytes()),
            _ => {
                assert_eq!(message["data"], "x");
                lives += 1;
            }
        }
    }
    assert_eq!(lives, 200);
    service.park();
}

/// The same command by a user without any rights.
fn become_nobody(command: &Command) -> Command {
    // What it was handed goes with it, as there is nothing yet.
    let mut other = Command::new("setpriv");
    // Somebody of this test's own: how many descriptors are in flight is counted for each user.
    let id = (200_000 + std::process::id()).to_string();
    other.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
    other.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        value.iter().for_each(|value| _ = other.env(name, value));
    }
    other
}
