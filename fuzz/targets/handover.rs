//! What a process hands over to its successor, and what the two say to each other: whatever is in it, reading it takes little
//! memory, what is read is written again as it was, and a server goes on with it, or refuses it, without harm.
#![no_main]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use slackwater::server::clock::Now;
use slackwater::wire::handover::image::{Entry, Reader, Writer};
use slackwater::wire::handover::message::{ToPredecessor, ToSuccessor, decode, encode};
use slackwater::wire::handover::parked::{Parked, Part};
use slackwater::wire::snapshot::Snapshot;
use slackwater_fuzz::line::Line;
use slackwater_fuzz::process::Process;
use slackwater_fuzz::within;

/// How much more than its octets what is read may take: a text of no octets takes as much as a name of it.
const RATIO: usize = 64;

/// Octets that each connection of an image says then, so that what it was in the midst of goes on.
const SAID: &[u8] = b"\x81\x82mask\x05\x08\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n\x88\x80mask";

fuzz_target!(|input: &[u8]| {
    let most_bytes = 64 * 1024 + RATIO * input.len();
    if let Ok(message) = within(most_bytes, || decode::<ToPredecessor>(input)) {
        assert_eq!(decode(&encode(&message)), Ok(message));
    }
    if let Ok(message) = within(most_bytes, || decode::<ToSuccessor>(input)) {
        assert_eq!(decode(&encode(&message)), Ok(message));
    }
    if let Ok(message) = within(most_bytes, || decode::<Parked>(input)) {
        assert_eq!(decode(&encode(&message)), Ok(message));
    }
    if let Ok(message) = within(most_bytes, || decode::<Part>(input)) {
        assert_eq!(decode(&encode(&message)), Ok(message));
    }
    for octets in [input, &sealed(input)] {
        within(most_bytes, || copy(octets));
        go_on(octets);
    }
});

/// With a checksum that fits, which no change to the octets would hit.
fn sealed(octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    if let Some((image, checksum)) = octets.split_last_chunk_mut::<4>() {
        *checksum = crc32fast::hash(image).to_be_bytes();
    }
    octets
}

/// What is read of an image is the same once it was written again.
fn copy(octets: &[u8]) {
    let Ok(mut reader) = Reader::new(octets) else { return };
    let mut writer = Writer::new(vec![], 1).expect("memory takes all of it");
    while let Ok(Some(entry)) = reader.next_entry() {
        match &entry {
            Entry::Whole(whole) => {
                let again = decode(&encode(&**whole));
                assert_eq!(again.as_ref(), Ok(&**whole));
                writer.whole(whole)
            }
            Entry::Left(left) => writer.left(left),
            Entry::Snapshot(octets) => match Snapshot::decode_handed_over(octets) {
                Ok(snapshot) => writer.history(&snapshot),
                Err(_) => return,
            },
            Entry::Shared(octets) => writer.shared(octets),
            Entry::Connection(record) => {
                assert_eq!(decode(&encode(&**record)).as_ref(), Ok(&**record));
                writer.connection(record)
            }
        }
        .expect("memory takes all of it");
    }
    writer.end().expect("memory takes all of it");
}

/// A server takes it over, hears something of each, and lives on for a while; and hands over itself.
fn go_on(octets: &[u8]) {
    let mut now = Now { instant: Instant::now(), wall: Timestamp::UNIX_EPOCH };
    let mut process = Process::alone(now);
    let Some(lines) = process.take_over(octets, now) else { return };
    lines.iter().for_each(|line: &Rc<RefCell<Line>>| line.borrow_mut().send(SAID));
    for _ in 0..50 {
        process.turn(now);
        let pause = process
            .next_time()
            .map_or(Duration::from_secs(1), |at| at.saturating_duration_since(now.instant));
        now.instant += pause.min(Duration::from_secs(1));
    }
    let image = process.pack(now);
    assert!(Process::alone(now).take_over(&image, now).is_some(), "it takes what it gives");
}
