//! SIGHUP: the program that is on disk goes on, and everybody stays on the connection that they have.

use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;
use support::client::Client;
use support::events::Listener;
use support::frames::frame;
use support::peer::Peer;
use support::publisher::Publisher;
use support::{HANDSHAKE, handshake};

use super::server::{Server, open_files};
use crate::halves::{Half, Requesting};
use crate::process::Process;
use crate::workers::program::{Program, mark_of};

/// The next message of somebody who is sent publications and answers.
fn answer(peer: &mut Peer) -> Value {
    peer.message()["message"].take()
}

#[test]
fn everybody_stays_on_the_same_connection_and_hears_all_once_and_in_order() {
    let server = Server::start("");
    let address = server.address();
    let (mut client, mut stream) = (server.client(), Listener::join(address, "/events"));
    let mut publisher = Publisher::connect(address);
    publisher.publish("0");
    for n in 1..=3 {
        server.hand_over();
        assert!(publisher.publish(&n.to_string()).ends_with(&format!("-{}", n + 1)), "the order goes on");
    }
    for n in 0..=3 {
        let n = n.to_string();
        assert_eq!((client.hear_data(), stream.hear_data()), (n.clone().into(), n.into()));
    }
    client.echo("still here");
    drop((client, stream, publisher));
    assert_eq!(server.leave().0, Some(0));
}

#[test]
fn what_is_half_read_is_read_to_its_end_by_the_successor() {
    let server = Server::start("");
    let halves = Half::all(server.address());
    server.hand_over();
    for mut half in halves {
        half.say_rest();
        half.assert_answered();
    }
}

#[test]
fn a_compressed_message_may_be_half_read_and_what_is_published_is_compressed_as_agreed() {
    let server = Server::start("--ws-per-message-deflate");
    let mut peer = Peer::connect(server.address());
    peer.send(HANDSHAKE.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"));
    assert!(peer.head().field("Sec-WebSocket-Extensions").is_some());
    assert_eq!(peer.message()["type"], "welcome");
    // A block that is stored, as RFC 7692 §7.2.3.4 has it.
    let block = |text: &[u8; 5]| [&[0, 5, 0, 0xfa, 0xff], &text[..], &[0]].concat();
    let (first, second) = (frame(0xc1, block(b"first")), frame(0xc1, block(b"again")));
    peer.send([&first, &second[..9]].concat());
    assert_eq!(answer(&mut peer), "Server received: first");
    server.hand_over();
    peer.send(&second[9..]);
    assert_eq!(answer(&mut peer), "Server received: again");
    Publisher::connect(server.address()).publish(&"y".repeat(5000));
    assert_eq!(peer.frame().first, 0xc1);
}

#[test]
fn connections_between_requests_and_within_a_head_go_on() {
    let server = Server::start("");
    let requesting = Requesting::begin(server.address());
    server.hand_over();
    requesting.assert_answered();
}

#[test]
fn who_is_slow_or_in_the_midst_of_a_replay_hears_the_rest_from_the_successor() {
    let server = Server::start("--history-size 100");
    let mut publisher = Publisher::connect(server.address());
    let filler = "z".repeat(50_000);
    let first = publisher.publish("first");
    let mut slow = Peer::with_little_room(server.address()).upgraded();
    (0..30).for_each(|n| _ = publisher.publish(&format!("{n} {filler}")));
    let mut back = Peer::with_little_room(server.address());
    back.send(handshake(&format!("/ws?last_event_id={first}")));
    assert_eq!(back.head().status, 101);
    let metrics = server.door().metrics_with("a full outbox", |now| now.of("slackwater_outbox_bytes") > 0.0);
    assert!(metrics.of("slackwater_connections_active") == 2.0);
    server.hand_over();
    publisher.publish("last");
    assert_eq!(back.message()["type"], "welcome");
    for mut peer in [slow_last(&mut slow), back] {
        for n in 0..30 {
            assert_eq!(peer.message()["data"], format!("{n} {filler}"));
        }
        assert_eq!(peer.message()["data"], "last");
    }
}

/// Takes it out of a place.
fn slow_last(peer: &mut Peer) -> Peer {
    let nobody = Peer::over(TcpStream::connect(peer.socket.peer_addr().unwrap()).unwrap());
    std::mem::replace(peer, nobody)
}

#[test]
fn publishers_see_no_error_and_nobody_hears_a_publication_twice() {
    let server = Server::start("");
    let mut client = server.client();
    let (address, is_over) = (server.address(), AtomicBool::new(false));
    let mut publisher = Publisher::connect(address);
    let published = thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                count += 1;
                let key = format!("Idempotency-Key: k{count}\r\n");
                assert_eq!(publisher.post("/publish", &key, &count.to_string()).status, 200);
                // Also on new connections.
                assert_eq!(
                    Publisher::connect(address).post("/publish", &key, &count.to_string()).status,
                    200
                );
            }
            count
        });
        (0..5).for_each(|_| _ = server.hand_over());
        is_over.store(true, Ordering::Relaxed);
        publishing.join().unwrap()
    });
    for n in 1..=published {
        assert_eq!(client.hear_data(), n.to_string());
    }
    client.echo("nothing else");
}

