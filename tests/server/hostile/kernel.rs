//! What the kernel keeps of connections that the server has let go: nothing of those who were cut for not taking, and
//! all that is still owed to those who were not.

use std::collections::HashSet;
use std::fs;

use slackwater::policy::drain::Outcome;

use super::*;

/// More than a socket with little room holds once it is echoed, and less than the server's send buffer takes.
const LITTLE_TO_ECHO: usize = 120;

/// The server's ends of connections, open or closed, for which the kernel still keeps anything: proc(5). A socket in TIME_WAIT
/// keeps no bytes, and may be that of a client which had this port before. While others connect, a row may be shown twice.
fn kept(port: u16) -> usize {
    const LISTEN: &str = "0A";
    const TIME_WAIT: &str = "06";
    let server = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/self/net/tcp").expect("proc(5) has it");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let is_ours = |row: &Vec<&str>| row[1] == server && ![LISTEN, TIME_WAIT].contains(&row[3]);
    rows.filter(is_ours).map(|row| row[2].to_owned()).collect::<HashSet<String>>().len()
}

fn wait_until_none_is_kept(server: &Running) {
    let began = Instant::now();
    while kept(server.door.port()) > 0 {
        thread::sleep(Duration::from_millis(20));
        assert!(began.elapsed() < PATIENCE, "the kernel keeps {}", kept(server.door.port()));
    }
}

/// Ten clients that stop reading and are owed the echo of so many messages.
fn deaf_clients(server: &Running, messages: usize) -> Vec<Peer> {
    let deaf = (0..10).map(|_| {
        let mut peer = Peer::with_little_room(server.address).upgraded();
        peer.send(text("x").repeat(messages));
        peer
    });
    deaf.collect()
}

#[test]
fn whoever_is_cut_for_not_taking_leaves_nothing_in_the_kernel() {
    for (flags, messages) in [
        ("--write-timeout 60 --outbox-limit 16384 --notify-interval 0.01", MUCH_TO_ECHO),
        ("--write-timeout 60 --ws-ping-interval 0.1 --ws-ping-timeout 0.2", LITTLE_TO_ECHO),
    ] {
        let server = Running::with(flags);
        let _deaf = deaf_clients(&server, messages);
        wait_until_none_is_kept(&server);
    }
}

#[test]
fn a_forced_end_leaves_nothing_in_the_kernel() {
    let mut server = Running::with("--write-timeout 60");
    let _deaf = (deaf_clients(&server, MUCH_TO_ECHO), deaf_clients(&server, LITTLE_TO_ECHO));
    assert_eq!(kept(server.door.port()), 20);
    server.signal();
    server.signal();
    assert_eq!(server.outcome(), Outcome::Forced);
    wait_until_none_is_kept(&server);
}

#[test]
fn who_has_ended_its_side_and_takes_nothing_is_forgotten_by_the_kernel() {
    let server = Running::with("");
    let deaf = deaf_clients(&server, LITTLE_TO_ECHO);
    deaf.iter().for_each(Peer::finish);
    // The kernel by itself would keep them for minutes.
    wait_until_none_is_kept(&server);
}

#[test]
fn a_response_that_is_read_slowly_is_not_cut_short() {
    let server = Running::with("");
    let mut slow = [Peer::with_little_room(server.address), Peer::with_little_room(server.address)];
    for peer in &mut slow {
        peer.send("GET /app.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    }
    // It has nothing more to ask, and still reads.
    slow[1].finish();
    // Longer than one who is cut has for the last word.
    thread::sleep(Duration::from_millis(1500));
    for mut peer in slow {
        let response = peer.response();
        assert_eq!(response.status, 200);
        assert!(response.body.len() > 8192, "more than there was room for");
        assert_eq!(peer.rest(), b"");
    }
}
