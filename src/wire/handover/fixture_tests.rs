//! An image of the first format, with each kind of connection, as the first version has written it: every later version of this
//! format has to read it for ever.
//!
//! When fields are added, this one stays as it is. Add them to `contents`, write the next one by
//! `cargo test --lib write_the_next_fixture -- --ignored` (it is not overwritten: choose the next name in `NEXT`), and read it in
//! the tests as well.

use std::io::Write;

use super::image::{Entry, Reader, Whole, Writer, connections};
use super::record::{
    Client, Compression, EventStream, Http, Member, Message, OpenFrame, Outbox, Pace, Phase, Piece, Proxy,
    Record, Replay, Standing, Unfinished, WebSocket,
};
use super::secured::{Open, Tls};
use crate::policy::epochs::Epochs;
use crate::wire::octets::Octets;
use crate::wire::snapshot::Snapshot;

/// The octets of the first.
pub const FIRST: &[u8] = include_bytes!("../../../tests/fixtures/handover-1-first.image");

/// Those of the second: it has TLS.
pub const SECURED: &[u8] = include_bytes!("../../../tests/fixtures/handover-1-secured.image");

/// Those of the third: clients have an id.
pub const NAMED: &[u8] = include_bytes!("../../../tests/fixtures/handover-1-named.image");

/// Where the next one is written.
pub const NEXT: &str = "tests/fixtures/handover-1-named.image";

/// When it was written: on the clock of all processes,
pub const MONOTONIC: i64 = 1_000_000_000_000;

/// What holds for the whole server.
pub fn whole() -> Whole {
    Whole {
        counted: None,
        notifications: 3,
        next_notification: Some(MONOTONIC + 5_000_000_000),
        begun: Some(0),
        addresses: vec![((1 << 32) + 0xc000_0201, MONOTONIC + 1_000_000_000)],
    }
}

/// A piece that several share: a text frame.
pub const SHARED: &[u8] = b"\x81\x06shared";

/// A session of TLS, whose keys are of nothing but the same octet: TLS_AES_128_GCM_SHA256, three octets of a record read.
pub const SESSION: &[u8] = b"\xa7\x00\x19\x13\x01\x01\xa4\x00\x03\x01\x50\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\
    \x02\x4c\x12\x12\x12\x12\x12\x12\x12\x12\x12\x12\x12\x12\x03\x58\x20\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\
    \x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\x02\xa4\x00\x07\x01\x50\x21\x21\x21\x21\x21\x21\x21\x21\x21\x21\
    \x21\x21\x21\x21\x21\x21\x02\x4c\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x03\x58\x20\x23\x23\x23\x23\x23\x23\x23\x23\x23\
    \x23\x23\x23\x23\x23\x23\x23\x23\x23\x23\x23\x23\x23\x23\x23\x23\x23\x23\x23\x23\x23\x23\x23\x03\x43\x17\x03\x03\x06\xf5\x0a\xf5\
    \x0b\xf5";

/// Connections with TLS, as the second image has them beside those.
pub fn secured_records() -> Vec<Record> {
    let with = |tls, record: Record| Record { tls: Some(tls), ..record };
    let http = |http| Record { expires: Some(MONOTONIC + 5_000_000_000), ..Record::of(Phase::Http(http)) };
    let websocket =
        || Record { filters: vec!["a".to_owned()], ..Record::of(Phase::WebSocket(WebSocket::default())) };
    let open = || Open {
        session: Octets::new(SESSION),
        unsent: vec![],
        owes_byte: false,
        ciphertext: vec![],
        plaintext: vec![],
    };
    let outbox = Outbox { pieces: vec![Piece::Own(b"n".to_vec())], front_begun: true, ..Outbox::default() };
    vec![
        with(Tls::Awaited, http(Http::default())),
        with(
            Tls::Preamble { said: b"PROXY ".to_vec() },
            http(Http {
                unread: b"PROXY ".to_vec(),
                proxy: Some(Proxy { address: Some("192.0.2.9".to_owned()), is_unannounced: true }),
                ..Http::default()
            }),
        ),
        with(Tls::Open(open()), websocket()),
        with(
            Tls::Open(Open {
                unsent: b"\x17\x03\x03".to_vec(),
                owes_byte: true,
                ciphertext: b"\x00".to_vec(),
                plaintext: b"\x81\x80".to_vec(),
                ..open()
            }),
            Record { outbox: Some(outbox), ..websocket() },
        ),
    ]
}

