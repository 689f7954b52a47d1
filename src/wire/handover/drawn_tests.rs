//! Whatever can be said in records and messages, for tests that draw it.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::message::{Commit, Hello, Kind, Listening, Sockets, ToPredecessor, ToSuccessor};
use super::record::{
    Client, Compression, EventStream, Http, Member, Message, OpenFrame, Outbox, Pace, Phase, Piece, Proxy,
    Record, Replay, Standing, Unfinished, WebSocket,
};
use super::secured::{Open, Tls};
use crate::wire::octets::Octets;

fn octets() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..20)
}

/// A topic or a pattern, or hardly ever anything.
fn name() -> impl Strategy<Value = String> {
    let topics = ["a", "b/c", "b/*", "*"].map(str::to_owned);
    prop_oneof![20 => prop::sample::select(topics.to_vec()), 1 => any::<String>()]
}

fn names() -> impl Strategy<Value = Vec<String>> {
    vec(name(), 0..4)
}

fn proxy() -> impl Strategy<Value = Proxy> {
    let address = prop_oneof![Just("192.0.2.1".to_owned()), Just("2001:db8::1".to_owned()), any::<String>()];
    (of(address), any::<bool>()).prop_map(|(address, is_unannounced)| Proxy { address, is_unannounced })
}

fn http() -> impl Strategy<Value = Phase> {
    (any::<(bool, u64, bool)>(), octets(), of(proxy())).prop_map(
        |((served, skip, is_forwarded), unread, proxy)| {
            Phase::Http(Http { served, unread, skip, is_forwarded, proxy })
        },
    )
}

/// What has come of a frame or a message, be it possible or not.
pub fn unfinished() -> impl Strategy<Value = Unfinished> {
    let frame = any::<(u8, bool, u64, [u8; 4])>().prop_map(|(opcode, is_final, remaining, mask)| OpenFrame {
        opcode,
        is_final,
        remaining,
        mask,
    });
    let message = (any::<(bool, bool)>(), octets()).prop_map(|((is_text, is_compressed), payload)| Message {
        is_text,
        is_compressed,
        payload,
    });
    (octets(), of(frame), octets(), of(message)).prop_map(|(header, frame, control, message)| Unfinished {
        header,
        frame,
        control,
        message,
    })
}

fn websocket() -> impl Strategy<Value = Phase> {
    let compression =
        any::<Option<u8>>().prop_map(|server_max_window_bits| Compression { server_max_window_bits });
    (of(compression), of(unfinished()), any::<(Option<i64>, u32)>()).prop_map(
        |(compression, unfinished, (pinged, ahead))| {
            Phase::WebSocket(WebSocket { compression, unfinished, pinged, ahead })
        },
    )
}

fn event_stream() -> impl Strategy<Value = Phase> {
    any::<(i64, bool)>().prop_map(|(sent, is_chunked)| Phase::EventStream(EventStream { sent, is_chunked }))
}

/// Any outbox, be it possible or not.
pub fn outbox() -> impl Strategy<Value = Outbox> {
    let piece = prop_oneof![
        octets().prop_map(Piece::Own),
        any::<(u64, u64)>().prop_map(|(number, skip)| Piece::Shared { number, skip }),
        (0..3_u64, 0..4_u64).prop_map(|(number, skip)| Piece::Shared { number, skip }),
    ];
    (vec(piece, 0..5), any::<(bool, u64, u8, Option<i64>, Option<i64>, u64)>()).prop_map(
        |(pieces, (front_begun, promised, trailing_pongs, stalled_since, slow_since, slow_bytes))| Outbox {
            pieces,
            front_begun,
            promised,
            trailing_pongs,
            stalled_since,
            slow_since,
            slow_bytes,
        },
    )
}

fn member() -> impl Strategy<Value = Member> {
    (any::<(Option<String>, Option<i64>)>(), names(), names()).prop_map(
        |((subject, expires_unix_ms), subscribe, publish)| Member {
            subject,
            expires_unix_ms,
            subscribe,
            publish,
        },
    )
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![Just(Standing::Counted), Just(Standing::Refused), Just(Standing::RefusedRequest)]
}