#[test]
fn the_numbers_go_on_and_tell_of_it() {
    let server = Server::start("");
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    let door = server.door();
    Publisher::connect(server.address()).publish("x");
    let before = door.metrics();
    assert_eq!(before.of("slackwater_handovers_total{result=\"completed\"}"), 0.0);
    assert!(door.status().get("handover").is_none());
    server.hand_over();
    let after = door.metrics();
    after.assert_not_below(&before);
    assert_eq!(after.of("slackwater_connections_active"), 3.0);
    assert_eq!(after.of("slackwater_connections_total"), 3.0);
    assert_eq!(after.of("slackwater_publications_total"), 1.0);
    assert_eq!(after.of("slackwater_handovers_total{result=\"completed\"}"), 1.0);
    assert_eq!(after.of("slackwater_handovers_total{result=\"failed\"}"), 0.0);
    let moved = after.of("slackwater_handover_connections_total{result=\"moved\"}");
    assert!((3.0..=6.0).contains(&moved), "{moved}");
    let seconds = after.of("slackwater_handover_seconds");
    assert!(seconds > 0.0 && seconds < 5.0, "{seconds}");
    let status = door.status();
    assert_eq!((&status["connections"], &status["publications"]), (&3.into(), &1.into()));
    assert_eq!(status["handover"]["result"], "completed");
    assert_eq!(status["handover"]["moved"].as_f64(), Some(moved));
    assert_eq!(status["handover"]["seconds"].as_f64(), Some(seconds));
    let ids = |client: &Client| client.welcome["connection_id"].clone();
    let listed = door.get("/status?connections").json();
    let listed: Vec<&Value> = listed["list"].as_array().unwrap().iter().map(|client| &client["id"]).collect();
    assert!(clients.iter().all(|client| listed.contains(&&ids(client))), "{listed:?}");
    let newcomer = server.client();
    assert!(clients.iter().all(|client| ids(client) != ids(&newcomer)));
    assert!(clients.iter_mut().all(|client| client.hear_data() == "x"));
    clients.iter_mut().for_each(|client| client.echo("x"));
    server.hand_over();
    assert_eq!(door.metrics().of("slackwater_handovers_total{result=\"completed\"}"), 2.0);
}

#[test]
fn ten_hand_overs_leave_memory_and_descriptors_where_they_were() {
    let server = Server::start("");
    let mut clients: Vec<Client> = (0..100).map(|_| server.client()).collect();
    let files = open_files(server.now());
    let resident = || server.door().metrics().of("process_resident_memory_bytes");
    server.hand_over();
    let before = resident();
    for _ in 0..9 {
        let predecessor = server.now();
        let successor = server.hand_over();
        assert_ne!(predecessor, successor);
    }
    clients.iter_mut().for_each(|client| client.echo("x"));
    let after = resident();
    assert!(after < before * 1.2 + 1e6, "{before} bytes have become {after}");
    drop(server.door().get("/healthz"));
    clients.iter_mut().for_each(|client| client.echo("x"));
    assert_eq!(open_files(server.now()), files);
    drop(clients);
    let (code, lines) = server.leave();
    assert_eq!(code, Some(0));
    assert!(!lines.iter().any(|line| line.contains("WARNING") || line.contains("ERROR")), "{lines:#?}");
}

#[test]
fn the_program_that_is_on_disk_now_goes_on() {
    let program = Program::new();
    let server = Server::spawn(&mut program.command(""));
    let mut client = server.client();
    program.mark("new");
    let fresh = server.hand_over();
    assert_eq!(mark_of(fresh).as_deref(), Some("new"));
    client.echo("x");
}

#[test]
fn at_a_terminal_it_means_that_the_terminal_is_gone() {
    let inner = format!("{} --port 0 --log-level info", crate::process::BINARY);
    let mut command = Command::new("script");
    command.args(["-qefc", &inner, "/dev/null"]);
    let Ok(output) = Command::new("script").arg("--version").output() else {
        return eprintln!("skipped: there is no script(1)");
    };
    assert!(output.status.success());
    // What it says comes by the terminal, so what it has become is read from /proc.
    let process = Process::spawn_only(command.stdin(std::process::Stdio::piped()));
    let child = until_some(|| child_of(process.pid()));
    until_some(|| is_listening(child).then_some(()));
    crate::process::signal(child, "HUP");
    assert_eq!(process.end().0, Some(0));
}

fn child_of(pid: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let child: u32 = children.split_whitespace().next()?.parse().ok()?;
    let name = std::fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
    // A shell may stand between.
    if name.trim() == "slackwater" { Some(child) } else { child_of(child) }
}

fn is_listening(pid: u32) -> bool {
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let links = files.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count() > 1
}

fn until_some<T>(mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + support::PATIENCE;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "it does not come");
        thread::yield_now();
    }
}
