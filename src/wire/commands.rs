//! Reads what a client's text asks for. Only a JSON object with a `type` is a command; everything else is echoed.

use std::borrow::Cow;
use std::fmt::{self, Formatter};

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::policy::topic::Filter;

/// The keys of a command, at most: each is compared with all others.
const MAX_KEYS: usize = 64;

/// What a client's text asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Nothing: it is echoed.
    Echo,
    /// To hear what this filter matches, from now on.
    Subscribe(Filter),
    /// To hear it no longer.
    Unsubscribe(Filter),
    /// Something that cannot be carried out.
    Refused {
        /// For programs.
        code: &'static str,
        /// For people.
        message: String,
    },
}

/// Reads a client's text. Only a JSON object with a `type` is a command; everything else is echoed.
pub fn read_command(text: &str) -> Command {
    // A byte order mark may be ignored (RFC 8259 §8.1). Text that is no object is not worth parsing.
    let text = text.trim_start_matches('\u{feff}');
    if !text.trim_start().starts_with('{') {
        return Command::Echo;
    }
    let Ok(Members { r#type: Some(kind), topic, fault }) = serde_json::from_str(text) else {
        return Command::Echo;
    };
    if let Some(fault) = fault {
        return bad_message(fault);
    }
    let act = match string(kind).as_deref() {
        Some("subscribe") => Command::Subscribe,
        Some("unsubscribe") => Command::Unsubscribe,
        Some(name) => return bad_message(format!("unknown type {name:?}")),
        None => return bad_message(format!("type is {kind}, not a string")),
    };
    match topic.and_then(string).map(|topic| Filter::parse(&topic)) {
        Some(Ok(filter)) => act(filter),
        Some(Err(why)) => Command::Refused { code: "bad_topic", message: why.to_string() },
        None => bad_message("topic is not a string".to_owned()),
    }
}

fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

fn bad_message(message: String) -> Command {
    Command::Refused { code: "bad_message", message }
}

/// The members of an object that may be a command.
#[derive(Default)]
struct Members<'a> {
    r#type: Option<&'a RawValue>,
    topic: Option<&'a RawValue>,
    /// What is wrong with it if it is one.
    fault: Option<String>,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

/// Reads the members one by one: derived code overlooks an unknown key that is given twice.
struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let (mut members, mut keys) = (Members::default(), Vec::new());
        while let Some((key, value)) = map.next_entry::<Key<'de>, &RawValue>()? {
            match &*key.0 {
                "type" => members.r#type = Some(value),
                "topic" => members.topic = Some(value),
                _ => {}
            }
            if members.fault.is_some() {
                continue;
            }
            if keys.contains(&key) {
                members.fault = Some(format!("the key {:?} is given twice", key.0));
            } else if keys.len() == MAX_KEYS {
                members.fault = Some(format!("more than {MAX_KEYS} keys"));
            } else {
                keys.push(key);
            }
        }
        Ok(members)
    }
}

#[derive(PartialEq, Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_with_a_type_is_a_command() {
        let deep = "{\"type\":".repeat(100_000);
        let unfinished = r#"{"type":"subscribe","type":"x""#;
        let texts = ["hello", "", "{", "{}", r#"{"a":1,"a":2}"#, r#"["type"]"#, r#"{"type":"x"} y"#, "42"];
        for text in texts.into_iter().chain([unfinished, "\u{feff}hello", &deep]) {
            assert_eq!(read_command(text), Command::Echo, "{text:.20}");
        }
        for (text, why) in [
            (r#" {"a":[],"type":"dance"}"#, "unknown type \"dance\""),
            (r#"{"type":7}"#, "type is 7, not a string"),
            (r#"{"type":null}"#, "type is null, not a string"),
            (r#"{"type":"subscribe"}"#, "topic is not a string"),
            (r#"{"type":"unsubscribe","topic":[]}"#, "topic is not a string"),
        ] {
            assert_eq!(read_command(text), bad_message(why.to_owned()));
        }
    }

    #[test]
    fn a_command_with_a_key_given_twice_is_told_so() {
        for (text, key) in [
            (r#"{"type":"subscribe","type":"subscribe","topic":"a"}"#, "type"),
            (r#"{"topic":"a","type":"subscribe","topic":"b"}"#, "topic"),
            (r#"{"x":1,"type":"subscribe","topic":"a","\u0078":[]}"#, "x"),
            (r#"{"":1,"":1,"type":7}"#, ""),
        ] {
            assert_eq!(read_command(text), bad_message(format!("the key {key:?} is given twice")));
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
        assert_eq!(read_command(&object(MAX_KEYS + 1)), bad_message("more than 64 keys".to_owned()));
        assert_eq!(read_command(&object(100).replace("type", "tape")), Command::Echo);
    }

    #[test]
    fn commands_name_a_filter() {
        let orders = Filter::parse("orders/*").unwrap();
        let subscribe = r#"{"type":"subscribe","topic":"orders/*","later":1}"#;
        assert_eq!(read_command(subscribe), Command::Subscribe(orders.clone()));
        assert_eq!(read_command(&subscribe.replace("sub", "unsub")), Command::Unsubscribe(orders));
        assert_eq!(read_command(&format!("\u{feff} {subscribe}")), read_command(subscribe));
        let refused = read_command(&subscribe.replace("orders/*", "or ders"));
        assert!(matches!(refused, Command::Refused { code: "bad_topic", .. }), "{refused:?}");
    }
}
