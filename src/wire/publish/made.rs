//! What one request makes, bounded before any of it is positioned: even a body within its limit may name many topics for
//! much data. Beyond the bound nothing is kept, only counted, so that the publisher is told how much it would have been.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Draft, Drafts, ObjectKey, PublishError};
use crate::policy::topic::TopicName;
use crate::wire::messages::DEFAULT_TOPIC;

/// How many publications one request may make: each of them takes memory for each subscriber.
pub const MAX_PUBLICATIONS: usize = 10_000;

/// How many bytes they may come to, unless much larger bodies are accepted.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// What a publication takes besides its data and its topic: the message around them, and a place in each list.
const OVERHEAD_BYTES: usize = 256;

/// What it takes for each prefix of its topic, which may have subscribers of its own.
const PREFIX_BYTES: usize = 64;

/// What a request makes so far.
pub(super) struct Made {
    list: Vec<Draft>,
    publications: usize,
    bytes: usize,
    most_bytes: usize,
}

impl Made {
    /// Nothing yet. A body of text may become twice as long when it is written as JSON.
    pub(super) fn new(most_body_bytes: usize) -> Self {
        let most_bytes = MAX_BYTES.max(most_body_bytes.saturating_mul(2));
        Self { list: Vec::new(), publications: 0, bytes: 0, most_bytes }
    }

    /// Adds one publication to each of these topics.
    pub(super) fn add<'a>(
        &mut self,
        topics: impl Into<Cow<'a, Topics>>,
        data: Box<RawValue>,
        key: Option<ObjectKey>,
    ) {
        let topics = topics.into();
        let count = topics.list.len();
        self.publications = self.publications.saturating_add(count);
        let bytes = topics.bytes.saturating_add(count.saturating_mul(data.get().len()));
        self.bytes = self.bytes.saturating_add(bytes);
        if self.is_allowed().is_ok() {
            self.list.push(Draft { topics: topics.into_owned().list, data, key });
        }
    }

    fn is_allowed(&self) -> Result<(), PublishError> {
        match *self {
            Self { publications, .. } if publications > MAX_PUBLICATIONS => {
                Err(PublishError::TooMany(publications))
            }
            Self { bytes, most_bytes, .. } if bytes > most_bytes => {
                Err(PublishError::TooLarge { bytes, most_bytes })
            }
            _ => Ok(()),
        }
    }

    /// All of it, if there is any and one request may make that much.
    ///
    /// # Errors
    /// What there is too much or nothing of.
    pub(super) fn into_drafts(self, is_list: bool) -> Result<Drafts, PublishError> {
        self.is_allowed()?;
        match self.list.first() {
            None => Err(PublishError::Body("there is nothing to publish".into())),
            Some(first) => Ok(Drafts { is_batch: is_list || first.topics.len() > 1, list: self.list }),
        }
    }
}

/// The topics of some data, and what one publication to each takes without the data.
#[derive(Clone)]
pub(super) struct Topics {
    list: Vec<TopicName>,
    bytes: usize,
}

impl<'a> From<&'a Topics> for Cow<'a, Topics> {
    fn from(named: &'a Topics) -> Self {
        Self::Borrowed(named)
    }
}

impl From<Topics> for Cow<'_, Topics> {
    fn from(own: Topics) -> Self {
        Self::Owned(own)
    }
}

impl Topics {
    /// These topics, or the default one if there are none.
    pub(super) fn new(mut list: Vec<TopicName>) -> Self {
        if list.is_empty() {
            list.push(TopicName::parse(DEFAULT_TOPIC).expect("the default is a topic"));
        }
        let bytes = |topic: &TopicName| OVERHEAD_BYTES + topic.as_str().len() + topic.depth() * PREFIX_BYTES;
        Self { bytes: list.iter().map(bytes).sum(), list }
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    const JSON: &str = "application/json";
    const LINES: &str = "application/x-ndjson";

    /// The content type, the named topics and the body of a request that publishes this data.
    type Form = fn(data: &str) -> (&'static str, Vec<String>, String);

    /// It is published 8192 times.
    const FORMS: [Form; 6] = [
        |data| (JSON, vec![], object(data, 8192)),
        |data| (JSON, vec![], format!("[{}]", vec![object(data, 1024); 8].join(","))),
        |data| (LINES, vec![], vec![object(data, 128); 64].join("\n")),
        |data| (LINES, vec!["abcd".to_owned(); 1024], [data; 8].join("\r\n")),
        |data| (JSON, vec!["abcd".to_owned(); 8192], data.to_owned()),
        |data| ("text/plain", vec!["abcd".to_owned(); 8192], data.trim_matches('"').to_owned()),
    ];

    /// The data and how often it is published.
    fn object(data: &str, times: usize) -> String {
        format!(r#"{{"topics":[{}],"data":{data}}}"#, vec![r#""abcd""#; times].join(","))
    }

    /// How many publications a form makes of so much data, with its quotation marks.
    fn made(form: Form, data_bytes: usize, most_body_bytes: usize) -> Result<usize, String> {
        let (content_type, topics, body) = form(&format!("\"{}\"", "x".repeat(data_bytes - 2)));
        let topics: Vec<TopicName> = topics.iter().map(|name| TopicName::parse(name).unwrap()).collect();
        let drafts = read(Some(content_type), &topics, body.as_bytes(), most_body_bytes);
        drafts.map(|drafts| drafts.list.iter().map(|draft| draft.topics.len()).sum()).map_err(|why| {
            assert_eq!(why.status(), 413);
            why.to_string()
        })
    }

    #[test]
    fn what_a_request_makes_is_bounded_in_every_form() {
        let most = MAX_BYTES / 8192 - "abcd".len() - OVERHEAD_BYTES - PREFIX_BYTES;
        let why = "one request's publications come to 16785408 bytes, 16777216 are the most: split it";
        for form in FORMS {
            assert_eq!(made(form, most, 1 << 20), Ok(8192));
            assert_eq!(made(form, most + 1, 1 << 20), Err(why.to_owned()));
            assert_eq!(made(form, most + 1, 16_785_408 / 2), Ok(8192), "where much larger bodies are taken");
        }
    }

    #[test]
    fn a_body_of_text_is_not_too_large_only_because_it_is_written_as_json() {
        let text = "\n".repeat(10_000_000);
        let list = |text: &str| read(Some("text/plain"), &[], text.as_bytes(), 11_000_000).unwrap().list;
        assert_eq!(list(&text)[0].data.get().len(), 2 + 2 * 10_000_000);
    }

    #[test]
    fn each_prefix_of_a_topic_counts() {
        let bytes = |topic: &str| Topics::new(vec![TopicName::parse(topic).unwrap()]).bytes;
        assert_eq!(bytes("a/b/c"), 5 + 256 + 3 * 64);
        assert_eq!(bytes(&"/".repeat(128)), 128 + 256 + 129 * 64);
    }

    #[test]
    fn beyond_the_bound_all_is_counted_and_nothing_kept() {
        let topics = Topics::new(vec![TopicName::parse("a").unwrap(); 4000]);
        let mut made = Made::new(1000);
        for _ in 0..1000 {
            made.add(&topics, RawValue::from_string("1".to_owned()).unwrap(), None);
        }
        assert_eq!((made.list.len(), made.publications), (2, 4_000_000));
        let why = made.into_drafts(true).unwrap_err();
        assert_eq!(
            why.to_string(),
            "4000000 publications in one request, which makes 10000 at most: split it"
        );
    }
}
