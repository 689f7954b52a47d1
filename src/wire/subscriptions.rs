//! What a client asks to hear with its request for a WebSocket: topics, and where to resume.

use crate::policy::topic::Filter;
use crate::wire::messages::DEFAULT_TOPIC;
use crate::wire::request::Request;

/// What a client wants to hear.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Subscriptions {
    /// What it listens to; the default topic where it names none.
    pub filters: Vec<Filter>,
    /// Whether it names none.
    pub names_none: bool,
    /// What it named that cannot be listened to, and why.
    pub refused: Vec<String>,
    /// Where it wants to resume, as it was sent, and never empty.
    pub last_event_id: Option<String>,
}

impl Subscriptions {
    /// Reads them from a request: `topic`, repeatable, and `last_event_id` in the query, the latter also as the field
    /// `Last-Event-ID`. An empty value counts as absent: that is what a client sends whose template has nothing to fill in.
    pub fn read(request: &Request) -> Self {
        let last_event_id = request.fields.last_event_id.clone().filter(|id| !id.is_empty());
        let mut subscriptions = Self { last_event_id, ..Self::default() };
        for (name, value) in form_urlencoded::parse(request.query.as_bytes()) {
            match &*name {
                "topic" if value.is_empty() => {}
                "topic" => match Filter::parse(&value) {
                    Ok(filter) => subscriptions.filters.push(filter),
                    Err(why) => subscriptions.refused.push(format!("{value:?} is no topic: {why}")),
                },
                "last_event_id" if !value.is_empty() => {
                    subscriptions.last_event_id = Some(value.into_owned());
                }
                _ => {}
            }
        }
        subscriptions.names_none = subscriptions.filters.is_empty() && subscriptions.refused.is_empty();
        if subscriptions.names_none {
            subscriptions.filters.push(Filter::parse(DEFAULT_TOPIC).expect("the default is a topic"));
        }
        subscriptions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request_buffer::{BodyWish, Next, RequestBuffer};

    /// The filters, how many were refused, and where to resume.
    fn read(target: &str, field: &str) -> (Vec<String>, usize, Option<String>) {
        let mut buffer = RequestBuffer::default();
        buffer.extend(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{field}\r\n").as_bytes());
        let Ok(Next::Request(request)) = buffer.next(|_| BodyWish::Skip) else { panic!("no request") };
        let Subscriptions { filters, refused, last_event_id, .. } = Subscriptions::read(&request);
        (filters.iter().map(|filter| filter.as_str().to_owned()).collect(), refused.len(), last_event_id)
    }

    #[test]
    fn topics_are_read_from_the_query_and_the_default_is_heard_where_there_are_none() {
        let topics = |topics: &[&str]| topics.iter().map(|topic| (*topic).to_owned()).collect::<Vec<_>>();
        assert_eq!(read("/ws?topic=a&topic=b%2F*&x=y", ""), (topics(&["a", "b/*"]), 0, None));
        assert_eq!(read("/ws?topic=&topic=a", ""), (topics(&["a"]), 0, None));
        for target in ["/ws", "/ws?topic=", "/ws?topic", "/ws?topic=&topic="] {
            assert_eq!(read(target, ""), (topics(&["notifications"]), 0, None), "{target}");
        }
        assert_eq!(read("/ws?topic=a+b&last_event_id=e-1", ""), (vec![], 1, Some("e-1".to_owned())));
    }

    #[test]
    fn where_to_resume_is_read_from_the_query_or_else_from_the_field() {
        for (target, field, expected) in [
            ("/ws", "Last-Event-ID: e-2\r\n", Some("e-2")),
            ("/ws?last_event_id=", "", None),
            ("/ws?last_event_id", "Last-Event-ID:\r\n", None),
            ("/ws", "Last-Event-ID: \t\r\n", None),
            ("/ws?last_event_id=", "Last-Event-ID: e-2\r\n", Some("e-2")),
            ("/ws?last_event_id=e-1&last_event_id=", "Last-Event-ID: e-2\r\n", Some("e-1")),
        ] {
            assert_eq!(read(target, field).2.as_deref(), expected, "{target} {field}");
        }
    }
}
