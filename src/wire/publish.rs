//! Reads the body of `POST /publish`: what is to be published, all of it or nothing.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use thiserror::Error;

use crate::policy::fingerprint::Fingerprint;
use crate::policy::idempotency::{Key, MAX_KEY_BYTES, Scope};
use crate::policy::topic::{TopicError, TopicName};
use crate::wire::object::FromObject;
use crate::wire::publish::made::{Made, Topics};

pub use crate::wire::publish::made::MAX_PUBLICATIONS;

mod made;

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

/// Why nothing is published.
#[derive(Debug, Error)]
pub enum PublishError {
    /// 400: not JSON, or not the JSON that is wanted. The message ends with the line and the column.
    #[error("{what} at line {line} column {column}")]
    Json {
        /// What is wrong.
        what: String,
        /// In the body, from 1.
        line: usize,
        /// In bytes, from 1.
        column: usize,
    },
    /// 400: anything else about the body.
    #[error("{0}")]
    Body(&'static str),
    /// 413: more publications than one request may make.
    #[error("{0} publications in one request, which makes {MAX_PUBLICATIONS} at most: split it")]
    TooMany(usize),
    /// 413: publications that together are larger than one request may make.
    #[error("one request's publications come to {bytes} bytes, {most_bytes} are the most: split it")]
    TooLarge {
        /// How large they are together.
        bytes: usize,
        /// How large they may be.
        most_bytes: usize,
    },
    /// 422: a topic that is not one.
    #[error("{name:?} is no topic: {why}")]
    Topic {
        /// As given.
        name: String,
        /// What is wrong with it.
        why: TopicError,
    },
}

impl PublishError {
    /// The status to answer with.
    pub fn status(&self) -> u16 {
        match self {
            Self::TooMany(_) | Self::TooLarge { .. } => 413,
            Self::Topic { .. } => 422,
            Self::Json { .. } | Self::Body(_) => 400,
        }
    }
}

/// How a body is to be read, by its media type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Json,
    JsonLines,
    Text,
}

/// Reads a request's body. Named topics (`?topic=`) make the body itself the data. A body has `most_body_bytes`
/// at most.
///
/// # Errors
/// The first thing that is wrong; nothing must be published then.
pub fn read(
    content_type: Option<&str>,
    named_topics: &[String],
    body: &[u8],
    most_body_bytes: usize,
) -> Result<Drafts, PublishError> {
    let text = str::from_utf8(body).map_err(|_| PublishError::Body(not_utf8(body)))?;
    let named = named_topics.iter().map(|name| parse_topic(name)).collect::<Result<Vec<_>, _>>()?;
    let is_named = !named.is_empty();
    let named = Topics::new(named);
    let mut made = Made::new(most_body_bytes);
    let shape = shape_of(content_type);
    let text = if shape == Shape::Text { text } else { without_mark(text) };
    let is_list = match shape {
        Shape::Text if text.is_empty() => false,
        Shape::Text => {
            made.add(&named, to_raw_value(text).expect("a string always serialises"), None);
            false
        }
        Shape::Json if is_named => {
            made.add(&named, parse(text, 1)?, None);
            false
        }
        Shape::Json if text.trim_start().starts_with('[') => {
            let objects: Vec<FromObject<Object<'_>>> = parse(text, 1)?;
            objects.into_iter().try_for_each(|object| object.0.add_to(&mut made))?;
            true
        }
        Shape::Json => {
            parse::<FromObject<Object<'_>>>(text, 1)?.0.add_to(&mut made)?;
            false
        }
        Shape::JsonLines => {
            let lines = text.lines().map(without_mark).zip(1..).filter(|(line, _)| !line.trim().is_empty());
            for (line, number) in lines {
                if is_named {
                    made.add(&named, parse(line, number)?, None);
                } else {
                    parse::<FromObject<Object<'_>>>(line, number)?.0.add_to(&mut made)?;
                }
            }
            true
        }
    };
    made.into_drafts(is_list)
}

/// An object of the request as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    topic: Option<String>,
    topics: Option<Vec<String>>,
    #[serde(borrow)]
    data: &'a RawValue,
    id: Option<String>,
}

impl Object<'_> {
    fn add_to(self, made: &mut Made) -> Result<(), PublishError> {
        let names = match (self.topic, self.topics) {
            (Some(_), Some(_)) => return Err(PublishError::Body("give either topic or topics")),
            (_, Some(names)) if names.is_empty() => return Err(PublishError::Body("topics is empty")),
            (topic, topics) => topics.unwrap_or_else(|| topic.into_iter().collect()),
        };
        if self.id.as_ref().is_some_and(|id| id.is_empty() || id.len() > MAX_KEY_BYTES) {
            return Err(PublishError::Body("id has 1 to 255 bytes"));
        }
        let topics = names.iter().map(|name| parse_topic(name)).collect::<Result<Vec<_>, _>>()?;
        let key = |id| ObjectKey { id, payload: Fingerprint::of([self.data.get().as_bytes()]) };
        made.add(Topics::new(topics), self.data.to_owned(), self.id.map(key));
        Ok(())
    }
}

fn parse_topic(name: &str) -> Result<TopicName, PublishError> {
    TopicName::parse(name).map_err(|why| PublishError::Topic { name: name.to_owned(), why })
}

/// A byte order mark is not part of JSON (RFC 8259 §8.1). Concatenated files may each begin with one.
fn without_mark(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}

fn not_utf8(body: &[u8]) -> &'static str {
    match body {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 0, 0xfe, 0xff, ..] => {
            "the body begins with a byte order mark of UTF-16 or UTF-32, and is to be UTF-8"
        }
        _ => "the body is not UTF-8",
    }
}

/// Parses JSON that begins at this line of the body.
fn parse<'a, T: Deserialize<'a>>(text: &'a str, first_line: usize) -> Result<T, PublishError> {
    serde_json::from_str(text).map_err(|e| {
        let message = e.to_string();
        let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what).to_owned();
        PublishError::Json { what, line: first_line + e.line().saturating_sub(1), column: e.column() }
    })
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
        other if other.ends_with("+json") => Shape::Json,
        _ => Shape::Text,
    }
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
