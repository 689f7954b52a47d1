//! Event streams on the wire: `GET /events`, as a browser's `EventSource` reads it, and as others ask for it.

use std::time::Instant;

use serde_json::{Value, json};
use slackwater::policy::drain::Outcome;
use support::events::{Chunks, Event, Listener, Reader};
use support::peer::{Peer, Response};
use support::publisher::Publisher;
use support::{PATIENCE, assert_waited};

use crate::running::Running;

mod access;
mod beginning;
mod ending;
mod resuming;

/// The answer to a request with these further fields, up to the end of the connection if it is the last.
fn ask(server: &Running, what: &str, fields: &str) -> Response {
    let mut peer = Peer::connect(server.address);
    peer.send(format!("{what} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
    let mut response = peer.head();
    if response.field("Connection") == Some("close") {
        response.body = peer.rest();
    }
    response
}

/// What a browser makes of a stream that has ended: its events, and what it knows then.
fn read(response: &Response) -> (Vec<Event>, Reader) {
    let (mut reader, mut chunks) = (Reader::default(), Chunks::default());
    let events = reader.read(chunks.read(&response.body));
    assert!(chunks.have_ended || response.body.is_empty());
    assert!(reader.is_between_blocks());
    (events, reader)
}

fn metrics(server: &Running) -> String {
    ask(server, "GET /metrics", "Connection: close\r\n").text().to_owned()
}

/// Waits until the server's numbers have this line.
fn until_counted(server: &Running, line: &str) {
    let began = Instant::now();
    loop {
        let text = metrics(server);
        if text.contains(&format!("\nslackwater_{line}\n")) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{line} is not in {text}");
    }
}

/// Waits until the server counts so many clients.
fn until_connected(server: &Running, count: u64) {
    let began = Instant::now();
    while ask(server, "GET /status", "Connection: close\r\n").json()["connections"] != count {
        assert!(began.elapsed() < PATIENCE, "there are not {count} clients");
    }
}

#[test]
fn the_judge_reads_streams_as_the_specification_says() {
    let read = |text: &str| {
        let whole = Reader::default().read(text);
        let mut reader = Reader::default();
        let pieces: Vec<Event> = text.bytes().flat_map(|octet| reader.read([octet])).collect();
        assert_eq!(whole, pieces);
        whole.into_iter().map(|event| [event.name, event.data, event.last_event_id]).collect::<Vec<_>>()
    };
    assert_eq!(
        read(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event"),
        [["message", "first event", "1"], ["message", "second event", ""]]
    );
    assert_eq!(read("data\n\ndata\ndata\n\ndata:"), [["message", "", ""], ["message", "\n", ""]]);
    assert_eq!(read("data:test\n\ndata: test\n\n"), [["message", "test", ""]; 2]);
    assert_eq!(
        read("event: add\r\ndata: a\rdata: b\n\r\nevent: none\r\rdata: c\r\n\n"),
        [["add", "a\nb", ""], ["message", "c", ""]]
    );
    assert_eq!(read("id: 5\nretry: 7\n\ndata: x\n\n"), [["message", "x", "5"]]);
}
