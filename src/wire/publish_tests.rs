//! How bodies are read in each of their forms, and what is said about those that are none.

use super::*;

const JSON: Option<&str> = Some("application/json; charset=utf-8");
const LINES: Option<&str> = Some("application/x-ndjson");
const CURL: Option<&str> = Some("application/x-www-form-urlencoded");

/// The drafts as `topic=data`, and whether they are a batch.
fn drafts(content_type: Option<&str>, topics: &[&str], body: &str) -> (Vec<String>, bool) {
    let topics: Vec<String> = topics.iter().map(|&topic| topic.to_owned()).collect();
    let drafts = read(content_type, &topics, body.as_bytes(), 262_144).unwrap();
    let told = |draft: &Draft| {
        let topics: Vec<&str> = draft.topics.iter().map(TopicName::as_str).collect();
        format!("{}={}", topics.join(","), draft.data)
    };
    (drafts.list.iter().map(told).collect(), drafts.is_batch)
}

fn error(content_type: Option<&str>, body: &str) -> (u16, String) {
    let error = read(content_type, &[], body.as_bytes(), 262_144).unwrap_err();
    (error.status(), error.to_string())
}

#[test]
fn one_object_is_one_publication_with_its_data_as_it_was_written() {
    let body = r#"{"topic":"orders","data":{"n": 12345678901234567890.10}}"#;
    assert_eq!(drafts(JSON, &[], body), (vec![r#"orders={"n": 12345678901234567890.10}"#.to_owned()], false));
    assert_eq!(drafts(JSON, &[], r#"{"data":null}"#), (vec!["notifications=null".to_owned()], false));
}

#[test]
fn lists_of_topics_arrays_and_lines_are_batches() {
    let two = vec!["a=1".to_owned(), "b=2".to_owned()];
    assert_eq!(drafts(JSON, &[], r#"[{"topic":"a","data":1},{"topic":"b","data":2}]"#), (two.clone(), true));
    assert_eq!(
        drafts(LINES, &[], "{\"topic\":\"a\",\"data\":1}\n\n{\"topic\":\"b\",\"data\":2}\r\n"),
        (two, true)
    );
    assert_eq!(drafts(JSON, &[], r#"{"topics":["a","b"],"data":1}"#), (vec!["a,b=1".to_owned()], true));
    assert_eq!(drafts(JSON, &[], r#"[{"topic":"a","data":1}]"#), (vec!["a=1".to_owned()], true));
}

#[test]
fn a_named_topic_makes_the_body_the_data() {
    assert_eq!(drafts(CURL, &[], "hello"), (vec![r#"notifications="hello""#.to_owned()], false));
    assert_eq!(drafts(None, &["a"], "{\"x\":1}"), (vec![r#"a="{\"x\":1}""#.to_owned()], false));
    assert_eq!(drafts(JSON, &["a"], "[1, 2]"), (vec!["a=[1, 2]".to_owned()], false));
    assert_eq!(drafts(LINES, &["a"], "1\n2"), (vec!["a=1".to_owned(), "a=2".to_owned()], true));
}

#[test]
fn bad_json_is_told_with_its_line_and_column() {
    assert_eq!(error(JSON, "{\n  \"topic\": }"), (400, "expected value at line 2 column 12".to_owned()));
    let second = error(LINES, "{\"data\":1}\n{\"data\":}");
    assert_eq!(second, (400, "expected value at line 2 column 9".to_owned()));
    assert_eq!(error(JSON, r#"{"topic":"a"}"#), (400, "missing field `data` at line 1 column 13".to_owned()));
    let (status, message) = error(JSON, r#"{"topic":"a","date":1}"#);
    assert!(status == 400 && message.starts_with("unknown field `date`"), "{message}");
}

const MANY: &str = "10001 publications in one request, which makes 10000 at most: split it";

#[test]
fn only_an_object_is_read_as_one() {
    for (content_type, body, message) in [
        (JSON, r#"[["a",null,1,null]]"#, "invalid type: sequence, expected an object at line 1 column 1"),
        (
            JSON,
            r#"[{"data":1},[null,null,1]]"#,
            "invalid type: sequence, expected an object at line 1 column 12",
        ),
        (
            LINES,
            "{\"data\":1}\n[null,null,1,null]",
            "invalid type: sequence, expected an object at line 2 column 0",
        ),
        (JSON, "42", "invalid type: integer `42`, expected an object at line 1 column 2"),
        (JSON, r#"{"topic":"a","topic":"a","data":1}"#, "duplicate field `topic` at line 1 column 20"),
        (JSON, r#"[{"data":1,"data":1}]"#, "duplicate field `data` at line 1 column 17"),
        (LINES, r#"{"data":1,"id":"a","id":"b"}"#, "duplicate field `id` at line 1 column 23"),
    ] {
        assert_eq!(error(content_type, body), (400, message.to_owned()));
    }
    let nested = r#"{"data":[{"a":1,"a":1},[]]}"#;
    assert_eq!(drafts(JSON, &[], nested).0, [r#"notifications=[{"a":1,"a":1},[]]"#]);
}

#[test]
fn a_byte_order_mark_in_front_of_json_is_no_part_of_it() {
    let one = vec!["notifications=1".to_owned()];
    assert_eq!(drafts(JSON, &[], "\u{feff}{\"data\":1}"), (one.clone(), false));
    assert_eq!(drafts(JSON, &[], "\u{feff}[{\"data\":1}]"), (one, true));
    assert_eq!(drafts(JSON, &["a"], "\u{feff}\u{feff}1").0, ["a=1"]);
    assert_eq!(drafts(LINES, &["a"], "\u{feff}1\r\n\u{feff}2\n\u{feff}\n").0, ["a=1", "a=2"]);
    assert_eq!(drafts(CURL, &["a"], "\u{feff}1").0, ["a=\"\u{feff}1\""], "text is published as it is");
    for utf16 in [&b"\xff\xfe{\0}\0"[..], b"\xfe\xff\0{\0}", b"\0\0\xfe\xff\0\0\0{"] {
        let error = read(JSON, &[], utf16, 9).unwrap_err().to_string();
        assert_eq!(error, "the body begins with a byte order mark of UTF-16 or UTF-32, and is to be UTF-8");
    }
}

#[test]
fn anything_else_that_is_wrong_is_told() {
    for (content_type, body, status, message) in [
        (
            JSON,
            r#"{"topic":"a b","data":1}"#,
            422,
            "\"a b\" is no topic: a topic is made of letters, digits and . _ - : /",
        ),
        (
            JSON,
            r#"{"topic":"a/*","data":1}"#,
            422,
            "\"a/*\" is no topic: a topic is made of letters, digits and . _ - : /",
        ),
        (JSON, r#"{"topic":"a","topics":["b"],"data":1}"#, 400, "give either topic or topics"),
        (JSON, r#"{"topics":[],"data":1}"#, 400, "topics is empty"),
        (JSON, r#"{"id":"","data":1}"#, 400, "id has 1 to 255 bytes"),
        (JSON, "[]", 400, "there is nothing to publish"),
        (LINES, "\n", 400, "there is nothing to publish"),
        (CURL, "", 400, "there is nothing to publish"),
        (LINES, &"{\"data\":1}\n".repeat(10_001), 413, MANY),
    ] {
        assert_eq!(error(content_type, body), (status, message.to_owned()));
    }
    assert_eq!(read(CURL, &[], b"\xff", 9).unwrap_err().to_string(), "the body is not UTF-8");
}
