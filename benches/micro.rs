//! The parts by themselves, through the library's public interface and without a socket: what a change to one of them
//! is worth before the kernel hides it. `cargo bench --bench micro`; a name behind `--` picks some. What the figures
//! mean: `benches/README.md`.

mod common;

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::floor::publications;
use common::notifications::Notifications;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use slackwater::frame::{Frame, Kind};
use slackwater::http::keys::VerifyingKeys;
use slackwater::http::token::Verifier;
use slackwater::message::Message;
use slackwater::policy::history::{History, HistoryLimits, Publication};
use slackwater::policy::hub::Hub;
use slackwater::policy::replay::Replay;
use slackwater::policy::topic::{Filter, TopicName};
use slackwater::wire::deflate::{Compressor, Inflater};
use slackwater::wire::messages::DEFAULT_TOPIC;
use slackwater::wire::outbox::Outbox;
use slackwater::wire::publish;
use slackwater::wire::request_buffer::{BodyWish, Next, RequestBuffer};
use slackwater::wire::websocket::{Event, Rules, Session};

/// What a browser asks with.
const UPGRADE: &[u8] = b"GET /ws?topic=orders.*&last_event_id=3f2a9c1b-41 HTTP/1.1\r\n\
    Host: notifications.example:8000\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Origin: https://notifications.example\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

const RULES: Rules = Rules { max_message_bytes: 65_536, binary: false };

/// Room for one turn's frames, whatever they are.
const OUTBOX_LIMIT: usize = 64 * 1024 * 1024;

criterion_group! {
    name = parts;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = frame_encoding, session_decoding, upgrade_parsing, hub_publish, history_replay, outbox_flush, message_encodings, compressing, inflating, body_reading, token_verification
}
criterion_main!(parts);

fn frame_encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame encoding");
    for length in [128, 2048, 65_536] {
        let payload = Bytes::from(vec![b'x'; length]);
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_with_input(BenchmarkId::from_parameter(length), &payload, |bencher, payload| {
            bencher.iter(|| Frame::text(payload.clone()));
        });
    }
}

fn session_decoding(criterion: &mut Criterion) {
    let small = masked(0x81, &[b'x'; 32]);
    let fragments =
        [masked(0x01, &[b'x'; 64]), masked(0x00, &[b'x'; 64]).repeat(14), masked(0x80, &[b'x'; 64])];
    let large = masked(0x81, &[b'x'; 65_536]);
    let mut group = criterion.benchmark_group("session decoding");
    for (name, input, pieces) in [
        ("small, 32 B", &small, usize::MAX),
        ("fragmented, 16 of 64 B", &fragments.concat(), usize::MAX),
        ("byte by byte, 32 B", &small, 1),
        ("64 KiB in reads of 16 KiB", &large, 16 * 1024),
    ] {
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(name, |bencher| {
            let (mut session, mut outbox) = (Session::default(), Outbox::default());
            bencher.iter(|| hear(&mut session, &mut outbox, black_box(input), pieces));
        });
    }
}

/// Hands one message over in pieces of this length.
fn hear(session: &mut Session, outbox: &mut Outbox, input: &[u8], pieces: usize) -> Event {
    let mut heard = None;
    for mut piece in input.chunks(pieces.min(input.len())) {
        while let Some(event) = session.next(&mut piece, &RULES, &mut Inflater::default(), outbox) {
            heard = Some(event);
        }
    }
    heard.expect("a whole message was handed over")
}

fn upgrade_parsing(criterion: &mut Criterion) {
    criterion
        .benchmark_group("upgrade parsing")
        .throughput(Throughput::Bytes(UPGRADE.len() as u64))
        .bench_function("a browser's request", |bencher| {
            bencher.iter(|| {
                let mut buffer = RequestBuffer::default();
                buffer.extend(black_box(UPGRADE));
                let Ok(Next::Request(request)) = buffer.next(|_| BodyWish::Skip) else {
                    unreachable!("the request is whole and well-formed")
                };
                request
            });
        });
}

