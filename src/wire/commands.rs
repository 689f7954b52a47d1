//! Reads what a client's text asks for. Only a JSON object with a `type` is a command; everything else is echoed.

use std::fmt::{self, Formatter};

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::policy::fingerprint::Fingerprint;
use crate::policy::idempotency::{MAX_KEY_BYTES, Scope};
use crate::policy::topic::{Filter, TopicName};
use crate::wire::messages::echoed;
use crate::wire::object::Name;
use crate::wire::publish::{Draft, Drafts, ObjectKey, Submission};
use crate::wire::quoted::{cut, quoted};

/// The keys of a command, at most: each is compared with all others.
const MAX_KEYS: usize = 64;

/// The longest `ref`: of a string its value, of a number as it is written. It is kept until the answer comes.
const MAX_REF_BYTES: usize = 255;

/// What there is.
const KINDS: &str = r#"which is "subscribe", "unsubscribe", "publish" or "refresh""#;

/// How it is written.
const PUBLISH: &str = r#"{"type":"publish","topic":"chat/7","data":{"text":"hi"}}"#;

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
        /// Which topic it is about, as given, unless it names none or at too great a length.
        topic: Option<String>,
    },
}

/// Why a publication cannot be made of a command.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// Which topic it is about, as given, unless it names none or at too great a length.
    pub topic: Option<String>,
}

/// What a client wants to publish.
#[derive(Debug, PartialEq, Eq)]
pub struct Publish {
    /// What the answer is to bear, so that the client knows which command it is for.
    pub reference: Option<Json>,
    /// It, or what is wrong with it.
    pub publication: Result<Publication, Unreadable>,
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
    let topic = members.topic.and_then(string);
    if let Some(fault) = members.fault {
        return bad_message("other", fault, topic);
    }
    let (command, act): (_, fn(Filter) -> Command) = match string(kind).as_deref() {
        Some("publish") => return read_publish(&members, topic),
        Some("refresh") => match members.token.and_then(string) {
            Some(token) => return Command::Refresh(Hidden(token)),
            None => {
                let message = r#"the field "token" is to be a string: {"type":"refresh","token":"eyJ…"}"#;
                return bad_message("refresh", message.to_owned(), None);
            }
        },
        Some("subscribe") => ("subscribe", Command::Subscribe),
        Some("unsubscribe") => ("unsubscribe", Command::Unsubscribe),
        Some(name) => return bad_message("other", format!("unknown type {}, {KINDS}", quoted(name)), topic),
        None => {
            let message = format!("the field \"type\" is {}, {KINDS}", cut(kind.get()));
            return bad_message("other", message, topic);
        }
    };
    match topic.as_deref().map(Filter::parse) {
        Some(Ok(filter)) => act(filter),
        Some(Err(why)) => {
            let name = quoted(topic.as_deref().unwrap_or_default());
            let message = format!("{name} is no topic: {why}, as orders/7, or a pattern as orders/*");
            Command::Refused { command, code: "bad_topic", message, topic: topic.and_then(echoed) }
        }
        None => {
            let example = format!(r#"{{"type":"{command}","topic":"orders/7"}}"#);
            bad_message(command, format!("the field \"topic\" is to be a string: {example}"), None)
        }
    }
}

fn read_publish(members: &Members<'_>, topic: Option<String>) -> Command {
    let reference = match members.reference {
        Some(value) if !is_reference(value) => {
            let message =
                format!("the field \"ref\" is to be a string or a number of at most {MAX_REF_BYTES} bytes");
            return bad_message("publish", message, topic);
        }
        reference => reference.map(|value| Json(value.to_owned())),
    };
    Command::Publish(Publish { reference, publication: read_publication(members, topic.as_deref()) })
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

fn read_publication(members: &Members<'_>, topic: Option<&str>) -> Result<Publication, Unreadable> {
    let unreadable = |code, message: String| {
        Err(Unreadable { code, message, topic: topic.map(str::to_owned).and_then(echoed) })
    };
    let Some(name) = topic else {
        return unreadable("bad_message", format!("the field \"topic\" is to be a string: {PUBLISH}"));
    };
    let name = match TopicName::parse(name) {
        Ok(name) => name,
        Err(why) => {
            return unreadable("bad_topic", format!("{} is no topic: {why}, as orders/7", quoted(name)));
        }
    };
    let Some(data) = members.data else {
        let message = format!("the field \"data\" is missing, in which stands what is published: {PUBLISH}");
        return unreadable("bad_message", message);
    };
    let id = members.id.map(|id| string(id).filter(|id| !id.is_empty() && id.len() <= MAX_KEY_BYTES));
    match id {
        Some(None) => unreadable(
            "bad_message",
            format!("the field \"id\" is to be a string of 1 to {MAX_KEY_BYTES} bytes"),
        ),
        id => Ok(Publication { topic: name, data: Json(data.to_owned()), id: id.flatten() }),
    }
}

fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

fn bad_message(command: &'static str, message: String, topic: Option<String>) -> Command {
    Command::Refused { command, code: "bad_message", message, topic: topic.and_then(echoed) }
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
        while let Some((key, value)) = map.next_entry::<Name<'de>, &RawValue>()? {
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
                members.fault = Some(format!("the field {} is given twice", quoted(&key.0)));
            } else if keys.len() == MAX_KEYS {
                members.fault = Some(format!("more than {MAX_KEYS} fields"));
            } else {
                keys.push(key);
            }
        }
        Ok(members)
    }
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
