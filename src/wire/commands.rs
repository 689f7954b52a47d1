//! Reads what a client's text asks for. Only a JSON object with a `type` is a command; everything else is echoed.

use std::borrow::Cow;
use std::fmt::{self, Formatter};

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::policy::fingerprint::Fingerprint;
use crate::policy::idempotency::{MAX_KEY_BYTES, Scope};
use crate::policy::topic::{Filter, TopicName};
use crate::wire::publish::{Draft, Drafts, ObjectKey, Submission};

/// The keys of a command, at most: each is compared with all others.
const MAX_KEYS: usize = 64;

/// The longest `ref`: of a string its value, of a number as it is written. It is kept until the answer comes.
const MAX_REF_BYTES: usize = 255;

/// What a client's text asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Nothing: it is echoed.
    Echo,
    /// To hear what this filter matches, from now on.
    Subscribe(Filter),
    /// To hear it no longer.
    Unsubscribe(Filter),
    /// To publish.
    Publish(Publish),
    /// To be known by another token from now on.
    Refresh(Hidden),
    /// Something that cannot be carried out.
    Refused {
        /// Which command it is; `other` if that is not known.
        command: &'static str,
        /// For programs.
        code: &'static str,
        /// For people.
        message: String,
    },
}

/// What a client wants to publish.
#[derive(Debug, PartialEq, Eq)]
pub struct Publish {
    /// What the answer is to bear, so that the client knows which command it is for.
    pub reference: Option<Json>,
    /// It, or for programs and for people what is wrong with it.
    pub publication: Result<Publication, (&'static str, String)>,
}

/// One publication to one topic.
#[derive(Debug, PartialEq, Eq)]
pub struct Publication {
    /// Where to.
    pub topic: TopicName,
    /// What.
    pub data: Json,
    /// Makes a retry harmless.
    pub id: Option<String>,
}

/// JSON as it was written.
#[derive(Debug)]
pub struct Json(pub Box<RawValue>);

/// A secret that is shown nowhere.
#[derive(PartialEq, Eq)]
pub struct Hidden(pub String);

impl Publication {
    /// As it is handed to whoever gives publications their place, with the scope of its `id`.
    pub fn into_submission(self, scope: Scope) -> Submission {
        let payload = Fingerprint::of([self.data.0.get().as_bytes()]);
        let key = self.id.map(|id| ObjectKey { id, payload });
        let draft = Draft { topics: vec![self.topic], data: self.data.0, key };
        Submission { key: None, scope, drafts: Drafts { list: vec![draft], is_batch: false } }
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Json {}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

/// Reads a client's text. Only a JSON object with a `type` is a command; everything else is echoed.
pub fn read_command(text: &str) -> Command {
    // A byte order mark may be ignored (RFC 8259 §8.1). Text that is no object is not worth parsing.
    let text = text.trim_start_matches('\u{feff}');
    if !text.trim_start().starts_with('{') {
        return Command::Echo;
    }
    let Ok(members) = serde_json::from_str::<Members<'_>>(text) else { return Command::Echo };
    let Some(kind) = members.r#type else { return Command::Echo };
    if let Some(fault) = members.fault {
        return bad_message("other", fault);
    }
    let (command, act): (_, fn(Filter) -> Command) = match string(kind).as_deref() {
        Some("publish") => return read_publish(&members),
        Some("refresh") => match members.token.and_then(string) {
            Some(token) => return Command::Refresh(Hidden(token)),
            None => return bad_message("refresh", "token is not a string".to_owned()),
        },
        Some("subscribe") => ("subscribe", Command::Subscribe),
        Some("unsubscribe") => ("unsubscribe", Command::Unsubscribe),
        Some(name) => return bad_message("other", format!("unknown type {name:?}")),
        None => return bad_message("other", format!("type is {kind}, not a string")),
    };
    match members.topic.and_then(string).map(|topic| Filter::parse(&topic)) {
        Some(Ok(filter)) => act(filter),
        Some(Err(why)) => Command::Refused { command, code: "bad_topic", message: why.to_string() },
        None => bad_message(command, "topic is not a string".to_owned()),
    }
}

fn read_publish(members: &Members<'_>) -> Command {
    let reference = match members.reference {
        Some(value) if !is_reference(value) => {
            return bad_message(
                "publish",
                format!("ref is no string or number of at most {MAX_REF_BYTES} bytes"),
            );
        }
        reference => reference.map(|value| Json(value.to_owned())),
    };
    Command::Publish(Publish { reference, publication: read_publication(members) })
}

fn is_reference(value: &RawValue) -> bool {
    let written = value.get();
    if written.starts_with('"') {
        // A character that is written as an escape has six bytes for at least one.
        written.len() <= 2 + 6 * MAX_REF_BYTES
            && string(value).is_some_and(|text| text.len() <= MAX_REF_BYTES)
    } else {
        written.starts_with(|first: char| first == '-' || first.is_ascii_digit())
            && written.len() <= MAX_REF_BYTES
    }
}

fn read_publication(members: &Members<'_>) -> Result<Publication, (&'static str, String)> {
    let bad = |why: String| ("bad_message", why);
    let name = members.topic.and_then(string).ok_or_else(|| bad("topic is not a string".to_owned()))?;
    let topic = TopicName::parse(&name).map_err(|why| ("bad_topic", why.to_string()))?;
    let data = members.data.ok_or_else(|| bad("there is no data".to_owned()))?;
    let id = members.id.map(|id| string(id).filter(|id| !id.is_empty() && id.len() <= MAX_KEY_BYTES));
    match id {
        Some(None) => Err(bad(format!("id is no string of 1 to {MAX_KEY_BYTES} bytes"))),
        id => Ok(Publication { topic, data: Json(data.to_owned()), id: id.flatten() }),
    }
}

fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

fn bad_message(command: &'static str, message: String) -> Command {
    Command::Refused { command, code: "bad_message", message }
}

/// The members of an object that may be a command.
#[derive(Default)]
struct Members<'a> {
    r#type: Option<&'a RawValue>,
    topic: Option<&'a RawValue>,
    token: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    reference: Option<&'a RawValue>,
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
                "token" => members.token = Some(value),
                "data" => members.data = Some(value),
                "id" => members.id = Some(value),
                "ref" => members.reference = Some(value),
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
        for (command, text, why) in [
            ("other", r#" {"a":[],"type":"dance"}"#, "unknown type \"dance\""),
            ("other", r#"{"type":7}"#, "type is 7, not a string"),
            ("other", r#"{"type":null}"#, "type is null, not a string"),
            ("subscribe", r#"{"type":"subscribe"}"#, "topic is not a string"),
            ("unsubscribe", r#"{"type":"unsubscribe","topic":[]}"#, "topic is not a string"),
        ] {
            assert_eq!(read_command(text), bad_message(command, why.to_owned()));
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
            assert_eq!(read_command(text), bad_message("other", format!("the key {key:?} is given twice")));
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
        assert_eq!(read_command(&object(MAX_KEYS + 1)), bad_message("other", "more than 64 keys".to_owned()));
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
                publication.map(|publication| publication.id).map_err(|(code, _)| code)
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
}