fn hub_publish(criterion: &mut Criterion) {
    let topic = TopicName::parse(DEFAULT_TOPIC).expect("the default is a topic");
    let filter = Filter::parse(DEFAULT_TOPIC).expect("the default is a filter");
    let message = Message::new(&[b'x'; 128], 1);
    let mut group = criterion.benchmark_group("hub publish");
    for count in [1, 1_000, 100_000] {
        let mut hub = Hub::new(0);
        for key in 0..count {
            hub.subscribe(key, &filter).expect("one subscription is allowed");
        }
        group.throughput(Throughput::Elements(count.into()));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| publish(&mut hub, &topic, &message));
        });
    }
}

/// One publication, handed to every subscriber.
fn publish(hub: &mut Hub, topic: &TopicName, message: &Message) {
    hub.publish(topic, message);
    while let Some(key) = hub.next_subscriber() {
        black_box(hub.pending_for(key));
    }
}

fn history_replay(criterion: &mut Criterion) {
    const PUBLICATIONS: usize = 10_000;
    let topic = TopicName::parse(DEFAULT_TOPIC).expect("the default is a topic");
    let filter = Filter::parse(DEFAULT_TOPIC).expect("the default is a filter");
    let limits =
        HistoryLimits { publications: PUBLICATIONS, bytes: usize::MAX, age: Duration::from_secs(300) };
    let mut history = History::new(limits, 0);
    let (message, at) = (Message::new(&[b'x'; 128], 1), Instant::now());
    for _ in 0..PUBLICATIONS {
        history.push(Publication { topic: topic.clone(), message: message.clone(), at });
    }
    let mut group = criterion.benchmark_group("history replay");
    group.throughput(Throughput::Elements(PUBLICATIONS as u64));
    group.bench_function("10,000 in pieces of 64 KiB", |bencher| {
        bencher.iter(|| {
            let mut replay = Replay::new(0, vec![(filter.clone(), 0)], &mut history);
            while replay.reached() < PUBLICATIONS as u64 {
                black_box(replay.next_piece(&mut history, 64 * 1024)).expect("nothing is forgotten");
            }
        });
    });
}

fn outbox_flush(criterion: &mut Criterion) {
    let frame = Frame::text("x".repeat(128));
    let now = Instant::now();
    let mut group = criterion.benchmark_group("outbox flush");
    for frames in [1, 100] {
        group.throughput(Throughput::Elements(frames));
        group.bench_function(BenchmarkId::from_parameter(frames), |bencher| {
            bencher.iter_batched_ref(
                || {
                    let mut outbox = Outbox::default();
                    for _ in 0..frames {
                        outbox.push(frame.clone().into_bytes(), OUTBOX_LIMIT).expect("there is room");
                    }
                    outbox
                },
                |outbox| outbox.flush_to(&mut io::sink(), now).expect("a sink takes everything"),
                BatchSize::SmallInput,
            );
        });
    }
}

/// Nothing of it is derived from a message before.
fn message_encodings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("message encodings");
    for (size, texts) in texts() {
        let json = &texts[0];
        // Only JSON outside of strings may have line breaks.
        let in_lines = json.replace(r#","data":"#, ",\n\"data\":");
        group.throughput(Throughput::Bytes(json.len() as u64));
        group.bench_function(BenchmarkId::new("making", size), |bencher| {
            bencher.iter(|| Message::new(black_box(json.as_bytes()), 1));
        });
        let message = Message::new(json.as_bytes(), 1);
        group.bench_function(BenchmarkId::new("frame", size), |bencher| bencher.iter(|| message.frame()));
        group.bench_function(BenchmarkId::new("event", size), |bencher| {
            bencher.iter(|| message.event_chunk());
        });
        group.bench_function(BenchmarkId::new("event of two lines", size), |bencher| {
            bencher.iter_batched(
                || Message::new(in_lines.as_bytes(), 1),
                |message| message.event_chunk(),
                BatchSize::SmallInput,
            );
        });
    }
}

fn compressing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compressing");
    for (size, texts) in texts() {
        let (mut compressor, mut texts) = (Compressor::default(), texts.iter().cycle());
        group.bench_function(size, |bencher| {
            bencher.iter(|| compressor.compress(Kind::Text, texts.next().expect("they go round").as_bytes()));
        });
    }
}

