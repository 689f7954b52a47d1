//! Bodies to be published: what is accepted is within the limits, and means the same wherever it is written again: as
//! JSON, to the supervisor, and in what clients hear and a successor believes.
#![no_main]

use bytes::BytesMut;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;
use slackwater::policy::epochs::Epochs;
use slackwater::policy::fingerprint::Fingerprint;
use slackwater::policy::idempotency::{MAX_KEY_BYTES, Scope};
use slackwater::policy::sequencer::PublicationId;
use slackwater::policy::topic::TopicName;
use slackwater::wire::link::{self, ToSupervisor};
use slackwater::wire::messages::ServerMessage;
use slackwater::wire::publish::{self, Draft, Drafts, MAX_PUBLICATIONS, Place, PublishError, Submission};
use slackwater::wire::snapshot::{Kept, Snapshot};
use slackwater_fuzz::within;

const JSON: &str = "application/json";

/// No input is as long.
const MAX_BODY_BYTES: usize = 1 << 20;

/// So many of a request's publications are looked at.
const MAX_MESSAGES: usize = 100;

/// What one request's publications come to at most.
const MAX_BYTES: usize = 16 << 20;

// The media type on the first line, the named topics on the second, then the body.
fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(3, |octet| *octet == b'\n');
    let mut head = || str::from_utf8(lines.next()?).ok();
    let (Some(media_type), Some(topics)) = (head(), head()) else { return };
    let Some(body) = lines.next() else { return };
    let topics: Vec<TopicName> = topics.split(' ').filter_map(|name| TopicName::parse(name).ok()).collect();
    let read = || publish::read(Some(media_type), &topics, body, MAX_BODY_BYTES);
    match within((1 << 20) + 256 * input.len(), read) {
        Ok(drafts) => {
            check(&drafts);
            if topics.is_empty() && media_type == JSON {
                check_objects(body);
            }
            check_messages(&drafts);
            let key = |drafts: &Drafts| drafts.key(b"", Scope::OPERATORS);
            let first = key(&drafts);
            assert_eq!(key(&written_as_json(&drafts)), first);
            assert_eq!(key(&sent_by_a_worker(drafts)), first);
        }
        Err(why) => check_error(&why, body),
    }
});

fn check(drafts: &Drafts) {
    let (mut publications, mut bytes) = (0, 0);
    for Draft { topics, data, key } in &drafts.list {
        publications += topics.len();
        bytes += topics.iter().map(|topic| topic.as_str().len() + data.get().len()).sum::<usize>();
        assert!(serde_json::from_str::<IgnoredAny>(data.get()).is_ok());
        assert!(topics.iter().all(|topic| TopicName::parse(topic.as_str()).as_ref() == Ok(topic)));
        if let Some(key) = key {
            assert!((1..=MAX_KEY_BYTES).contains(&key.id.len()));
            assert_eq!(key.payload, Fingerprint::of([data.get().as_bytes()]));
        }
    }
    assert!((1..=MAX_PUBLICATIONS).contains(&publications) && bytes <= MAX_BYTES);
    assert!(drafts.is_batch || publications == 1);
}

/// No array is taken for an object, as far as a second opinion goes: it takes no deep nesting and no huge number.
fn check_objects(body: &[u8]) {
    let text = str::from_utf8(body).expect("only UTF-8 is accepted").trim_start_matches('\u{feff}');
    match serde_json::from_str(text) {
        Ok(Value::Array(list)) => assert!(list.iter().all(Value::is_object)),
        Ok(value) => assert!(value.is_object()),
        Err(_) => {}
    }
}

/// Clients and a successor take each message for what it is.
fn check_messages(drafts: &Drafts) {
    let (epoch, timestamp) = (7, Timestamp::UNIX_EPOCH);
    let publications =
        drafts.list.iter().flat_map(|draft| draft.topics.iter().map(|topic| (topic, &draft.data)));
    let publications = publications.take(MAX_MESSAGES).zip(1..).map(|((topic, data), position)| {
        let id = PublicationId::new(epoch, position);
        let message = ServerMessage::Data { id, topic: topic.as_str(), data, timestamp }.to_message(id);
        Kept { topic: topic.clone(), message, at_unix_ms: 0 }
    });
    let publications: Vec<Kept> = publications.collect();
    let newest = publications.len() as u64;
    let snapshot = Snapshot { epochs: Epochs::of(epoch), newest, publications, answers: vec![] };
    assert_eq!(Snapshot::decode(&snapshot.encode()), Ok(snapshot));
}

fn written_as_json(drafts: &Drafts) -> Drafts {
    #[derive(Serialize)]
    struct Object<'a> {
        topics: &'a [TopicName],
        data: &'a RawValue,
        id: Option<&'a str>,
    }
    let object = |Draft { topics, data, key }: &Draft| {
        let id = key.as_ref().map(|key| &*key.id);
        serde_json::to_string(&Object { topics, data, id }).expect("it is JSON")
    };
    let objects = drafts.list.iter().map(object).collect::<Vec<_>>().join(",");
    let body = if drafts.is_batch { format!("[{objects}]") } else { objects };
    let again = publish::read(Some(JSON), &[], body.as_bytes(), MAX_BODY_BYTES);
    again.expect("what was accepted in one form is in the other")
}

fn sent_by_a_worker(drafts: Drafts) -> Drafts {
    let mut octets = BytesMut::new();
    link::encode(
        &ToSupervisor::Publish(Submission { key: None, scope: Scope::OPERATORS, drafts }),
        &mut octets,
    );
    match link::next(&mut &octets[..]) {
        Ok(Some(ToSupervisor::Publish(submission))) => submission.drafts,
        other => panic!("not heard: {other:?}"),
    }
}

fn check_error(why: &PublishError, body: &[u8]) {
    assert!(matches!(why.status(), 400 | 413 | 415 | 422));
    let told = why.to_string();
    assert!((1..1000).contains(&told.len()) && !told.contains(char::is_control), "{told}");
    if let PublishError::Json { place: Place::At { line, octet }, .. } = why {
        let lines: Vec<&[u8]> = body.split(|octet| *octet == b'\n').collect();
        assert!((1..=lines.len()).contains(line) && (1..=lines[line - 1].len() + 1).contains(octet));
    }
}
