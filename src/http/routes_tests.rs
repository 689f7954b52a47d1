//! What becomes of requests, most of them for an event stream, in tables: by method, door, page, token, and how busy the server is.

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use super::*;
use crate::config::origins::AllowedOrigin;
use crate::http::access::Reach;
use crate::http::keys::VerifyingKeys;
use crate::http::token::Verifier;
use crate::policy::topic::Filter;
use crate::wire::request_buffer::{Next, RequestBuffer};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn request(head: &str) -> Box<Request> {
    let mut buffer = RequestBuffer::default();
    let (line, fields) = head.split_once('\n').unwrap_or((head, ""));
    let separator = if fields.is_empty() { "" } else { "\n" };
    let text = format!("{line} HTTP/1.1\nHost: localhost{separator}{fields}\n\n").replace('\n', "\r\n");
    buffer.extend(text.as_bytes());
    let Ok(Next::Request(request)) = buffer.next(|_| BodyWish::Skip) else { panic!("no request: {head}") };
    request
}

/// A server on a loopback address, as it is asked now.
#[derive(Default)]
struct House {
    allowed: Vec<AllowedOrigin>,
    auth: Option<Auth>,
    stage: Stage,
    crowded: bool,
    too_many: Option<u64>,
    door: Door,
}

impl House {
    fn with<T>(&self, ask: impl FnOnce(Conditions<'_>) -> T) -> T {
        let access = Access { token: None, reach: Reach::ThisMachine(None) };
        ask(Conditions {
            door: self.door,
            has_admin: self.door == Door::Admin,
            redirect: Redirect { port: 8443, own_port: None, answers_challenges: true },
            stage: self.stage,
            crowded: self.crowded,
            too_many: self.too_many,
            access: &access,
            origins: Origins { allowed: &self.allowed, reach: &access.reach },
            auth: self.auth.as_ref(),
            now: Timestamp::UNIX_EPOCH,
            max_publish_bytes: 1000,
            compresses: false,
        })
    }

    /// What becomes of a request, and to which page the answer may be shown.
    fn answer(&self, head: &str) -> (String, Option<String>) {
        self.with(|conditions| {
            let request = request(head);
            let shared_with = shared_with(&request, conditions).map(Into::into);
            let (word, response) = match answer(request, &Site::default(), conditions) {
                Answer::Stream { identity, .. } if identity.is_some() => {
                    ("stream of somebody".to_owned(), None)
                }
                Answer::Stream { .. } => ("stream".to_owned(), None),
                Answer::Postpone(delay) => (format!("{delay:?}"), None),
                Answer::Respond(response) => ("".to_owned(), Some(response)),
                Answer::Stranger(_, response) => ("stranger ".to_owned(), Some(response)),
                other => (format!("{other:?}"), None),
            };
            (word + &response.map(status_and_allow).unwrap_or_default(), shared_with)
        })
    }
}

fn status_and_allow(response: Response) -> String {
    let exchange = crate::wire::response::Exchange {
        now: Timestamp::UNIX_EPOCH,
        head_only: true,
        keep_alive: true,
        takes_chunks: true,
        shared_with: None,
        counted_as: None,
    };
    let head = String::from_utf8(response.encode(&exchange).0.to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap_or_default();
    let allow = head.lines().find_map(|line| line.strip_prefix("Allow: "));
    allow.map_or(status.to_owned(), |allow| format!("{status} {allow}"))
}

fn guarded(anonymous: &[&str]) -> House {
    let anonymous = anonymous.iter().map(|topic| Filter::parse(topic).unwrap()).collect();
    let verifier = Verifier::new(VerifyingKeys::of_secret(SECRET), None, None);
    House { auth: Some(Auth::new(verifier, anonymous)), ..House::default() }
}

#[test]
fn a_stream_is_got_and_its_head_asked_for_and_nothing_else_is_done_to_it() {
    let house = House::default();
    for (head, expected) in [
        ("GET /events", "stream"),
        ("GET /events?topic=a&topic=b/*&last_event_id=x", "stream"),
        ("HEAD /events", "stream"),
        ("POST /events", "405 GET, HEAD"),
        ("PUT /events", "405 GET, HEAD"),
        ("OPTIONS /events", "405 GET, HEAD"),
        ("GET /events/", "404"),
        ("GET /events?topic=a+b", "400"),
        ("HEAD /events?topic=a&topic=*b", "400"),
    ] {
        assert_eq!(house.answer(head), (expected.to_owned(), None), "{head}");
    }
    let many: String = (0..129).map(|n| format!("&topic={n}")).collect();
    assert_eq!(house.answer(&format!("GET /events?{many}")).0, "400");
    let admin = House { door: Door::Admin, ..House::default() };
    assert_eq!(admin.answer("GET /events").0, "404", "it is for clients");
    for (path, at_the_admins, elsewhere) in [
        ("/", "200", "200"),
        ("/status.js", "200", "404"),
        ("/app.js", "404", "200"),
        ("/favicon.svg", "200", "200"),
        ("/none", "404", "404"),
    ] {
        assert_eq!(admin.answer(&format!("GET {path}")).0, at_the_admins, "{path}");
        assert_eq!(House::default().answer(&format!("GET {path}")).0, elsewhere, "{path}");
    }
}

#[test]
fn pages_may_read_a_stream_that_may_open_a_websocket_and_a_browser_that_asks_first_is_told_so() {
    let allowed = vec![AllowedOrigin::read("https://app.example.com").unwrap()];
    let house = House { allowed, ..House::default() };
    let preflight = "\nAccess-Control-Request-Method: GET\nOrigin: ";
    for (origin, is_in) in [
        ("https://app.example.com", true),
        ("http://localhost:3000", true),
        ("https://evil.example", false),
        ("null", false),
    ] {
        let shared_with = is_in.then(|| origin.to_owned());
        let stream = if is_in { "stream" } else { "stranger 403" };
        let asked = house.answer(&format!("GET /events\nOrigin: {origin}"));
        assert_eq!(asked, (stream.to_owned(), shared_with.clone()), "{origin}");
        let allow = if is_in { "204" } else { "stranger 405 GET, HEAD" };
        let asked = house.answer(&format!("OPTIONS /events{preflight}{origin}"));
        assert_eq!(asked, (allow.to_owned(), shared_with), "{origin}");
    }
}

#[test]
fn what_passes_postpones_a_stream_and_what_does_not_refuses_it() {
    let leaving = House { stage: Stage::Leaving, ..House::default() };
    let starting = House { stage: Stage::Starting, ..House::default() };
    let crowded = House { crowded: true, ..House::default() };
    let too_many = House { too_many: Some(7), crowded: true, ..House::default() };
    for (house, head, expected) in [
        (&leaving, "GET /events", "Leaving { resumes: false }"),
        (&leaving, "HEAD /events", "Leaving { resumes: false }"),
        (&starting, "GET /events?last_event_id=x", "Starting"),
        (&starting, "GET /events?topic=a+b", "400"),
        (&leaving, "GET /events\nLast-Event-ID: x", "Leaving { resumes: true }"),
        (&leaving, "GET /events?last_event_id=x", "Leaving { resumes: true }"),
        (&leaving, "GET /events?topic=a+b", "400"),
        (&leaving, "GET /events\nOrigin: https://evil.example", "stranger 403"),
        (&leaving, "POST /events", "405 GET, HEAD"),
        (&crowded, "GET /events", "Crowded"),
        (&crowded, "HEAD /events", "Crowded"),
        (&crowded, "POST /events", "503"),
        (&too_many, "GET /events", "TooMany(7)"),
        (&too_many, "POST /events", "429"),
        (&too_many, "GET /ws", "429"),
    ] {
        assert_eq!(house.answer(head).0, expected, "{head}");
    }
    let page = "GET /events\nOrigin: http://localhost:3000";
    let shown = Some("http://localhost:3000".to_owned());
    assert_eq!(
        too_many.answer(page),
        ("TooMany(7)".to_owned(), shown),
        "or its browser would take it for a refusal"
    );
}

#[test]
fn tokens_are_taken_as_for_a_websocket_and_before_the_server_says_that_it_leaves() {
    let claims = json!({"sub": "ada", "slackwater": {"subscribe": ["a/*"]}});
    let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).unwrap();
    let (closed, open) = (guarded(&[]), guarded(&["news"]));
    for (house, head, expected) in [
        (&closed, "GET /events?topic=a/1".to_owned(), "401"),
        (&closed, format!("GET /events?topic=a/1&token={token}"), "stream of somebody"),
        (&closed, format!("GET /events?topic=a/1\nAuthorization: Bearer {token}"), "stream of somebody"),
        (&closed, format!("GET /events?topic=a/1\nCookie: slackwater_token={token}"), "stream of somebody"),
        (&closed, format!("HEAD /events?topic=a/1&token={token}"), "stream of somebody"),
        (&closed, format!("GET /events?topic=b&token={token}"), "403"),
        (&closed, format!("GET /events?topic=a/1&token={token}x"), "401"),
        (&open, "GET /events?topic=news".to_owned(), "stream"),
        (&open, "GET /events".to_owned(), "401"),
    ] {
        assert_eq!(house.answer(&head).0, expected, "{head}");
    }
    let leaving = House { stage: Stage::Leaving, ..guarded(&[]) };
    assert_eq!(leaving.answer("GET /events?topic=a/1").0, "401");
}

#[test]
fn metrics_are_told_in_the_format_that_is_asked_for() {
    for (accept, report) in [
        ("", "Report(Metrics)"),
        ("\nAccept: */*", "Report(Metrics)"),
        ("\nAccept: application/openmetrics-text;version=1.0.0, text/plain;q=0.5", "Report(OpenMetrics)"),
        ("\nAccept: text/plain\nAccept: application/openmetrics-text;q=0.1", "Report(Metrics)"),
    ] {
        assert_eq!(House::default().answer(&format!("GET /metrics{accept}")).0, report, "{accept}");
        assert_eq!(House::default().answer(&format!("HEAD /metrics{accept}")).0, report, "{accept}");
        assert_eq!(House::default().answer(&format!("GET /status{accept}")).0, "Report(Status)", "{accept}");
    }
}

#[test]
fn at_the_door_for_that_everything_is_redirected_and_limits_hold() {
    let house = House { door: Door::Redirect, ..House::default() };
    let crowded = House { crowded: true, door: Door::Redirect, ..House::default() };
    let too_many = House { too_many: Some(7), door: Door::Redirect, ..House::default() };
    let leaving = House { stage: Stage::Leaving, door: Door::Redirect, ..House::default() };
    let guarded = House { door: Door::Redirect, ..guarded(&[]) };
    for path in
        ["/", "/app.js", "/ws", "/events?topic=a", "/healthz", "/readyz", "/status", "/metrics", "/none"]
    {
        for house in [&house, &leaving, &guarded] {
            assert_eq!(
                house.answer(&format!("GET {path}\nOrigin: https://evil.example")),
                ("301".to_owned(), None)
            );
        }
        assert_eq!(crowded.answer(&format!("GET {path}")).0, "503", "{path}");
    }
    for line in ["POST /publish", "POST /drain", "OPTIONS /publish", "OPTIONS /events", "OPTIONS *"] {
        let head = format!("{line}\nOrigin: https://a.example\nAccess-Control-Request-Method: POST");
        assert_eq!(house.answer(&head), ("308".to_owned(), None), "{line}");
        assert_eq!(too_many.answer(line).0, "429", "{line}");
    }
    let mut request = request("POST /publish\nContent-Length: 5");
    assert_eq!(house.with(|conditions| wish(&mut request, conditions)), BodyWish::Ignore);
}

#[test]
fn a_path_with_a_topic_is_answered_as_the_one_without_at_each_door() {
    let house = House::default();
    let operators = House { door: Door::Admin, ..House::default() };
    for path in ["/publish", "/publish/orders/7", "/publish/"] {
        for (house, line, expected) in [
            (&house, "GET", "405 POST"),
            (&house, "DELETE", "405 POST"),
            (&operators, "PUT", "405 POST"),
            (&House { stage: Stage::Leaving, ..House::default() }, "POST", "503"),
            (&House { crowded: true, ..House::default() }, "POST", "503"),
        ] {
            assert_eq!(house.answer(&format!("{line} {path}")).0, expected, "{line} {path}");
        }
        for house in [&house, &operators] {
            let mut request = request(&format!("POST {path}\nContent-Length: 5"));
            let wish = house.with(|conditions| wish(&mut request, conditions));
            assert_eq!((wish, counted_as(&request)), (BodyWish::Collect(1000), Some("/publish")), "{path}");
        }
    }
    assert_eq!(
        (counted_as(&request("POST /publishing")), house.answer("POST /publishing").0),
        (None, "404".to_owned())
    );
}
