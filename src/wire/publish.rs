//! Reads the body of `POST /publish`: what is to be published, all of it or nothing.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::policy::fingerprint::Fingerprint;
use crate::policy::idempotency::{Key, Scope};
use crate::policy::topic::TopicName;
use crate::wire::publish::fault::{Wanted, not_json};
use crate::wire::publish::made::{Made, Topics};
use crate::wire::publish::object::Item;

pub use crate::wire::publish::fault::{Place, PublishError};
pub use crate::wire::publish::made::MAX_PUBLICATIONS;
pub use crate::wire::publish::path::{Asked, named_topics};

mod fault;
mod made;
mod object;
mod path;

/// One publication, checked but not yet positioned.
#[derive(Debug, Serialize, Deserialize)]
pub struct Draft {
    /// Each gets one publication, in this order.
    pub topics: Vec<TopicName>,
    /// As it was written.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub data: Box<RawValue>,
    /// Makes a retry harmless.
    pub key: Option<ObjectKey>,
}

/// The key of an object. It stands for another publication on each of its topics.
#[derive(Debug, Serialize, Deserialize)]
pub struct ObjectKey {
    /// As given.
    pub id: String,
    /// Of the data, as it was written.
    pub payload: Fingerprint,
}

impl ObjectKey {
    /// The key of its publication to this topic.
    pub fn on(&self, topic: &TopicName, scope: Scope) -> Key {
        let name = scope.name([topic.as_str().as_bytes(), self.id.as_bytes()]);
        Key { name, payload: self.payload }
    }
}

/// A request's publications.
#[derive(Debug, Serialize, Deserialize)]
pub struct Drafts {
    /// In the order in which they are to be positioned.
    pub list: Vec<Draft>,
    /// Whether a list of ids is answered, as it is to any list of topics or of objects.
    pub is_batch: bool,
}

impl Drafts {
    /// The key of this name for the request that makes these. The payload is what is published and how it is answered.
    pub fn key(&self, name: &[u8], scope: Scope) -> Key {
        let shape: &[u8] = if self.is_batch { b"batch" } else { b"one" };
        // Neither a topic nor an id is empty.
        let parts = self.list.iter().flat_map(|Draft { topics, data, key }| {
            let id = key.as_ref().map_or("", |key| &key.id);
            topics.iter().map(TopicName::as_str).chain(["", id, data.get()]).map(str::as_bytes)
        });
        let payload = Fingerprint::of([shape].into_iter().chain(parts));
        Key { name: scope.name([b"", name]), payload }
    }
}

/// A request that is to be published.
#[derive(Debug, Serialize, Deserialize)]
pub struct Submission {
    /// Makes a retry of the whole request harmless.
    pub key: Option<Key>,
    /// Among whose keys those of its objects count.
    pub scope: Scope,
    /// What is published.
    pub drafts: Drafts,
}

/// How a body is to be read, by its media type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Json,
    JsonLines,
    /// What `curl -d` calls all that it sends; taken as text.
    Form,
    Text,
}

/// Reads a request's body. Named topics (`?topic=`, `/publish/{topic}`) make the body itself the data. A body has
/// `most_body_bytes` at most.
///
/// # Errors
/// The first thing that is wrong; nothing must be published then.
pub fn read(
    content_type: Option<&str>,
    named_topics: &[TopicName],
    body: &[u8],
    most_body_bytes: usize,
) -> Result<Drafts, PublishError> {
    let text = str::from_utf8(body).map_err(|error| not_utf8(body, error.valid_up_to()))?;
    let is_named = !named_topics.is_empty();
    let wanted = if is_named { Wanted::Data } else { Wanted::Publication };
    let named = Topics::new(named_topics.to_vec());
    let mut made = Made::new(most_body_bytes);
    let json = without_mark(text);
    let is_list = match shape_of(content_type) {
        Shape::Form if json.trim_start().starts_with(['{', '[']) => {
            return Err(PublishError::Form { example: wanted.example() });
        }
        Shape::Form | Shape::Text if text.is_empty() => false,
        Shape::Form | Shape::Text => {
            made.add(&named, to_raw_value(text).expect("a string always serialises"), None);
            false
        }
        Shape::Json if is_named => {
            made.add(&named, parse(text, json, wanted)?, None);
            false
        }
        Shape::Json if json.trim_start().starts_with('[') => {
            let items: Vec<Item<'_>> = parse(text, json, wanted)?;
            for (item, number) in items.into_iter().zip(1..) {
                item.add_to(text, || Place::Item(number), &mut made)?;
            }
            true
        }
        Shape::Json => {
            parse::<Item<'_>>(text, json, wanted)?.add_to(text, || Place::of(text, json), &mut made)?;
            false
        }
        Shape::JsonLines => {
            for line in text.lines().map(without_mark).filter(|line| !line.trim().is_empty()) {
                if is_named {
                    made.add(&named, parse(text, line, wanted)?, None);
                } else {
                    parse::<Item<'_>>(text, line, wanted)?.add_to(
                        text,
                        || Place::of(text, line),
                        &mut made,
                    )?;
                }
            }
            true
        }
    };
    made.into_drafts(is_list)
}

/// To tell the place takes the counting of all lines before it, so that it is found only where something is wrong.
fn parse_topic(name: &str, place: impl FnOnce() -> Place) -> Result<TopicName, PublishError> {
    TopicName::parse(name).map_err(|why| PublishError::Topic { place: place(), name: name.to_owned(), why })
}

/// A byte order mark is not part of JSON (RFC 8259 §8.1). Concatenated files may each begin with one.
fn without_mark(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}

fn not_utf8(body: &[u8], octet: usize) -> PublishError {
    let why = match body {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 0, 0xfe, 0xff, ..] => {
            "the body begins with a byte order mark of UTF-16 or UTF-32, and is to be UTF-8".into()
        }
        _ => format!("the body is to be UTF-8, and is not from octet {} on", octet + 1).into(),
    };
    PublishError::Body(why)
}

/// Parses a part of the body as JSON.
fn parse<'a, T: Deserialize<'a>>(body: &str, part: &'a str, wanted: Wanted) -> Result<T, PublishError> {
    serde_json::from_str(part).map_err(|error| not_json(body, part, &error, wanted))
}

fn as_text<S: Serializer>(data: &RawValue, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(data.get())
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<RawValue>, D::Error> {
    RawValue::from_string(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn shape_of(content_type: Option<&str>) -> Shape {
    let media_type = content_type.unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Shape::JsonLines,
        "application/json" => Shape::Json,
        "application/x-www-form-urlencoded" => Shape::Form,
        other if other.ends_with("+json") => Shape::Json,
        _ => Shape::Text,
    }
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