/// Any session that is open, be it possible or not.
pub fn open() -> impl Strategy<Value = Open> {
    (octets(), octets(), any::<bool>(), octets(), octets()).prop_map(
        |(session, unsent, owes_byte, ciphertext, plaintext)| Open {
            session: Octets::new(&session),
            unsent,
            owes_byte,
            ciphertext,
            plaintext,
        },
    )
}

fn tls() -> impl Strategy<Value = Tls> {
    prop_oneof![
        Just(Tls::Awaited),
        octets().prop_map(|said| Tls::Preamble { said }),
        open().prop_map(Tls::Open),
    ]
}

/// Any record, be it possible or not.
pub fn record() -> impl Strategy<Value = Record> {
    let replay = (prop_oneof![Just(0), any::<u64>()], vec((name(), any::<u64>()), 0..3))
        .prop_map(|(reached, filters)| Replay { reached, filters });
    let pace = any::<(i64, Option<i64>)>().prop_map(|(full_at, held_until)| Pace { full_at, held_until });
    let times = any::<(Option<i64>, u32, Option<i64>, Option<i64>, Option<i64>)>();
    let known = (of(member()), names(), of(replay), octets(), of(pace));
    let counted = (any::<(Option<u64>, bool, bool, bool)>(), of(standing()));
    let client = any::<(u32, u32, u32, Option<String>)>()
        .prop_map(|(epoch, number, since, forwarded)| Client { epoch, number, since, forwarded });
    let phase = (prop_oneof![http(), websocket(), event_stream()], of(tls()), of(client));
    (phase, of(outbox()), times, known, counted).prop_map(
        |(
            (phase, tls, client),
            outbox,
            times,
            (member, filters, replay, unheard, pace),
            (counted, standing),
        )| {
            let (expires, in_flight, reads_until, reconnects, closes) = times;
            let (address, publishes, is_admin, redirects) = counted;
            Record {
                phase,
                expires,
                in_flight,
                reads_until,
                outbox,
                address,
                standing,
                publishes,
                is_admin,
                member,
                filters,
                replay,
                unheard,
                pace,
                reconnects,
                closes,
                redirects,
                tls,
                client,
            }
        },
    )
}

/// Anything that a successor may say.
pub fn to_predecessor() -> impl Strategy<Value = ToPredecessor> {
    let hello = any::<(u32, u32, String, u32, u64)>().prop_map(
        |(oldest_format, newest_format, version, pid, most_descriptors)| {
            ToPredecessor::Hello(Hello { oldest_format, newest_format, version, pid, most_descriptors })
        },
    );
    prop_oneof![
        hello,
        Just(ToPredecessor::Ready),
        any::<u64>().prop_map(|connections| ToPredecessor::Taken { connections }),
        Just(ToPredecessor::Prepared),
        any::<u32>().prop_map(|count| ToPredecessor::Channels { count }),
        any::<String>().prop_map(|why| ToPredecessor::Failed { why }),
    ]
}

/// Anything that a predecessor may say.
pub fn to_successor() -> impl Strategy<Value = ToSuccessor> {
    let kind = prop_oneof![Just(Kind::Public), Just(Kind::Admin), Just(Kind::Handover), Just(Kind::Redirect)];
    let listening = (kind, any::<(bool, bool, u32, Option<Vec<u8>>)>()).prop_map(
        |(kind, (is_shared, owns_file, slot, path))| Listening { kind, is_shared, owns_file, slot, path },
    );
    let sockets = (any::<(u32, String, u32, Option<u32>, bool)>(), vec(listening, 0..4)).prop_map(
        |((format, version, pid, workers, has_more), listening)| {
            ToSuccessor::Sockets(Sockets {
                format,
                version,
                pid,
                listening,
                workers,
                has_more,
                tickets: None,
            })
        },
    );
    prop_oneof![
        any::<String>().prop_map(|why| ToSuccessor::Refused { why }),
        sockets,
        any::<(u64, u64)>().prop_map(|(bytes, connections)| ToSuccessor::Image { bytes, connections }),
        any::<u32>().prop_map(|connections| ToSuccessor::Batch { connections }),
        any::<(i64, u64, Option<String>, Option<u64>)>().prop_map(|(cut_at, stayed, counted, moved)| {
            ToSuccessor::Commit(Commit { cut_at, stayed, counted, moved })
        }),
        any::<Option<String>>().prop_map(|why| ToSuccessor::Abort { why }),
    ]
}
