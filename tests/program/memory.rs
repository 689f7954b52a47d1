//! What memory mad peers cost a server: in a process of its own, where nothing else is measured.

use std::fs;
use std::time::Instant;

use support::frames::{MASK, PING, TEXT, frame, header, text};
use support::peer::Peer;
use support::{HEALTHZ, PATIENCE};

use crate::process::Process;

/// What a process owns, in MiB: what is resident, and what is reserved (proc(5)).
#[derive(Debug)]
struct Memory {
    resident: u64,
    reserved: u64,
}

impl Memory {
    fn of(server: &Process) -> Self {
        let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
        let of = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("proc(5) names it");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") / 1024
        };
        Self { resident: of("VmRSS:"), reserved: of("VmData:") }
    }

    /// Fails the test if it is more than this many MiB over what it was.
    fn assert_at_most_over(&self, before: &Self, most: u64) {
        assert!(
            self.resident <= before.resident + most && self.reserved <= before.reserved + most,
            "{before:?} has become {self:?}"
        );
    }
}

fn two_thousand_clients(server: &Process) -> Vec<Peer> {
    let most = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    assert!(most > 2500, "2,000 clients need more open files than {most}: raise the hard limit (ulimit -Hn)");
    (0..2000).map(|_| Peer::connect(server.address()).upgraded()).collect()
}

#[test]
fn a_flood_of_pings_from_a_deaf_client_takes_no_memory() {
    let server = Process::start("");
    let mut deaf = Peer::with_little_room(server.address()).upgraded();
    let mut bystander = Peer::connect(server.address()).upgraded();
    let before = Memory::of(&server);
    let pings = frame(PING, [b'x'; 125]).repeat(1000);
    for _ in 0..20_000_000 / pings.len() {
        deaf.send(&pings);
    }
    Memory::of(&server).assert_at_most_over(&before, 8);
    bystander.send(text("hello"));
    assert_eq!(bystander.message()["message"], "Server received: hello");
}

#[test]
fn a_header_that_announces_much_reserves_nothing() {
    let server = Process::start("--ws-max-size 16777216 --handshake-timeout 60");
    let mut clients = two_thousand_clients(&server);
    let before = Memory::of(&server);
    for client in &mut clients {
        client.send(header(TEXT, 1 << 24));
    }
    // Who comes after them is answered after them.
    let mut last = Peer::connect(server.address());
    last.send(HEALTHZ);
    assert_eq!(last.response().status, 200);
    Memory::of(&server).assert_at_most_over(&before, 64);
    for client in &mut clients {
        // Only a server that accepted the header finds fault with the first character instead.
        client.send([0xff ^ MASK[0]]);
        assert_eq!(client.close_code(), Some(1007));
    }
}

#[test]
fn a_header_of_a_gigabyte_is_refused_at_once() {
    let server = Process::start("--handshake-timeout 60");
    let mut clients = two_thousand_clients(&server);
    let before = Memory::of(&server);
    for client in &mut clients {
        client.send(header(TEXT, 1 << 30));
    }
    Memory::of(&server).assert_at_most_over(&before, 64);
    for client in &mut clients {
        assert_eq!(client.close_code(), Some(1009));
    }
    Memory::of(&server).assert_at_most_over(&before, 64);
}

#[test]
fn memory_that_a_crowd_has_needed_is_given_back_while_a_few_stay() {
    let server = Process::start("");
    let mut clients = two_thousand_clients(&server);
    let before = Memory::of(&server);
    for (number, client) in clients.iter_mut().enumerate() {
        let command = |n| text(&format!(r#"{{"type":"subscribe","topic":"{number}/{n}"}}"#));
        client.send((0..40).flat_map(command).collect::<Vec<_>>());
        (0..40).for_each(|_| assert_eq!(client.message()["type"], "subscribed"));
    }
    let crowded = Memory::of(&server);
    assert!(crowded.resident > before.resident + 10, "{before:?} has become {crowded:?}");
    let mut few = [clients.remove(1900), clients.remove(1000), clients.remove(0)];
    drop(clients);
    let began = Instant::now();
    while Memory::of(&server).resident > before.resident + 1 {
        assert!(began.elapsed() < PATIENCE, "{before:?} has become {:?}", Memory::of(&server));
        few[0].send(text("still here"));
        assert_eq!(few[0].message()["type"], "echo");
    }
}
