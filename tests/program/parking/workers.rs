//! Workers park as one process does, and any number of them goes on with what any other has parked.

use std::net::{TcpListener, TcpStream};
use std::process::Command;

use slackwater::wire::link::VERSION;
use support::HEALTHZ;
use support::client::Client;
use support::events::Listener;
use support::frames::text;
use support::peer::Peer;
use support::publisher::Publisher;

use super::failing::{WHY as NOT_PARKING, only};
use super::manager::{Manager, Mood};
use super::server::Service;
use crate::process::{BINARY, children, signal};
use crate::workers::crew::stop;
use crate::workers::program::Program;

fn workers(count: u16) -> String {
    format!("--workers {count}")
}

#[test]
fn any_number_of_workers_goes_on_with_what_any_other_has_parked() {
    let counts = [1, 3, 2, 4, 1, 2, 2];
    let mut service = Service::start(&workers(counts[0]));
    let address = service.address();
    let mut clients: Vec<Client> = (0..20).map(|_| service.client()).collect();
    let mut streams: Vec<Listener> = (0..5).map(|_| Listener::join(address, "/events")).collect();
    let mut publisher = Publisher::connect(address);
    publisher.publish("0");
    let mut halves = vec![];
    for (n, count) in counts.iter().enumerate().skip(1) {
        let mut peer = Peer::connect(address).upgraded();
        let whole = text("in two pieces");
        peer.send(&whole[..5]);
        halves.push((peer, whole[5..].to_vec(), n));
        service.flags = workers(*count);
        assert_eq!(service.restart(), address);
        assert!(publisher.publish(&n.to_string()).ends_with(&format!("-{}", n + 1)), "the order goes on");
    }
    for n in 0..counts.len() {
        clients.iter_mut().for_each(|client| assert_eq!(client.hear_data(), n.to_string()));
        streams.iter_mut().for_each(|stream| assert_eq!(stream.hear_data(), n.to_string()));
    }
    for (mut peer, rest, first) in halves {
        let told = |peer: &mut Peer| peer.message()["data"].as_str().unwrap().parse::<usize>().unwrap();
        // Another worker may have told it of the one before, which was being handed on when it joined.
        let earliest = told(&mut peer);
        assert!(earliest == first || (earliest + 1, told(&mut peer)) == (first, first));
        (first + 1..counts.len()).for_each(|n| assert_eq!(peer.message()["data"], n.to_string()));
        peer.send(rest);
        assert_eq!(peer.message()["message"], "Server received: in two pieces");
    }
    service.client().echo("x");
    let counted = service.process().door().metrics();
    assert_eq!(counted.of("slackwater_publications_total"), counts.len() as f64);
    assert_eq!(counted.of("slackwater_handovers_total{result=\"completed\"}"), (counts.len() - 1) as f64);
}

#[test]
fn who_connects_or_asks_while_no_worker_serves_is_answered_by_the_next() {
    let mut service = Service::start("--workers 2");
    let address = service.address();
    let mut kept = Publisher::connect(address);
    let first = kept.publish("before");
    service.park();
    let mut waiting: Vec<Peer> = (0..10).map(|_| Peer::connect(address)).collect();
    waiting.iter_mut().for_each(|peer| peer.send(HEALTHZ));
    kept.0.send(HEALTHZ);
    service.go_on();
    waiting.iter_mut().for_each(|peer| assert_eq!(peer.response().status, 200));
    assert_eq!(kept.0.response().status, 200);
    let resumed = Client::resume(address, &first);
    assert_eq!(resumed.welcome["resumed"], true);
}

#[test]
fn a_signal_to_all_processes_parks_everybody_whoever_hears_it_first() {
    for is_supervisor_first in [true, false] {
        let mut service = Service::start("--workers 3");
        let mut clients: Vec<Client> = (0..12).map(|_| service.client()).collect();
        let pid = service.process().pid();
        let mut all = [children(pid), vec![pid]].concat();
        all.rotate_right(usize::from(is_supervisor_first));
        // At once: by then one that was told first may have ended.
        let targets: Vec<String> = all.iter().map(u32::to_string).collect();
        let kill = format!("kill -s TERM {} 2>/dev/null", targets.join(" "));
        let _ = Command::new("sh").args(["-c", &kill]).status().unwrap();
        service.parked();
        service.go_on();
        clients.iter_mut().for_each(|client| client.echo("x"));
    }
}

