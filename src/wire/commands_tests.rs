//! What is a command, and what is said about those that cannot be carried out.

use super::*;

#[test]
fn only_an_object_with_a_type_is_a_command() {
    let deep = "{\"type\":".repeat(100_000);
    let unfinished = r#"{"type":"subscribe","type":"x""#;
    let texts = ["hello", "", "{", "{}", r#"{"a":1,"a":2}"#, r#"["type"]"#, r#"{"type":"x"} y"#, "42"];
    for text in texts.into_iter().chain([unfinished, "\u{feff}hello", &deep]) {
        assert_eq!(read_command(text), Command::Echo, "{text:.20}");
    }
    let to_be_a_string = |command: &str| {
        format!(r#"the field "topic" is to be a string: {{"type":"{command}","topic":"orders/7"}}"#)
    };
    for (command, text, why) in [
        ("other", r#" {"a":[],"type":"dance"}"#, format!("unknown type \"dance\", {KINDS}")),
        ("other", r#"{"type":7}"#, format!("the field \"type\" is 7, {KINDS}")),
        ("other", r#"{"type":null}"#, format!("the field \"type\" is null, {KINDS}")),
        ("subscribe", r#"{"type":"subscribe"}"#, to_be_a_string("subscribe")),
        ("unsubscribe", r#"{"type":"unsubscribe","topic":[]}"#, to_be_a_string("unsubscribe")),
    ] {
        assert_eq!(read_command(text), bad_message(command, why, None));
    }
}

#[test]
fn whoever_is_refused_is_told_which_topic_it_was_unless_that_is_too_long() {
    let topic_of = |text: &str| match read_command(text) {
        Command::Refused { topic, .. } => topic,
        Command::Publish(Publish { publication: Err(Unreadable { topic, .. }), .. }) => topic,
        other => panic!("{text}: {other:?}"),
    };
    for text in [
        r#"{"type":"subscribe","topic":"or ders"}"#,
        r#"{"type":"unsubscribe","topic":"or ders"}"#,
        r#"{"type":"publish","topic":"or ders","data":1}"#,
        r#"{"type":"publish","topic":"or ders"}"#,
        r#"{"type":"publish","topic":"or ders","data":1,"ref":[]}"#,
        r#"{"type":"dance","topic":"or ders"}"#,
    ] {
        assert_eq!(topic_of(text).as_deref(), Some("or ders"), "{text}");
    }
    let long = |length: usize| format!(r#"{{"type":"subscribe","topic":"{}"}}"#, "x".repeat(length));
    assert_eq!((topic_of(&long(1024)).map(|topic| topic.len()), topic_of(&long(1025))), (Some(1024), None));
    assert_eq!(topic_of(r#"{"type":"publish","data":1}"#), None);
}

#[test]
fn what_is_said_of_a_command_is_bounded_and_in_nobody_s_words_but_ours() {
    let long = format!("\"{}\"", "\u{f6}\u{202e}".repeat(10_000));
    let values = ["null", "7", "-1e999", "[]", "{}", "true", r#""\ud800""#, r#""""#, r#""a\nb""#, &long];
    for name in ["type", "topic", "data", "id", "ref", "token"] {
        for kind in ["subscribe", "unsubscribe", "publish", "refresh"] {
            for value in values {
                let text = format!(r#"{{"type":"{kind}","topic":"a","{name}":{value},"{name}":{value}}}"#);
                let alone = format!(r#"{{"type":"{kind}","{name}":{value}}}"#);
                for text in [text, alone] {
                    let message = match read_command(&text) {
                        Command::Refused { message, .. } => message,
                        Command::Publish(Publish { publication: Err(why), .. }) => why.message,
                        _ => continue,
                    };
                    assert!(message.len() < 500 && !message.contains(char::is_control), "{message}");
                    for phrase in ["invalid", "expected", "missing field", "EOF", "at line", "column"] {
                        assert!(!message.contains(phrase), "{text:.80}: {message}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_command_with_a_key_given_twice_is_told_so() {
    for (text, key, topic) in [
        (r#"{"type":"subscribe","type":"subscribe","topic":"a"}"#, "type", Some("a")),
        (r#"{"topic":"a","type":"subscribe","topic":"b"}"#, "topic", Some("b")),
        (r#"{"x":1,"type":"subscribe","topic":"a","\u0078":[]}"#, "x", Some("a")),
        (r#"{"":1,"":1,"type":7}"#, "", None),
    ] {
        let topic = topic.map(str::to_owned);
        assert_eq!(
            read_command(text),
            bad_message("other", format!("the field {key:?} is given twice"), topic)
        );
    }
    let nested = r#"{"type":"subscribe","topic":"a","x":{"y":1,"y":2}}"#;
    assert!(matches!(read_command(nested), Command::Subscribe(_)));
}

#[test]
fn a_command_has_few_keys() {
    let object = |keys: usize| {
        let others: String = (2..keys).map(|key| format!("\"{key}\":0,")).collect();
        format!(r#"{{{others}"topic":"a","type":"subscribe"}}"#)
    };
    assert!(matches!(read_command(&object(MAX_KEYS)), Command::Subscribe(_)));
    assert_eq!(
        read_command(&object(MAX_KEYS + 1)),
        bad_message("other", "more than 64 fields".to_owned(), Some("a".to_owned()))
    );
    assert_eq!(read_command(&object(100).replace("type", "tape")), Command::Echo);
}

#[test]
fn a_client_publishes_data_as_it_is_written_and_says_how_it_is_to_be_answered() {
    let raw = |text: &str| Json(RawValue::from_string(text.to_owned()).unwrap());
    let whole = r#"{"type":"publish","topic":"chat/7","data":{"n": 1.0},"id":"x","ref":"r\u0031"}"#;
    let topic = TopicName::parse("chat/7").unwrap();
    let publication = Publication { topic, data: raw(r#"{"n": 1.0}"#), id: Some("x".to_owned()) };
    let expected = Publish { reference: Some(raw(r#""r\u0031""#)), publication: Ok(publication) };
    assert_eq!(read_command(whole), Command::Publish(expected));
    let publication = |text: &str| match read_command(text) {
        Command::Publish(Publish { reference, publication }) => {
            assert_eq!(reference, Some(raw("-7")));
            publication.map(|publication| publication.id).map_err(|why| why.code)
        }
        other => panic!("{other:?}"),
    };
    for (rest, expected) in [
        (r#""topic":"a","data":null"#, Ok(None)),
        (r#""topic":"a""#, Err("bad_message")),
        (r#""data":1"#, Err("bad_message")),
        (r#""topic":"a/*","data":1"#, Err("bad_topic")),
        (r#""topic":"a","data":1,"id":"""#, Err("bad_message")),
        (r#""topic":"a","data":1,"id":7"#, Err("bad_message")),
    ] {
        assert_eq!(publication(&format!(r#"{{"type":"publish","ref":-7,{rest}}}"#)), expected, "{rest}");
    }
}

#[test]
fn a_reference_is_a_number_or_a_string_and_is_measured_by_its_value() {
    let read = |reference: &str| match read_command(&format!(
        r#"{{"type":"publish","topic":"a","data":1,"ref":{reference}}}"#
    )) {
        Command::Publish(publish) => publish.reference.map(|reference| reference.0.get().to_owned()),
        _ => None,
    };
    let text = |part: &str, count: usize| format!("\"{}\"", part.repeat(count));
    for reference in [
        "0",
        "-1.5e3",
        r#""""#,
        &"1".repeat(255),
        &text("r", 255),
        &text(r"\u00e9", 127),
        &text(r"\u0000", 255),
    ] {
        assert_eq!(read(reference).as_deref(), Some(reference), "comes back as it is written");
    }
    for reference in [
        "null",
        "[]",
        "{}",
        "true",
        &"1".repeat(256),
        &text("r", 256),
        &text("é", 128),
        &text(r"\u00e9", 128),
        r#""\ud800""#,
    ] {
        assert_eq!(read(reference), None, "{reference}");
    }
}

#[test]
fn a_token_that_is_handed_in_is_not_shown() {
    let refresh = read_command(r#"{"type":"refresh","token":"sekrit"}"#);
    assert_eq!(refresh, Command::Refresh(Hidden("sekrit".to_owned())));
    assert!(!format!("{refresh:?}").contains("sekrit"));
    for token in ["", r#","token":7"#, r#","token":"sekrit","token":"sekrit""#] {
        let refused = read_command(&format!(r#"{{"type":"refresh"{token}}}"#));
        assert!(
            matches!(&refused, Command::Refused { message, .. } if !message.contains("sekrit")),
            "{refused:?}"
        );
    }
}

#[test]
fn commands_name_a_filter() {
    let orders = Filter::parse("orders/*").unwrap();
    let subscribe = r#"{"type":"subscribe","topic":"orders/*","later":1}"#;
    assert_eq!(read_command(subscribe), Command::Subscribe(orders.clone()));
    assert_eq!(read_command(&subscribe.replace("sub", "unsub")), Command::Unsubscribe(orders));
    assert_eq!(read_command(&format!("\u{feff} {subscribe}")), read_command(subscribe));
    let refused = read_command(&subscribe.replace("orders/*", "or ders"));
    assert!(
        matches!(refused, Command::Refused { command: "subscribe", code: "bad_topic", .. }),
        "{refused:?}"
    );
}
