//! Where nothing can be parked the server drains, as one that is not to park anything, and says why.

use std::process::{Command, Stdio};

use support::client::Client;
use support::peer::Peer;

use super::manager::{Manager, Mood, PARKED};
use super::server::{PARK, Service};
use crate::process::Process;

/// How the line begins that says why.
pub const WHY: &str = "[WARNING] Not parking the connections: ";

/// Waits until the server drains, and lets the client leave in its own time.
pub fn assert_drains(mut service: Service, mut client: Client) -> Vec<String> {
    service.process().line("Waiting for 1");
    client.echo("still here");
    client.leave();
    let (code, lines) = service.end();
    assert_eq!((code, service.manager.kept()), (Some(0), vec![]), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("] Parked ")), "{lines:#?}");
    lines
}

/// The only line that begins so.
pub fn only<'a>(lines: &'a [String], start: &str) -> &'a str {
    let mut found = lines.iter().filter_map(|line| line.strip_prefix(start));
    let line = found.next().unwrap_or_else(|| panic!("{start} is in none of {lines:#?}"));
    assert_eq!(found.next(), None);
    line
}

#[test]
fn a_store_that_is_full_keeps_nobody_and_everybody_is_let_go() {
    for mood in [Mood::Full, Mood::FullAndSlow] {
        let service = Service::start("");
        let client = service.client();
        service.manager.set_mood(mood);
        service.process().signal("TERM");
        let lines = assert_drains(service, client);
        assert!(only(&lines, WHY).contains("FileDescriptorStoreMax= is used up"));
    }
}

#[test]
fn what_is_kept_under_its_name_while_it_serves_is_in_nobody_s_way() {
    let mut service = Service::start("");
    let mut client = service.client();
    // A server that was killed when it was about to park may have told it so late.
    service.manager.put(PARKED, std::io::pipe().unwrap().0.into());
    service.restart();
    client.echo("x");
}

#[test]
fn a_service_manager_that_does_not_answer_is_waited_for_as_long_as_for_a_hand_over() {
    let service = Service::start("--handover-timeout 0.2");
    let client = service.client();
    service.manager.set_mood(Mood::Busy);
    service.process().signal("TERM");
    let lines = assert_drains(service, client);
    assert!(only(&lines, WHY).contains("the service manager does not keep them: "));
}

#[test]
fn a_signal_while_the_service_manager_is_waited_for_changes_nothing() {
    let mut service = Service::start("");
    let mut client = service.client();
    service.manager.set_mood(Mood::Slow);
    service.process().signal("TERM");
    service.manager.until_asked();
    service.process().signal("HUP");
    until_taken(service.process().pid());
    service.manager.answer();
    service.manager.set_mood(Mood::Helpful);
    service.parked();
    service.go_on();
    client.echo("still here");
    client.leave();
}

#[test]
fn a_service_manager_that_is_gone_keeps_nobody() {
    let service = Service::start("");
    let client = service.client();
    std::fs::remove_file(service.manager.folder().join("notify")).unwrap();
    service.process().signal("TERM");
    let lines = assert_drains(service, client);
    assert!(only(&lines, WHY).contains("the service manager does not keep them: No such file"));
}

#[test]
fn without_a_store_the_server_says_at_its_start_that_nobody_is_parked() {
    let service = Service::under(Manager::new(0), "");
    let client = service.client();
    service.process().line("SLACKWATER_PARK is set in vain, and the server drains when it is told to leave: the service manager keeps nothing for the next start: set FileDescriptorStoreMax=1");
    service.process().signal("TERM");
    assert_drains(service, client);
}

#[test]
fn without_a_service_manager_nobody_is_parked() {
    let mut command = Command::new(crate::process::BINARY);
    command.env(PARK.0, PARK.1).env("FDSTORE", "1").env_remove("NOTIFY_SOCKET");
    let server = Process::spawn(&mut command);
    server.line("SLACKWATER_PARK is set in vain");
    let client = server.client();
    server.signal("TERM");
    server.line("Waiting for 1");
    client.leave();
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn by_default_a_server_drains_though_there_is_a_store() {
    let manager = Manager::new(5);
    let server = Process::spawn(manager.command("", &[]).stdin(Stdio::null()));
    let client = server.client();
    server.signal("TERM");
    server.line("Waiting for 1");
    assert_eq!(manager.kept(), [""; 0]);
    client.leave();
    let (code, lines) = server.end();
    assert_eq!(code, Some(0));
    assert!(!lines.iter().any(|line| line.to_lowercase().contains("park")), "{lines:#?}");
}

#[test]
fn an_interrupt_and_an_operator_drain_the_server() {
    for ask in [
        |server: &Process| server.signal("INT"),
        |server: &Process| {
            assert_eq!(server.door().ask("POST /drain", "").status, 202);
        },
    ] {
        let service = Service::start("");
        let client = service.client();
        ask(service.process());
        assert_drains(service, client);
    }
}

#[test]
fn a_signal_to_a_server_that_drains_already_ends_its_patience() {
    let mut service = Service::start("");
    let mut client = service.client();
    service.process().signal("INT");
    service.process().line("Waiting for 1");
    service.process().signal("TERM");
    assert_eq!(client.close_code(), Some(1012));
    assert_eq!((service.end().0, service.manager.kept()), (Some(1), vec![]));
}

#[test]
fn a_second_signal_while_a_request_is_waited_for_closes_everybody() {
    for second in ["TERM", "INT"] {
        let mut service = Service::start("");
        let mut client = service.client();
        let mut asking = Peer::connect(service.address());
        asking.send(
            "POST /publish HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        );
        assert_eq!(asking.head().status, 100);
        let pid = service.process().pid();
        service.process().signal("TERM");
        // The first is taken once it no longer pends.
        until_taken(pid);
        crate::process::signal(pid, second);
        assert_eq!(client.close_code(), Some(1012));
        assert_eq!((service.end().0, service.manager.kept()), (Some(1), vec![]));
    }
}

/// Waits until no signal waits to be taken.
pub fn until_taken(pid: u32) {
    while pending(pid) {
        std::thread::yield_now();
    }
}

/// Whether a signal waits to be taken (proc_pid_status(5)).
fn pending(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let masks = status.lines().filter_map(|line| line.strip_prefix("ShdPnd:"));
    masks.into_iter().any(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() != 0)
}