#[test]
fn a_request_under_way_is_finished_first_and_one_that_never_ends_is_left() {
    let mut service = Service::start("--workers 2");
    let mut client = service.client();
    let half = |length: usize| {
        let mut peer = Peer::connect(service.address());
        peer.send(format!(
            "POST /publish HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        ));
        assert_eq!(peer.head().status, 100);
        peer
    };
    let (mut ends, mut never) = (half(5), half(50));
    service.process().signal("TERM");
    ends.send("hello");
    assert_eq!(ends.response().status, 200);
    let (code, lines) = service.end();
    assert_eq!(code, Some(0), "{lines:#?}");
    let parked = only(&lines, "[INFO] Parked ");
    assert!(parked.starts_with("2 connections") && parked.ends_with("; 1 could not be parked"), "{parked}");
    assert_eq!(never.rest(), b"");
    service.go_on();
    assert_eq!(client.hear_data(), "hello");
    ends.send(HEALTHZ);
    assert_eq!(ends.response().status, 200);
}

#[test]
fn a_second_signal_closes_everybody() {
    for second in ["TERM", "INT"] {
        let mut service = Service::start("--workers 2");
        let mut client = service.client();
        let mut asking = Peer::connect(service.address());
        asking.send(
            "POST /publish HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        );
        assert_eq!(asking.head().status, 100);
        service.process().signal("TERM");
        super::failing::until_taken(service.process().pid());
        service.process().signal(second);
        assert_eq!(client.close_code(), Some(1012));
        assert_eq!((service.end().0, service.manager.kept()), (Some(1), vec![]));
    }
}

#[test]
fn where_nothing_is_kept_the_workers_drain() {
    for (mood, flags) in [(Mood::Full, "--workers 2"), (Mood::Busy, "--workers 2 --handover-timeout 0.2")] {
        let service = Service::start(flags);
        let client = service.client();
        service.manager.set_mood(mood);
        service.process().signal("TERM");
        super::failing::assert_drains(service, client);
    }
}

#[test]
fn a_worker_that_does_not_answer_keeps_all_from_being_parked() {
    let mut service = Service::start("--workers 2 --handover-timeout 0.5 --timeout-worker-healthcheck 60");
    let pids = children(service.process().pid());
    // Served by the other, whichever that is.
    let mut clients: Vec<Client> = (0..20).map(|_| service.client()).collect();
    stop(pids[0]);
    service.process().signal("TERM");
    let why = service.process().line(NOT_PARKING);
    assert!(why.ends_with("the workers have not left everything in time (--handover-timeout)"), "{why}");
    signal(pids[0], "CONT");
    service.process().count("Waiting for ", 2);
    assert_eq!(service.manager.kept(), [""; 0]);
    clients.iter_mut().for_each(|client| client.echo("still here"));
    clients.into_iter().for_each(Client::leave);
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn without_a_worker_that_is_killed_meanwhile_those_of_all_others_are_parked() {
    for is_stopped_first in [true, false] {
        let mut service = Service::start("--workers 2 --timeout-worker-healthcheck 60");
        let pids = children(service.process().pid());
        let mut clients: Vec<Client> = (0..20).map(|_| service.client()).collect();
        if is_stopped_first {
            stop(pids[0]);
            service.process().signal("TERM");
            super::failing::until_taken(service.process().pid());
            signal(pids[0], "KILL");
        } else {
            // Both at once.
            let kill = format!("kill -s KILL {}; kill -s TERM {}", pids[0], service.process().pid());
            assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        }
        let lines = service.parked();
        let parked = only(&lines, "[INFO] Parked ").split(' ').next().unwrap().to_owned();
        service.go_on();
        service.process().line(&format!("] Took up {parked} connections"));
        Publisher::connect(service.address()).publish("x");
        let living = clients.iter_mut().filter_map(|client| client.try_hear().ok()).count();
        assert_eq!((living.to_string(), living > 0 && living < 20), (parked, true));
    }
}

#[test]
fn with_an_interrupt_the_workers_drain() {
    let service = Service::start("--workers 2");
    let client = service.client();
    service.process().signal("INT");
    super::failing::assert_drains(service, client);
}

#[test]
fn workers_that_cannot_listen_leave_what_was_parked_to_the_next_start() {
    let mut service = Service::start("--workers 2");
    let address = service.address();
    let mut clients: Vec<Client> = (0..10).map(|_| service.client()).collect();
    service.park();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    for count in [1, 2] {
        let port = taken.local_addr().unwrap().port();
        let lines = service.fail(&format!("--workers {count} --port {port}"));
        only(&lines, "[WARNING] What process ");
    }
    service.go_on();
    assert_eq!(service.address(), address);
    clients.iter_mut().for_each(|client| client.echo("x"));
    drop(TcpStream::connect(address).unwrap());
}

/// Starts two workers, the first of which ends as often as the script has it.
fn go_on_with_ending(service: &mut Service, ends_if: &str) {
    let program = Program::new();
    program.replace(&format!(
        r#"case "$_SLACKWATER_WORKER" in "{VERSION} 1 "*) {ends_if} && exit 1;; esac; exec {BINARY} "$@""#
    ));
    // The real one, called by that path, so that its workers are what is there.
    let by = r#"exec bash -c 'exec -a "$0" "$@"'"#;
    service.go_on_by(&format!(r#"{by} {} "$0" "$@""#, program.path().display()), &[]);
}

#[test]
fn a_worker_that_ends_before_it_takes_them_up_leaves_them_to_the_one_that_is_started_again() {
    let mut service = Service::start("--workers 2");
    let mut clients: Vec<Client> = (0..20).map(|_| service.client()).collect();
    service.park();
    let once = service.manager.folder().join("once");
    go_on_with_ending(&mut service, &format!("mkdir {}", once.display()));
    service.process().line("] Took up 20 connections");
    assert!(once.exists());
    clients.iter_mut().for_each(|client| client.echo("x"));
}

#[test]
fn workers_serve_also_if_one_of_them_never_takes_anybody_up() {
    let mut service = Service::start("--workers 2");
    let mut clients: Vec<Client> = (0..20).map(|_| service.client()).collect();
    service.park();
    let thrice = service.manager.folder().join("ends");
    std::fs::write(&thrice, "111").unwrap();
    let ends_if = format!(r#"test -s {0} && sed -i s/1// {0}"#, thrice.display());
    go_on_with_ending(&mut service, &ends_if);
    service
        .process()
        .line("] A worker has ended once more before it had taken up its part of what was parked");
    service.process().line("] Took up ");
    // The last that who lives on hears.
    Publisher::connect(service.address()).publish("x");
    let closed = clients.iter_mut().filter_map(|client| client.try_hear().err()).count();
    assert!(closed > 0 && closed < 20, "{closed}");
    service.process().line(&format!("[WARNING] {closed} of the connections that were parked are closed: "));
    service.process().line(&format!("] Took up {} connections", 20 - closed));
    let moved = "slackwater_handover_connections_total{result=\"moved\"}";
    assert_eq!(service.process().door().metrics().of(moved), (20 - closed) as f64);
    service.client().echo("x");
    assert_eq!(service.manager.kept(), [""; 0]);
}

#[test]
fn workers_hand_over_what_they_have_taken_up() {
    let manager = Manager::new(1);
    let mut service = Service::under(manager, "--workers 2");
    let mut clients: Vec<Client> = (0..10).map(|_| service.client()).collect();
    service.restart();
    service.process().signal("HUP");
    service.process().line("] Took over 10 connections");
    clients.iter_mut().for_each(|client| client.echo("x"));
}
