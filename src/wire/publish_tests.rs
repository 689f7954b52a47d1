//! How bodies are read in each of their forms, and what is said about those that are none.

use super::fault::EXAMPLE;
use super::*;

const JSON: Option<&str> = Some("application/json; charset=utf-8");
const LINES: Option<&str> = Some("application/x-ndjson");
const CURL: Option<&str> = Some("application/x-www-form-urlencoded");

/// The drafts as `topic=data`, and whether they are a batch.
fn drafts(content_type: Option<&str>, topics: &[&str], body: &str) -> (Vec<String>, bool) {
    let topics: Vec<TopicName> = topics.iter().map(|name| TopicName::parse(name).unwrap()).collect();
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

const WRITTEN: &str = r#"; JSON is expected, and a publication is written like this: {"topic":"orders/7","data":{"state":"paid"}}"#;

#[test]
fn what_is_no_json_is_told_where_it_is_and_what_may_have_been_meant() {
    for (content_type, body, why) in [
        (JSON, "{\n  \"topic\": }", "line 2, octet 12: no '}' is expected here"),
        (LINES, "{\"data\":1}\r\n{\"data\":}", "line 2, octet 9: no '}' is expected here"),
        (
            LINES,
            "\u{feff}{\"data\":1}\n\u{feff}{'data':1}",
            "line 2, octet 5: '\\'' is no quotation mark of JSON",
        ),
        (
            JSON,
            "{topic:1}",
            "line 1, octet 2: names and strings stand in quotation marks, and \"topic\" is none of",
        ),
        (
            JSON,
            "{\"data\":True}",
            "line 1, octet 9: names and strings stand in quotation marks, and \"True\"",
        ),
        (JSON, "hello", "line 1, octet 1: names and strings stand in quotation marks, and \"hello\""),
        (JSON, "{\"data\":1,}", "line 1, octet 11: nothing follows the last comma"),
        (JSON, "[{\"data\":1},\n]", "line 2, octet 1: nothing follows the last comma"),
        (
            JSON,
            "{\"data\":\"a\nb\"}",
            "line 1, octet 11: a line break, or another character that cannot be seen",
        ),
        (JSON, r#"{"data":"\x"}"#, "line 1, octet 11: in a string, no 'x' follows a backslash"),
        (JSON, "{\"data\":1}\n{\"data\":2}", "line 2, octet 1: the JSON has ended before this: several"),
        (JSON, "{\"data\":1};", "line 1, octet 11: the JSON has ended before this ';'"),
        (JSON, r#"{"topic":"a","data":"#, "line 1, octet 20: the JSON ends too early"),
        (JSON, r#"{"topic":"ä"#, "line 1, octet 11: the JSON ends too early"),
        (JSON, "", "line 1, octet 1: there is nothing here"),
    ] {
        let (status, told) = error(content_type, body);
        assert!(status == 400 && told.starts_with(why) && told.ends_with(WRITTEN), "{body}: {told}");
    }
    let data = read(JSON, &[TopicName::parse("a").unwrap()], b"{a}", 99).unwrap_err().to_string();
    assert!(data.ends_with(r#"and data is written like this: {"state":"paid"}"#), "{data}");
}

#[test]
fn whatever_is_sent_nobody_is_told_in_the_words_of_the_parser_nor_at_length() {
    let values = [
        "null",
        "true",
        "0",
        "-",
        "1e999",
        "\"\\ud800\"",
        "[",
        "[]",
        "{",
        "{}",
        "'",
        "\u{1}",
        "\u{feff}",
        "]",
        ",",
        ":",
        "nul",
        "\"",
    ];
    let long = "x".repeat(100_000);
    let long = format!("\"{long}\"");
    let deep = "[".repeat(100_000);
    let values = || values.into_iter().chain([long.as_str(), &deep]);
    let mut bodies: Vec<String> = values().map(str::to_owned).collect();
    for value in values() {
        for name in ["topic", "topics", "data", "id", "else"] {
            let object = format!("{{\"{name}\":{value},\"data\":1}}");
            bodies.extend([
                format!("[{object}]"),
                format!("{object}\n{object}"),
                format!("{value}{object}"),
                object,
            ]);
        }
        bodies.push(format!("{{{value}:1}}"));
        bodies.push(format!("{{\"topics\":[{value}],\"data\":1}}"));
    }
    let phrases = [
        "expected value",
        "expected ident",
        "expected `",
        "trailing",
        "missing field",
        "unknown field",
        "duplicate field",
        "invalid type",
        "invalid value",
        "invalid escape",
        "invalid number",
        "EOF",
        "at line ",
        "column",
        "control character (",
        "recursion",
        "key must be",
        "surrogate",
        "`",
    ];
    for body in &bodies {
        for (content_type, topics) in [(JSON, vec![]), (LINES, vec![]), (JSON, vec!["a"]), (CURL, vec![])] {
            let topics: Vec<TopicName> =
                topics.into_iter().map(|name| TopicName::parse(name).unwrap()).collect();
            let Err(why) = read(content_type, &topics, body.as_bytes(), 1 << 20) else { continue };
            let told = why.to_string();
            assert!(told.len() < 500 && !told.contains(char::is_control), "{told}");
            let phrase = phrases.iter().find(|phrase| told.contains(**phrase));
            assert_eq!(phrase, None, "{body:.60}: {told}");
        }
    }
    assert!(bodies.len() > 400);
}

#[test]
fn json_that_is_sent_as_a_form_is_refused_with_the_line_to_use() {
    for body in [r#"{"topic":"a","data":1}"#, "[1]", "\n {", "\u{feff}[", "{not json"] {
        let (status, why) = error(CURL, body);
        assert!(
            status == 415
                && why.contains(r#"curl --json '{"topic":"orders/7","data":{"state":"paid"}}' URL"#),
            "{why}"
        );
    }
    let why = read(CURL, &[TopicName::parse("a").unwrap()], b"{}", 99).unwrap_err().to_string();
    assert!(why.contains(r#"curl --json '{"state":"paid"}' URL"#), "{why}");
    for content_type in [None, Some("text/plain")] {
        assert_eq!(drafts(content_type, &[], "{\"a\":1}").0, [r#"notifications="{\"a\":1}""#]);
    }
    assert_eq!(drafts(CURL, &[], "a={}&b=[]").0, [r#"notifications="a={}&b=[]""#]);
}

const MANY: &str = "10001 publications in one request, which makes 10000 at most: split it";

#[test]
fn only_an_object_is_read_as_one() {
    let other =
        |kind: &str| format!("{kind} stands where a publication is expected, which is written {EXAMPLE}");
    for (content_type, body, message) in [
        (JSON, r#"[["a",null,1,null]]"#, format!("publication 1 of the list: {}", other("a list"))),
        (JSON, r#"[{"data":1},[null,null,1]]"#, format!("publication 2 of the list: {}", other("a list"))),
        (LINES, "{\"data\":1}\n[null,null,1,null]", format!("line 2, octet 1: {}", other("a list"))),
        (JSON, " 42", format!("line 1, octet 1: {}", other("a number"))),
        (
            JSON,
            r#"{"topic":"a","topic":"a","data":1}"#,
            "line 1, octet 22: the field \"topic\" is given twice".to_owned(),
        ),
        (JSON, r#"[{"data":1,"data":1}]"#, "line 1, octet 19: the field \"data\" is given twice".to_owned()),
        (
            LINES,
            r#"{"data":1,"id":"a","id":"b"}"#,
            "line 1, octet 25: the field \"id\" is given twice".to_owned(),
        ),
    ] {
        assert_eq!(error(content_type, body), (400, message));
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
    let topic = "is no topic: a topic is made of letters, digits and . _ - : /, as orders/7";
    let topics = r#"the field "topics" is to be a list of one string or more, as ["orders/7","news"]"#;
    let id = r#"the field "id" is to be a string of 1 to 255 bytes, as "order-7-paid""#;
    for (content_type, body, status, message) in [
        (JSON, r#"{"topic":"a b","data":1}"#, 422, format!(r#"line 1, octet 10: "a b" {topic}"#)),
        (JSON, r#"{"topics":["a","a/*"],"data":1}"#, 422, format!(r#"line 1, octet 11: "a/*" {topic}"#)),
        (JSON, r#"{"topic":7,"data":1}"#, 400, r#"line 1, octet 10: the field "topic" is to be a string, as "orders/7""#.to_owned()),
        (JSON, r#"{"topic":"a","topics":["b"],"data":1}"#, 400, r#"line 1, octet 10: give either "topic" or "topics", not both"#.to_owned()),
        (JSON, r#"{"topics":[],"data":1}"#, 400, format!("line 1, octet 11: {topics}")),
        (JSON, r#"{"topics":["a",7],"data":1}"#, 400, format!("line 1, octet 11: {topics}")),
        (JSON, r#"{"id":"","data":1}"#, 400, format!("line 1, octet 7: {id}")),
        (JSON, r#"{"topic":"a","date":1}"#, 400, r#"line 1, octet 21: a publication has no field "date", but "topic" or "topics", "data" and "id""#.to_owned()),
        (LINES, "{\"data\":1}\n{\"topic\":\"a\"}", 400, format!("line 2, octet 1: the field \"data\" is missing, in which stands what is published: {EXAMPLE}")),
        (JSON, "[]", 400, "there is nothing to publish".to_owned()),
        (LINES, "\n", 400, "there is nothing to publish".to_owned()),
        (CURL, "", 400, "there is nothing to publish".to_owned()),
        (LINES, &"{\"data\":1}\n".repeat(10_001), 413, MANY.to_owned()),
    ] {
        assert_eq!(error(content_type, body), (status, message));
    }
    let not_utf8 = read(CURL, &[], b"a\xff", 9).unwrap_err().to_string();
    assert_eq!(not_utf8, "the body is to be UTF-8, and is not from octet 2 on");
    assert_eq!(
        drafts(JSON, &[], r#"{"topic":null,"topics":null,"id":null,"data":null}"#).0,
        ["notifications=null"]
    );
}
