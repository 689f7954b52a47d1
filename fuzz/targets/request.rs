//! HTTP requests: they mean the same however they are cut, and only what has arrived takes memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slackwater::http::answer::Answer;
use slackwater::http::host::Host;
use slackwater::http::redirect::Redirect;
use slackwater::wire::authority::Authority;
use slackwater::wire::refusal::Refusal;
use slackwater::wire::request::{Method, Request};
use slackwater::wire::request_buffer::{BodyWish, Next, RequestBuffer};
use slackwater::wire::response::Exchange;
use slackwater::wire::subscriptions::Subscriptions;
use slackwater::wire::upgrade::Upgrade;
use slackwater_fuzz::{in_pieces, within};

/// No input reaches it: whoever reserves what is announced is found out.
const LARGE_BYTES: usize = 1 << 30;

const SMALL_BYTES: usize = 100;

fuzz_target!(|input: &[u8]| {
    let Some((content, pieces)) = in_pieces(input) else {
        return;
    };
    let most_bytes = 64 * 1024 + 128 * content.len();
    let (requests, end) = within(most_bytes, || read([content]));
    let (same_requests, same_end) = within(most_bytes, || read(pieces));
    assert_eq!(requests, same_requests);
    match (end, same_end) {
        // Of several faults, it depends on the pieces which is seen first.
        (Err(Refusal::HeadTooLarge), Err(_)) | (Err(_), Err(Refusal::HeadTooLarge)) => {}
        (end, same_end) => assert_eq!(end.map_err(Refusal::label), same_end.map_err(Refusal::label)),
    }
});

/// The requests, and what is left behind them or was wrong.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Request>, Result<Vec<u8>, Refusal>) {
    let (mut buffer, mut requests, mut is_last) = (RequestBuffer::default(), vec![], false);
    for piece in pieces {
        buffer.extend(piece);
        while !is_last {
            match buffer.next(wish) {
                Ok(Next::More) => break,
                Ok(Next::Continue) => {}
                Ok(Next::Request(request)) => {
                    buffer.put_back(request);
                    let Ok(Next::Request(request)) = buffer.next(wish) else { panic!("it was put back") };
                    check(&request);
                    is_last = !request.keep_alive || matches!(request.upgrade, Upgrade::Asked(_));
                    requests.push(*request);
                }
                Err(refusal) => return (requests, Err(refusal)),
            }
        }
        assert!(!buffer.is_empty() || !buffer.has_begun());
    }
    (requests, Ok(buffer.into_rest()))
}

fn wish(request: &mut Request) -> BodyWish {
    match (request.method, &*request.path) {
        (Method::Post, "/large") => BodyWish::Collect(LARGE_BYTES),
        (Method::Post, _) => BodyWish::Collect(SMALL_BYTES),
        _ => BodyWish::Skip,
    }
}

/// What those who answer it rely on.
fn check(request: &Request) {
    let Request { path, query, fields, body, .. } = request;
    let query = query.as_deref().unwrap_or_default();
    assert!(path == "*" || path.starts_with('/'));
    assert!(!path.contains(['?', '#', '\\', ' ']) && !query.contains(['#', ' ']));
    assert!(path.is_ascii() && query.is_ascii());
    assert!(fields.host.as_deref().is_none_or(|host| host.is_empty() || Authority::read(host).is_some()));
    assert!(request.method == Method::Post || body.is_empty());
    assert!(path == "/large" || body.len() <= SMALL_BYTES);
    if let Upgrade::Asked(acceptance) = &request.upgrade {
        assert!(request.method == Method::Get && acceptance.key.len() == 28);
    }
    let asked = Subscriptions::read(request);
    assert!(!asked.filters.is_empty() || !asked.refused.is_empty());
    assert!(asked.last_event_id.is_none_or(|id| !id.is_empty()));
    check_redirected(request);
}

/// Whoever is redirected is sent to a host that is one, and told nothing but where.
fn check_redirected(request: &Request) {
    let redirect = Redirect { port: 8443, own_port: None, answers_challenges: true };
    let Answer::Respond(response) = redirect.answer(request) else { return };
    let (head, body) = response.encode(&Exchange::last(jiff::Timestamp::UNIX_EPOCH, None));
    let head = std::str::from_utf8(&head).expect("a head is text");
    let [_, _, location, length, connection, "", ""] = head.split("\r\n").collect::<Vec<_>>()[..] else {
        panic!("{head:?}");
    };
    assert_eq!((length, connection, &body[..]), ("Content-Length: 0", "Connection: close", &b""[..]));
    let target = location.strip_prefix("Location: https://").expect("it is redirected to HTTPS");
    assert!(!target.contains(|c: char| c.is_ascii_control() || c == ' '), "{target:?}");
    let authority = target.split(['/', '?']).next().expect("there is a first part");
    let host = authority.strip_suffix(":8443").expect("the port is named");
    let named = request.fields.host.as_deref().and_then(Host::named_in);
    assert!(named.is_some() && Host::read(host) == named, "{location}");
}
