//! How many processes there are, and which of them serves.

use std::net::TcpListener;
use std::os::fd::OwnedFd;

use support::client::Client;

use super::crew::{Crew, assert_served};
use super::program::Program;

#[test]
fn every_worker_serves_and_the_supervisor_serves_nobody() {
    for workers in [2, 3] {
        let crew = Crew::start(&format!("--workers {workers}"));
        assert_eq!(crew.children().len(), workers);
        let expected = format!("/ws with {workers} workers (Ctrl-C to leave)");
        assert!(crew.line("Serving ").ends_with(&expected));
        let mut clients = crew.clients(2);
        assert!(!clients.contains_key(&crew.pid()), "the supervisor serves nobody");
        assert_served(&mut clients);
        drop(clients);
        crew.signal("TERM");
        let (code, lines) = crew.end();
        assert_eq!(code, Some(0));
        assert_eq!(lines.iter().filter(|line| line.contains("Serving ")).count(), 1, "{lines:#?}");
    }
}

#[test]
fn one_worker_is_one_process() {
    let crew = Crew::start("--workers 1");
    let client = crew.client();
    assert_eq!(crew.server_of(client.stream()), crew.pid());
    assert_eq!(crew.children(), [0; 0]);
    assert!(crew.line("Serving ").ends_with("/ws (Ctrl-C to leave)"));
    assert!(crew.line("Client connected").ends_with("[INFO] Client connected. Total connections: 1"));
}

#[test]
fn it_is_said_to_serve_once_every_worker_does() {
    let program = Program::new();
    let gate = program.gate(2);
    // All accept from one socket, so that the first one is met at once.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut command = program.command("--workers 2 --fd 0");
    let crew = Crew::spawn_only(command.stdin(OwnedFd::from(listener)));
    let client = Client::join(address, "/ws");
    assert_eq!(crew.server_of(client.stream()), crew.process(1, 1));
    assert!(!crew.lines().iter().any(|line| line.contains("Serving ")), "{:#?}", crew.lines());
    crew.process(2, 1);
    gate.open();
    crew.line("Serving ");
    assert_eq!(crew.children().len(), 2);
}
