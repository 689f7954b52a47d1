//! What clients say, and the topics in it: only an object with a type is a command, each answer is JSON that says what it
//! should, and a filter matches what its prefix says.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use slackwater::frame::text_range;
use slackwater::policy::topic::{Filter, TopicName, prefixes_of};
use slackwater::wire::commands::{Command, Publication, Publish, Unreadable, read_command};
use slackwater::wire::messages::ServerMessage;
use slackwater_fuzz::within;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = str::from_utf8(input) else { return };
    let command = within(64 * 1024 + 64 * text.len(), || read_command(text));
    check(&command, text);
    let (filter, topic) = text.split_once('\n').unwrap_or((text, text));
    match_topic(filter, topic);
});

fn check(command: &Command, text: &str) {
    // A second opinion, where it has one: it takes no deep nesting and no number that is too large.
    if let Ok(value) = serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')) {
        assert_eq!(*command == Command::Echo, value.get("type").is_none());
        if let Command::Subscribe(filter) | Command::Unsubscribe(filter) = command {
            let kind = if matches!(command, Command::Subscribe(_)) { "subscribe" } else { "unsubscribe" };
            assert_eq!((&value["type"], &value["topic"]), (&kind.into(), &filter.as_str().into()));
        }
    }
    let timestamp = Timestamp::UNIX_EPOCH;
    match command {
        Command::Echo => {
            says(&ServerMessage::Echo { message: text, timestamp, last_event_id: None }, "message", text)
        }
        Command::Subscribe(filter) | Command::Unsubscribe(filter) => {
            let topic = filter.as_str();
            assert_eq!(Filter::parse(topic).as_ref(), Ok(filter));
            says(&ServerMessage::Subscribed { topic, timestamp }, "topic", topic);
        }
        // Its answers bear what was given, or say what is wrong.
        Command::Publish(Publish { reference, publication }) => {
            let reference = reference.as_ref().map(|json| &*json.0);
            match publication {
                Ok(Publication { topic, data, .. }) => {
                    assert_eq!(TopicName::parse(topic.as_str()).as_ref(), Ok(topic));
                    assert!(text.contains(data.0.get()));
                }
                Err(Unreadable { code, message, topic }) => {
                    let (command, topic) = ("publish", topic.as_deref());
                    let error = ServerMessage::Error { code, message, command, topic, reference, timestamp };
                    says(&error, "message", message);
                    is_short(message);
                }
            }
        }
        Command::Refresh(_) => assert_eq!(format!("{command:?}"), "Refresh(Hidden)"),
        Command::Refused { command, code, message, topic } => {
            assert!(["subscribe", "unsubscribe", "publish", "refresh", "other"].contains(command));
            let (topic, reference) = (topic.as_deref(), None);
            let error = ServerMessage::Error { code, message, command, topic, reference, timestamp };
            says(&error, "message", message);
            is_short(message);
        }
    }
}

/// However much was sent, little is said about it.
fn is_short(message: &str) {
    assert!(message.len() < 1000 && !message.contains(char::is_control), "{message}");
}

/// Whether a message is one whole frame of text that is JSON with this value in this field.
fn says(message: &ServerMessage<'_>, field: &str, value: &str) {
    let frame = message.to_frame().into_bytes();
    let text = text_range(&frame).filter(|text| text.end == frame.len()).expect("a message is text");
    let message: Value = serde_json::from_slice(&frame[text]).expect("a message is JSON");
    assert_eq!(message[field], value);
}

fn match_topic(filter: &str, topic: &str) {
    let (filter, topic) = (Filter::parse(filter), TopicName::parse(topic));
    if let Ok(topic) = &topic {
        assert_eq!(Filter::parse(topic.as_str()).map(|filter| filter.matches(topic)), Ok(true));
        let prefixes: Vec<String> = prefixes_of(topic).collect();
        assert_eq!(prefixes.len(), topic.depth());
        for prefix in &prefixes {
            let prefix = Filter::parse(prefix).expect("a prefix of a topic is a filter");
            assert!(prefix.is_prefix() && prefix.matches(topic));
        }
        if let Ok(filter) = &filter {
            let is_named = filter.as_str() == topic.as_str() || prefixes.iter().any(|p| p == filter.as_str());
            assert_eq!(filter.matches(topic), is_named);
        }
    }
    if let Ok(filter) = filter {
        assert!(filter.is_prefix() || TopicName::parse(filter.as_str()).is_ok());
    }
}
