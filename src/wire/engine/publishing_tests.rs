//! What is sent to publish, and what its answers mean.

use bytes::Bytes;

use super::*;
use crate::policy::idempotency::Scope;
use crate::wire::publish;
use crate::wire::resp::decoder::{Decoder, Limits};

fn submission(body: &str, key: Option<&str>) -> Submission {
    let drafts = publish::read(Some("application/json"), &[], body.as_bytes(), 1000).unwrap();
    let key = key.map(|name| drafts.key(name.as_bytes(), Scope::OPERATORS));
    Submission { key, scope: Scope::OPERATORS, drafts }
}

/// What is sent, part by part.
fn sent(submission: &Submission) -> (Vec<String>, Sent) {
    let (speaker, mut buffer) = (Speaker::new("n", Fingerprint([0; 16]), 30_000), BytesMut::new());
    let sent = speaker.publish(submission, 7, PublicationId::new(7, 4), 1000, &mut buffer);
    let command = Decoder::new(Limits::default()).next(&mut &buffer[..]).unwrap().unwrap();
    let Reply::Array(parts) = command else { panic!("{command:?}") };
    (parts.iter().map(|part| text_of(part).unwrap().to_owned()).collect(), sent)
}

fn reply(octets: &str) -> Reply {
    Decoder::new(Limits::default()).next(&mut octets.as_bytes()).unwrap().unwrap()
}

fn ids(reply: &Reply, sent: Sent) -> Vec<String> {
    outcome(reply, sent)
        .unwrap()
        .unwrap()
        .ids()
        .map(|id| format!("{}-{}", id.epoch(), id.position()))
        .collect()
}

#[test]
fn one_publication_without_a_key_is_one_entry() {
    let (parts, sent) = sent(&submission(r#"{"topic":"a","data":{"x": 1}}"#, None));
    let id = "7-*";
    assert_eq!(
        parts,
        [
            "XADD",
            "{n}:stream",
            "NOMKSTREAM",
            "MAXLEN",
            "~",
            "30000",
            id,
            "t",
            "a",
            "d",
            r#"{"x": 1}"#,
            "at",
            "1000"
        ]
    );
    assert_eq!(ids(&Reply::Bulk(Bytes::from_static(b"7-5")), sent), ["7-5"]);
}

#[test]
fn several_publications_are_one_script_and_a_key_that_is_given_twice_is_one() {
    let object = r#"{"topic":"a","data":1,"id":"k"}"#;
    let (parts, sent) =
        sent(&submission(&format!("[{object},{object},{{\"topic\":\"b\",\"data\":2}}]"), Some("r")));
    assert_eq!(parts[2], "3");
    let arguments = &parts[6..];
    assert_eq!(arguments[..4], ["7", "30000", "1000", "300000"]);
    assert_eq!(arguments[5], "4");
    let keys: Vec<&str> = arguments[6..].chunks(4).map(|publication| publication[2].as_str()).collect();
    assert_eq!(keys, ["3", "3", ""]);
    let answer = reply("*2\r\n$3\r\nids\r\n$11\r\n7-5+2 6-9+1\r\n");
    assert_eq!(ids(&answer, sent), ["7-5", "7-6", "6-9"]);
}

#[test]
fn a_conflict_names_what_it_is_about() {
    let objects = r#"[{"topic":"a","data":1},{"topics":["b","c"],"data":2,"id":"k"}]"#;
    let told = |number: &str| {
        let (_, sent) = sent(&submission(objects, None));
        outcome(&reply(&format!("*2\r\n$8\r\nconflict\r\n:{number}\r\n")), sent)
    };
    assert_eq!(told("0"), Ok(Err(Unpublished::OtherRequest)));
    let topic = TopicName::parse("c").unwrap();
    assert_eq!(told("3"), Ok(Err(Unpublished::OtherData { id: "k".into(), topic })));
    assert!(matches!(told("4"), Err(Fault::Garbled(_))) && matches!(told("-1"), Err(Fault::Garbled(_))));
}

#[test]
fn errors_are_the_publishers_or_say_that_this_is_no_engine_any_longer() {
    let told = |octets: &str| outcome(&reply(octets), sent(&submission(r#"{"topic":"a","data":1}"#, None)).1);
    assert!(matches!(told("-OOM command not allowed\r\n"), Ok(Err(Unpublished::EngineRefused(_)))));
    let lower = "-ERR The ID specified in XADD is equal or smaller than the target stream top item\r\n";
    for (octets, fault) in [
        ("_\r\n", Fault::Gone),
        ("*1\r\n$4\r\ngone\r\n", Fault::Gone),
        ("-READONLY You can't write against a read only replica.\r\n", Fault::Replica),
        ("-MOVED 9668 10.0.0.1:7001\r\n", Fault::Moved("10.0.0.1".into(), 7001)),
        (lower, Fault::Superseded),
    ] {
        assert_eq!(told(octets), Err(fault), "{octets}");
    }
    for octets in [
        "*2\r\n$3\r\nids\r\n$3\r\n7-1\r\n",
        "*0\r\n",
        ":1\r\n",
        "*2\r\n$3\r\nids\r\n$13\r\n7-1+999999999\r\n",
    ] {
        assert!(matches!(told(octets), Err(Fault::Garbled(_))), "{octets}");
    }
}

#[test]
fn what_is_published_is_behind_all_that_was_heard_and_only_a_retry_is_not() {
    let told = |octets: &str| outcome(&reply(octets), sent(&submission(r#"{"topic":"a","data":1}"#, None)).1);
    let set_back = Err(Fault::SetBack(PublicationId::new(7, 4)));
    assert_eq!(told("$3\r\n7-4\r\n"), set_back);
    assert_eq!(told("*1\r\n$8\r\nset back\r\n"), set_back);
    assert!(matches!(told("$3\r\n7-5\r\n"), Ok(Ok(_))));
    assert!(matches!(told("*2\r\n$3\r\nids\r\n$5\r\n7-4+1\r\n"), Ok(Ok(_))));
}
