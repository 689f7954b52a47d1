//! What the path and the query of a request say about where its publications go. At `/publish/{topic}` that is one topic, and the
//! body is what is published to it.

use percent_encoding::percent_decode_str;

use super::fault::{Place, PublishError};
use super::object::Item;
use super::{Shape, parse_topic, shape_of, without_mark};
use crate::policy::topic::TopicName;
use crate::wire::quoted::quoted;

/// A request, as far as it says what is published and where to.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// As it was sent.
    pub path: &'a str,
    /// As it was sent, without the question mark.
    pub query: &'a [u8],
    /// How the body is to be read.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// The topics that a request names beside its body. Escapes are undone only here: which request it is has been decided by the path
/// as it was sent.
///
/// # Errors
/// When one of them is none, or the path and the query name different ones; and at `/publish/{topic}` when the body itself is a
/// publication, which is for `/publish`.
pub fn named_topics(asked: Asked<'_>) -> Result<Vec<TopicName>, PublishError> {
    let query = form_urlencoded::parse(asked.query);
    let in_query =
        query.filter(|(name, _)| name == "topic").map(|(_, topic)| parse_topic(&topic, || Place::Query));
    let in_query: Vec<TopicName> = in_query.collect::<Result<_, _>>()?;
    let Some(escaped) = asked.path.strip_prefix("/publish/") else { return Ok(in_query) };
    let topic = parse_topic(&percent_decode_str(escaped).decode_utf8_lossy(), || Place::Path)?;
    if let Some(other) = in_query.iter().find(|other| **other != topic) {
        let why = format!(
            "the path names the topic {}, and ?topic= names {}: leave one away",
            quoted(topic.as_str()),
            quoted(other.as_str())
        );
        return Err(PublishError::Body(why.into()));
    }
    if let Some(publication) = publication_in(asked) {
        let why = match publication {
            Publication::Whole => format!(
                "the body is a whole publication, and where the path names a topic it is to be the data alone: send it to /publish, \
                 or its \"data\" to /publish/{topic}"
            ),
            Publication::WithoutTopic => format!(
                "the body is a publication without its topic, and where the path names one it is to be the data alone: send what \
                 \"data\" holds to /publish/{topic}; or, if listeners are to get {{\"data\": …}} itself, \
                 {{\"topic\":\"{topic}\",\"data\":{{\"data\": …}}}} to /publish"
            ),
        };
        return Err(PublishError::Body(why.into()));
    }
    Ok(vec![topic])
}

/// What a body is where it should be data.
enum Publication {
    /// It says itself where to.
    Whole,
    /// Published as data, it would be within another.
    WithoutTopic,
}

