//! An image of the first format, with each kind of connection, as the first version has written it: every later version of this
//! format has to read it for ever.
//!
//! When fields are added, this one stays as it is. Add them to `contents`, write the next one by
//! `cargo test --lib write_the_next_fixture -- --ignored` (it is not overwritten: choose the next name in `NEXT`), and read it in
//! the tests as well.

use super::image::Whole;
use super::record::{
    Compression, EventStream, Http, Member, Message, OpenFrame, Outbox, Pace, Phase, Piece, Proxy, Record,
    Replay, Standing, Unfinished, WebSocket,
};

/// The octets of the first.
pub const FIRST: &[u8] = include_bytes!("../../../tests/fixtures/handover-1-first.image");

/// Where the next one is written.
pub const NEXT: &str = "tests/fixtures/handover-1-first.image";

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
