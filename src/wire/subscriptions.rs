//! What a client asks to hear with its request for a WebSocket or an event stream: topics, and where to resume.

use std::collections::HashSet;

use crate::policy::hub::MAX_SUBSCRIPTIONS;
use crate::policy::topic::Filter;
use crate::wire::messages::{DEFAULT_TOPIC, echoed};
use crate::wire::quoted::quoted;
use crate::wire::request::Request;

/// What a client wants to hear.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Subscriptions {
    /// What it listens to; the default topic where it names none.
    pub filters: Vec<Filter>,
    /// Whether it names none.
    pub names_none: bool,
    /// What it named that cannot be listened to, unless that is too long, and why.
    pub refused: Vec<(Option<String>, String)>,
    /// Where it wants to resume, as it was sent, and never empty.
    pub last_event_id: Option<String>,
}

impl Subscriptions {
    /// Reads them from a request: `topic`, repeatable, and `last_event_id` in the query, the latter also as the field
    /// `Last-Event-ID`. An empty value counts as absent: that is what a client sends whose template has nothing to fill in.
    pub fn read(request: &Request) -> Self {
        let last_event_id = request.fields.last_event_id.clone().filter(|id| !id.is_empty());
        let mut subscriptions = Self { last_event_id, ..Self::default() };
        for (name, value) in form_urlencoded::parse(request.query_bytes()) {
            match &*name {
                "topic" if value.is_empty() => {}
                "topic" => match Filter::parse(&value) {
                    Ok(filter) => subscriptions.filters.push(filter),
                    Err(why) => {
                        let message = format!(
                            "{} is no topic: {why}, as orders/7, or a pattern as orders/*",
                            quoted(&value)
                        );
                        subscriptions.refused.push((echoed(value.into_owned()), message));
                    }
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

    /// The same of a request for an event stream, where the field `Last-Event-ID` wins: a browser sends it when it comes back,
    /// and its URL still has the id of the first time.
    pub fn read_of_stream(request: &Request) -> Self {
        let mut subscriptions = Self::read(request);
        let newer = request.fields.last_event_id.clone().filter(|id| !id.is_empty());
        subscriptions.last_event_id = newer.or(subscriptions.last_event_id);
        subscriptions
    }

    /// Why not all of it can be listened to, if so.
    pub fn fault(self) -> Option<String> {
        let distinct: HashSet<&str> = self.filters.iter().map(Filter::as_str).collect();
        let is_too_much = distinct.len() > MAX_SUBSCRIPTIONS;
        let too_many = is_too_much.then(|| format!("a connection has at most {MAX_SUBSCRIPTIONS} topics"));
        self.refused.into_iter().map(|(_, why)| why).next().or(too_many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request_buffer::{BodyWish, Next, RequestBuffer};

    fn request(target: &str, field: &str) -> Box<Request> {
        let mut buffer = RequestBuffer::default();
        buffer.extend(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{field}\r\n").as_bytes());
        let Ok(Next::Request(request)) = buffer.next(|_| BodyWish::Skip) else { panic!("no request") };
        request
    }

    /// The filters, how many were refused, and where to resume.
    fn read(target: &str, field: &str) -> (Vec<String>, usize, Option<String>) {
        let Subscriptions { filters, refused, last_event_id, .. } =
            Subscriptions::read(&request(target, field));
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

    #[test]
    fn a_stream_resumes_where_its_browser_says_rather_than_where_its_url_began() {
        for (target, field, expected) in [
            ("/events?last_event_id=e-1", "Last-Event-ID: e-2\r\n", Some("e-2")),
            ("/events?last_event_id=e-1", "Last-Event-ID:\r\n", Some("e-1")),
            ("/events?last_event_id=e-1", "", Some("e-1")),
            ("/events", "Last-Event-ID: e-2\r\n", Some("e-2")),
            ("/events?last_event_id=", "", None),
        ] {
            let asked = Subscriptions::read_of_stream(&request(target, field));
            assert_eq!(asked.last_event_id.as_deref(), expected, "{target} {field}");
        }
    }

    #[test]
    fn what_cannot_be_listened_to_is_named_and_a_topic_that_is_named_twice_is_one() {
        let fault = |target: &str| Subscriptions::read(&request(target, "")).fault();
        let topics = |count: usize| (0..count).map(|n| format!("&topic=t{n}")).collect::<String>();
        assert_eq!((fault("/events"), fault("/events?topic=a&topic=b/*")), (None, None));
        assert_eq!(fault(&format!("/events?topic=t1{}", topics(128))), None);
        assert_eq!(
            fault(&format!("/events?{}", topics(129))).unwrap(),
            "a connection has at most 128 topics"
        );
        let why = fault("/events?topic=a&topic=a+b").unwrap();
        assert!(why.starts_with("\"a b\" is no topic: "), "{why}");
    }
}