/// One of each kind.
pub fn records() -> Vec<Record> {
    let filters = vec!["a".to_owned(), "b/*".to_owned()];
    let client = |phase| Record {
        filters: filters.clone(),
        reconnects: Some(MONOTONIC + 3_600_000_000_000),
        ..Record::of(phase)
    };
    let http = |http| Record { expires: Some(MONOTONIC + 5_000_000_000), ..Record::of(Phase::Http(http)) };
    let in_the_midst_of = |unfinished| {
        let compression = Some(Compression { server_max_window_bits: Some(12) });
        client(Phase::WebSocket(WebSocket {
            compression,
            unfinished: Some(unfinished),
            ..WebSocket::default()
        }))
    };
    let text = |payload: &[u8]| Message { is_text: true, is_compressed: false, payload: payload.to_vec() };
    vec![
        http(Http::default()),
        http(Http { unread: b"GET /healthz HTTP/1.1\r\nHo".to_vec(), ..Http::default() }),
        http(Http { served: true, skip: 5, ..Http::default() }),
        Record {
            standing: Some(Standing::Counted),
            address: Some((1 << 32) + 0xc000_0201),
            ..http(Http {
                proxy: Some(Proxy { address: Some("192.0.2.9".to_owned()), is_unannounced: false }),
                ..Http::default()
            })
        },
        client(Phase::WebSocket(WebSocket::default())),
        in_the_midst_of(Unfinished { header: vec![0x81], ..Unfinished::default() }),
        in_the_midst_of(Unfinished {
            frame: Some(OpenFrame { opcode: 0, is_final: true, remaining: 2, mask: [1, 2, 3, 4] }),
            message: Some(text(b"hel")),
            ..Unfinished::default()
        }),
        in_the_midst_of(Unfinished {
            frame: Some(OpenFrame { opcode: 9, is_final: true, remaining: 1, mask: [0; 4] }),
            control: b"pin".to_vec(),
            message: Some(Message { is_compressed: true, payload: vec![0xf2, 0x48, 0xcd], ..text(b"") }),
            ..Unfinished::default()
        }),
        Record {
            expires: Some(MONOTONIC + 20_000_000_000),
            in_flight: 2,
            ..client(Phase::WebSocket(WebSocket {
                pinged: Some(MONOTONIC - 1_000_000_000),
                ahead: 1,
                ..WebSocket::default()
            }))
        },
        Record {
            outbox: Some(Outbox {
                pieces: vec![
                    Piece::Shared { number: 0, skip: 3 },
                    Piece::Own(b"\x81\x03own".to_vec()),
                    Piece::Own(b"\x8a\x00".to_vec()),
                ],
                front_begun: true,
                promised: 1,
                trailing_pongs: 1,
                stalled_since: Some(MONOTONIC - 2_000_000_000),
                slow_since: Some(MONOTONIC - 3_000_000_000),
                slow_bytes: 77,
            }),
            ..client(Phase::WebSocket(WebSocket::default()))
        },
        Record {
            replay: Some(Replay { reached: 0, filters: filters.iter().map(|it| (it.clone(), 0)).collect() }),
            ..client(Phase::WebSocket(WebSocket::default()))
        },
        Record {
            publishes: true,
            pace: Some(Pace {
                full_at: MONOTONIC + 1_000_000_000,
                held_until: Some(MONOTONIC + 100_000_000),
            }),
            unheard: vec![0x81, 0x80, 0, 0, 0, 0],
            member: Some(Member {
                subject: Some("anna".to_owned()),
                expires_unix_ms: Some(4_000_000_000_000),
                subscribe: vec!["a".to_owned()],
                publish: vec!["b/*".to_owned()],
            }),
            ..client(Phase::WebSocket(WebSocket::default()))
        },
        client(Phase::EventStream(EventStream { sent: MONOTONIC - 10_000_000_000, is_chunked: true })),
        Record {
            closes: Some(MONOTONIC + 9_000_000_000),
            reconnects: None,
            is_admin: true,
            reads_until: Some(MONOTONIC + 1_000_000_000),
            ..client(Phase::EventStream(EventStream { sent: MONOTONIC, is_chunked: false }))
        },
    ]
}

/// Clients of which it is known who they are, as the third image has them beside all those.
pub fn named_records() -> Vec<Record> {
    let client = |forwarded: Option<&str>| {
        let forwarded = forwarded.map(str::to_owned);
        let client = Some(Client { epoch: 0xbeef, number: 17, since: 1_764_000_000, forwarded });
        Record { client, ..Record::of(Phase::WebSocket(WebSocket::default())) }
    };
    vec![client(None), client(Some("203.0.113.5"))]
}

/// What stands in the newest fixture.
fn contents() -> Vec<u8> {
    let history = Snapshot { epochs: Epochs::of(0xbeef), newest: 0, publications: vec![], answers: vec![] };
    let mut octets = vec![];
    let mut image = Writer::new(&mut octets, 1).unwrap();
    image.whole(&whole()).unwrap();
    image.history(&history).unwrap();
    image.shared(SHARED).unwrap();
    records()
        .iter()
        .chain(&secured_records())
        .chain(&named_records())
        .for_each(|record| image.connection(record).unwrap());
    image.end().unwrap();
    octets
}

#[test]
fn the_image_that_the_first_version_has_written_is_read_for_ever() {
    is_read(FIRST, records());
    let secured = || records().into_iter().chain(secured_records());
    is_read(SECURED, secured().collect());
    is_read(NAMED, secured().chain(named_records()).collect());
}

#[test]
fn whoever_knows_no_tls_sees_fewer_connections_than_descriptors() {
    let (first, second) = (connections(FIRST), connections(SECURED));
    assert_eq!((first, second), (Ok(records().len()), Ok(records().len() + 4)));
    let mut raw = Reader::new(SECURED).unwrap();
    let kinds = std::iter::from_fn(|| raw.next_raw().ok().filter(|(kind, _)| *kind != 5));
    assert_eq!(kinds.filter(|(kind, _)| *kind == 4).count(), records().len());
}

/// Whether this image has these connections.
fn is_read(image: &[u8], records: Vec<Record>) {
    let mut reader = Reader::new(image).unwrap();
    let entries: Vec<_> = std::iter::from_fn(|| reader.next_entry().unwrap()).collect();
    let [Entry::Whole(said), Entry::Snapshot(history), Entry::Shared(shared), connections @ ..] =
        &entries[..]
    else {
        panic!("{entries:?}")
    };
    assert_eq!((&**said, *shared), (&whole(), SHARED));
    assert_eq!(Snapshot::decode(history).map(|history| history.epochs.plain()), Ok(Some(0xbeef)));
    let records = records.into_iter().map(|record| Entry::Connection(record.into()));
    assert_eq!(connections, records.collect::<Vec<_>>());
}

#[test]
#[ignore = "it writes a file of this repository"]
fn write_the_next_fixture() {
    let mut file = std::fs::File::create_new(NEXT).unwrap();
    file.write_all(&contents()).unwrap();
}
