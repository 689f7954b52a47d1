//! Entries as a stream has them, those of machines and others.

use bytes::Bytes;

use super::*;

fn bulk(text: &str) -> Reply {
    Reply::Bulk(Bytes::copy_from_slice(text.as_bytes()))
}

/// What is read of an entry with these fields.
fn content(id: &str, fields: &[&str]) -> Content {
    let fields = Reply::Array(fields.iter().map(|field| bulk(field)).collect());
    let page = page(Reply::Array(vec![Reply::Array(vec![bulk(id), fields])])).unwrap();
    page.into_iter().next().unwrap().content
}

#[test]
fn what_machines_write_is_read() {
    let data = content("7-1", &["t", "a/b", "d", "{\"x\": 1}", "at", "1000"]);
    assert!(matches!(data, Content::Data { topic, data, at_unix_ms: 1000 }
        if topic.as_str() == "a/b" && data.get() == "{\"x\": 1}"));
    let periodic = content("7-2", &["n", "3", "c", "40", "at", "1000"]);
    assert!(matches!(periodic, Content::Periodic { number: 3, clients: 40, .. }));
    let begin = content("8-0", &["begin", "abc", "after", "7-2", "lost", ""]);
    let precedes = PublicationId::new(7, 2);
    assert!(matches!(begin, Content::Begin { after: Some(id), is_lossy: false } if id == precedes));
    let lossy = content("8-0", &["begin", "abc", "after", "7-2", "lost", "7-4"]);
    assert!(matches!(lossy, Content::Begin { after: Some(id), is_lossy: true } if id == precedes));
    let first = content("8-0", &["begin", "", "after", "", "lost", ""]);
    assert!(matches!(first, Content::Begin { after: None, is_lossy: false }));
}

#[test]
fn what_no_machine_writes_is_alien() {
    for (id, fields) in [
        ("7-1", &["a", "b"][..]),
        ("7-1", &[]),
        ("7-1", &["t", "a", "d", "no json", "at", "1"]),
        ("7-1", &["t", "*", "d", "1", "at", "1"]),
        ("7-1", &["t", "a", "d", "1 2", "at", "1"]),
        ("7-0", &["t", "a", "d", "1", "at", "1"]),
        ("7-1", &["begin", "", "after", "", "lost", ""]),
        ("7-1", &["n", "-1", "c", "1", "at", "1"]),
    ] {
        assert!(matches!(content(id, fields), Content::Alien), "{id} {fields:?}");
    }
}

#[test]
fn an_id_that_no_machine_gives_is_refused_with_a_word_on_the_key() {
    let fault =
        |id: &str| page(Reply::Array(vec![Reply::Array(vec![bulk(id), Reply::Array(vec![])])])).unwrap_err();
    for id in ["1732665600000-0", "7-9007199254740993"] {
        assert_eq!(fault(id), Fault::Foreign(id.to_owned()));
        assert!(fault(id).to_string().contains("--engine-name"), "{}", fault(id));
    }
    for id in ["7", "", "7-99999999999999999999", "-1-1"] {
        assert!(matches!(fault(id), Fault::Garbled(_)), "{id}");
    }
}

#[test]
fn nothing_and_one_stream_are_answers_to_a_reading() {
    assert!(news(Reply::Null).unwrap().is_empty());
    let stream = |key: &str| (bulk(key), Reply::Array(vec![]));
    assert!(news(Reply::Map(vec![stream("s")])).unwrap().is_empty());
    assert!(news(Reply::Map(vec![])).is_err() && news(Reply::Array(vec![])).is_err());
}