/// The first publication in a body of JSON, which is for `/publish`. What is no JSON is judged elsewhere.
fn publication_in(asked: Asked<'_>) -> Option<Publication> {
    let text = str::from_utf8(asked.body).unwrap_or_default();
    let as_one = |item: &Item<'_>| match item {
        Item::Object(members) if members.is_publication() && members.names_topics() => {
            Some(Publication::Whole)
        }
        Item::Object(members) if members.is_publication() => Some(Publication::WithoutTopic),
        _ => None,
    };
    let held = |text: &str| {
        let text = without_mark(text);
        match text.trim_start().starts_with('[') {
            true => {
                serde_json::from_str(text).ok().and_then(|list: Vec<Item<'_>>| list.iter().find_map(as_one))
            }
            false => serde_json::from_str(text).ok().and_then(|item| as_one(&item)),
        }
    };
    match shape_of(asked.content_type) {
        Shape::Json => held(text),
        Shape::JsonLines => text.lines().find_map(held),
        Shape::Form | Shape::Text => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The topics that a request names whose target, media type and body are these.
    fn named(target: &str, media_type: &str, body: &str) -> Result<Vec<String>, String> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (query, body) = (query.as_bytes(), body.as_bytes());
        let asked = Asked { path, query, content_type: Some(media_type), body };
        let names = |topics: Vec<TopicName>| topics.into_iter().map(String::from).collect();
        named_topics(asked).map(names).map_err(|why| why.to_string())
    }

    const JSON: &str = "application/json";
    const LINES: &str = "application/x-ndjson";

    #[test]
    fn a_topic_in_the_path_is_a_topic_like_any_other_with_its_escapes_undone() {
        for (target, topics) in [
            ("/publish", &[][..]),
            ("/publish?topic=a&topic=b%2F1", &["a", "b/1"]),
            ("/publish/a", &["a"]),
            ("/publish/orders/7", &["orders/7"]),
            ("/publish/orders%2f7%3Ax", &["orders/7:x"]),
            ("/publish/a?topic=a&x=y", &["a"]),
            ("/publish/a/", &["a/"]),
            ("/publish//", &["/"]),
        ] {
            let topics = topics.iter().map(|&topic| topic.to_owned()).collect();
            assert_eq!(named(target, "", "x"), Ok(topics), "{target}");
        }
        for (target, why) in [
            ("/publish/", "the path: \"\" is no topic: a topic has 1 to 128 characters"),
            ("/publish/orders/*", "the path: \"orders/*\" is no topic"),
            ("/publish/a%20b", "the path: \"a b\" is no topic"),
            ("/publish/a+b", "the path: \"a+b\" is no topic"),
            ("/publish/a%0a", "the path: \"a\\n\" is no topic"),
            ("/publish/a%zz", "the path: \"a%zz\" is no topic"),
            ("/publish/%ff", "the path: \"\u{fffd}\" is no topic"),
            ("/publish/%2525", "the path: \"%25\" is no topic"),
            ("/publish?topic=a*", "?topic=: \"a*\" is no topic"),
            (
                "/publish/a?topic=a&topic=b",
                "the path names the topic \"a\", and ?topic= names \"b\": leave one away",
            ),
        ] {
            let told = named(target, "", "x").unwrap_err();
            assert!(told.starts_with(why), "{target}: {told}");
        }
    }

    #[test]
    fn a_whole_publication_is_for_a_path_without_a_topic() {
        for (fields, body) in [
            (JSON, r#"{"topic":"b","data":1}"#),
            (JSON, r#"{"topics":["a"],"data":1,"id":"x"}"#),
            (JSON, r#"[{"topic":"a","data":1}]"#),
            (LINES, "1\n{\"topic\":\"b\",\"data\":1}"),
        ] {
            let told = named("/publish/a", fields, body).unwrap_err();
            assert!(told.contains("send it to /publish, or its \"data\" to /publish/a"), "{told}");
            assert_eq!(named("/publish?topic=a", fields, body), Ok(vec!["a".to_owned()]));
        }
        for (fields, body) in
            [(JSON, r#"{"data":1}"#), (JSON, r#"[1,{"data":{},"id":"x"}]"#), (LINES, "1\n{\"data\":1}")]
        {
            let told = named("/publish/a", fields, body).unwrap_err();
            assert!(told.starts_with("the body is a publication without its topic"), "{told}");
            assert!(
                told.contains(r#"or, if listeners are to get {"data": …} itself, {"topic":"a","#),
                "{told}"
            );
            assert_eq!(named("/publish?topic=a", fields, body), Ok(vec!["a".to_owned()]));
        }
        for (fields, body) in [
            (JSON, r#"{"topic":"b"}"#),
            (JSON, r#"{"data":1,"more":1}"#),
            (JSON, r#"{"topic":"b","data":1,"more":1}"#),
            (JSON, "{"),
            (JSON, "[[]]"),
            (LINES, "1\n2"),
            ("", r#"{"topic":"b","data":1}"#),
        ] {
            assert_eq!(named("/publish/a", fields, body), Ok(vec!["a".to_owned()]), "{body}");
        }
    }
}