fn inflating(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inflating");
    for (size, texts) in texts() {
        let mut compressor = Compressor::default();
        let frames = texts.iter().filter_map(|text| compressor.compress(Kind::Text, text.as_bytes()));
        let payloads: Vec<Bytes> = frames.map(|frame| payload(&frame.into_bytes())).collect();
        if payloads.is_empty() {
            continue;
        }
        let (mut inflater, mut payloads) = (Inflater::default(), payloads.iter().cycle());
        group.bench_function(size, |bencher| {
            bencher.iter(|| {
                let payload = payloads.next().expect("they go round");
                inflater.inflate(payload, RULES.max_message_bytes).expect("it was compressed")
            });
        });
    }
}

/// What clients are sent of realistic publications, by their size.
fn texts() -> impl Iterator<Item = (&'static str, Vec<String>)> {
    Notifications::all().into_iter().map(|notifications| {
        let frames = notifications.values.iter().map(|value| publications(value, 10, 1).remove(0));
        let texts = frames.map(|frame| String::from_utf8(payload(&frame).into()).expect("JSON is text"));
        (notifications.name, texts.collect())
    })
}

/// What is in a frame of at most 65,535 bytes (RFC 6455 §5.2).
fn payload(frame: &Bytes) -> Bytes {
    frame.slice(if frame[1] < 126 { 2 } else { 4 }..)
}

fn body_reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("body reading");
    for count in [100, publish::MAX_PUBLICATIONS] {
        let line = |n| {
            format!(
                "{{\"topic\":\"orders/{n}\",\"data\":{{\"n\":{n},\"text\":\"something that happened\"}}}}"
            )
        };
        let lines: Vec<String> = (0..count).map(line).collect();
        let kinds = [
            ("lines", "application/x-ndjson", lines.join("\n")),
            ("list", "application/json", format!("[{}]", lines.join(","))),
        ];
        group.throughput(Throughput::Elements(count as u64));
        for (name, content_type, body) in kinds {
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher
                    .iter(|| publish::read(Some(content_type), &[], black_box(body.as_bytes()), body.len()));
            });
        }
    }
}

fn token_verification(criterion: &mut Criterion) {
    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    let public = |pem| VerifyingKeys::read(pem).expect("it is a public key");
    let now = Timestamp::from_second(1_767_225_600).expect("a moment of 2026");
    let claims = json!({
        "sub": "user-4711", "iat": now.as_second(), "exp": now.as_second() + 3600,
        "slackwater": {"subscribe": ["notifications", "users/4711/*"], "publish": ["chat/4711"]},
    });
    let mut group = criterion.benchmark_group("token verification");
    for (algorithm, private, keys) in [
        (Algorithm::HS256, Ok(EncodingKey::from_secret(SECRET)), VerifyingKeys::of_secret(SECRET)),
        (
            Algorithm::RS256,
            EncodingKey::from_rsa_pem(include_bytes!("../tests/keys/rsa.pem")),
            public(include_str!("../tests/keys/rsa.pub.pem")),
        ),
        (
            Algorithm::ES256,
            EncodingKey::from_ec_pem(include_bytes!("../tests/keys/ec.pem")),
            public(include_str!("../tests/keys/ec.pub.pem")),
        ),
        (
            Algorithm::EdDSA,
            EncodingKey::from_ed_pem(include_bytes!("../tests/keys/ed.pem")),
            public(include_str!("../tests/keys/ed.pub.pem")),
        ),
    ] {
        let private = private.expect("it is a private key");
        let token = encode(&Header::new(algorithm), &claims, &private).expect("claims can be signed");
        let verifier = Verifier::new(keys, None, None);
        group.bench_function(format!("{algorithm:?}"), |bencher| {
            bencher.iter(|| {
                verifier.verify(black_box(token.as_bytes()), now).expect("the token is as it should be")
            });
        });
    }
}

/// A client's frame (RFC 6455 §5.2). `first` holds FIN and the opcode.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x1d, 0xe2, 0x53, 0xa4];
    let mut octets = vec![first];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..126), _) => octets.push(0x80 | short),
        (_, Ok(length)) => {
            octets.push(0x80 | 126);
            octets.extend(length.to_be_bytes());
        }
        _ => {
            octets.push(0x80 | 127);
            octets.extend((payload.len() as u64).to_be_bytes());
        }
    }
    octets.extend(MASK);
    octets.extend(payload.iter().zip(MASK.iter().cycle()).map(|(octet, mask)| octet ^ mask));
    octets
}
