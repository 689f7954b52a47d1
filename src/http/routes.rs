//! Decides what becomes of each request: by its path, its method, its door, and who may ask.

use crate::http::access::{Access, Denial};
use crate::http::answer::{Answer, Delay};
use crate::http::auth::Auth;
use crate::http::credentials;
use crate::http::door::Door;
use crate::http::origin::{Origins, Stranger, preflight_response};
use crate::http::redirect::Redirect;
use crate::http::report::Report;
use crate::http::site::{Audience, Site};
use crate::http::token::Identity;
use crate::wire::connections::Page;
use crate::wire::extensions::Offers;
use crate::wire::refusal::Refusal;
use crate::wire::request::{Method, Preflight, Request};
use crate::wire::request_buffer::BodyWish;
use crate::wire::response::Response;
use crate::wire::subscriptions::Subscriptions;
use crate::wire::upgrade::Upgrade;
use jiff::Timestamp;

use self::publishing::{clients_token, is_publishers};

mod publishing;

/// How far the server is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stage {
    /// What was published before it began is not known yet, so that nobody could be told behind what it listens: no clients.
    Starting,
    /// All is answered.
    #[default]
    Serving,
    /// It drains: no new clients and no new publications.
    Leaving,
}

/// What answers depend on besides the request.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a> {
    /// Where it came in.
    pub door: Door,
    /// Whether operators have a door of their own.
    pub has_admin: bool,
    /// How requests are redirected that come in at the door for that.
    pub redirect: Redirect,
    /// How far the server is.
    pub stage: Stage,
    /// There are more connections than the limit allows.
    pub crowded: bool,
    /// There are too many connections of this address: after how many seconds it may try again.
    pub too_many: Option<u64>,
    /// Who may publish, tell the server to leave, and look at its numbers.
    pub access: &'a Access,
    /// Which pages may listen and publish.
    pub origins: Origins<'a>,
    /// Who may hear and publish what, by tokens; `None` where none are expected.
    pub auth: Option<&'a Auth>,
    /// By which tokens are judged.
    pub now: Timestamp,
    /// The largest body of a publication.
    pub max_publish_bytes: usize,
    /// Messages are compressed for clients that ask for it.
    pub compresses: bool,
}

/// The path as which the refusal of a request is counted: of those that not everybody may ask for.
pub fn counted_as(request: &Request) -> Option<&'static str> {
    let paths = ["/ws", "/events", "/drain", "/status", "/metrics"];
    let is_publishers = is_publishers(&request.path).then_some("/publish");
    is_publishers.or_else(|| paths.into_iter().find(|path| *path == request.path))
}

/// Whether a request asks for what operators have a token for, and shows another one.
pub fn tries_token(request: &Request, access: &Access) -> bool {
    access.token.is_some()
        && (is_publishers(&request.path) || matches!(&*request.path, "/drain" | "/status" | "/metrics"))
        && clients_token(request, access).is_some()
}

/// The origin, if it is another one, whose page may read the answer to a request.
pub fn shared_with(request: &Request, conditions: Conditions<'_>) -> Option<Box<str>> {
    let origin = match request.path.as_str() {
        path if !is_here(path, conditions) => None,
        path if is_publishers(path) => conditions.origins.allowed_origin_of(request),
        "/events" => conditions.origins.origin_of_reader(request),
        _ => None,
    };
    origin.map(Into::into)
}

/// What a request for a WebSocket or an event stream wants to hear.
pub fn subscriptions(request: &Request) -> Option<Subscriptions> {
    match (request.path.as_str(), request.method, &request.upgrade) {
        ("/ws", _, Upgrade::Asked(_)) => Some(Subscriptions::read(request)),
        ("/events", Method::Get, _) => Some(Subscriptions::read_of_stream(request)),
        _ => None,
    }
}

/// What to do with a request's body, before it arrives.
pub fn wish(request: &mut Request, conditions: Conditions<'_>) -> BodyWish {
    if conditions.door == Door::Redirect {
        return BodyWish::Ignore;
    }
    let is_welcome =
        is_here(&request.path, conditions) && !conditions.crowded && conditions.too_many.is_none();
    if publishing::is_asked(request)
        && is_welcome
        && conditions.stage != Stage::Leaving
        && publishing::may(request, conditions)
    {
        BodyWish::Collect(conditions.max_publish_bytes)
    } else {
        BodyWish::Skip
    }
}

/// Whether a path is answered at the door where it is asked for. If operators have a door of their own, their paths are
/// answered only there.
fn is_here(path: &str, conditions: Conditions<'_>) -> bool {
    let is_operators = is_publishers(path) || matches!(path, "/readyz" | "/status" | "/metrics" | "/drain");
    match conditions.door {
        Door::Public => !is_operators || !conditions.has_admin,
        Door::Admin => is_operators || matches!(path, "/healthz" | "*") || Audience::Operators.has(path),
        Door::Redirect => false,
    }
}

/// Answers a request.
pub fn answer(request: Box<Request>, site: &Site, conditions: Conditions<'_>) -> Answer {
    if asks_for_stream(&request)
        && is_here(&request.path, conditions)
        && let Some(delay) =
            conditions.too_many.map(Delay::TooMany).or_else(|| conditions.crowded.then_some(Delay::Crowded))
    {
        return Answer::Postpone(delay);
    }
    if let Some(seconds) = conditions.too_many.filter(|_| request.path != "/healthz") {
        let response = Response::error(429, "too many connections from this address");
        return Answer::Respond(response.with("Retry-After", seconds.to_string()));
    }
    let response = match request.path.as_str() {
        _ if conditions.door == Door::Redirect && conditions.crowded => {
            unavailable("too many connections", "5")
        }
        _ if conditions.door == Door::Redirect => return conditions.redirect.answer(&request),
        path if !is_here(path, conditions) => Response::error(404, "not found"),
        "/healthz" => {
            get_only(request.method, || Response::new(200, "application/json", r#"{"status":"ok"}"#))
        }
        path @ ("/readyz" | "/status" | "/metrics") => match request.method {
            Method::Get | Method::Head => match report_at(path, &request, conditions) {
                Err(refusal) => refusal,
                Ok(report) => return Answer::Report(report),
            },
            Method::Post | Method::Other => not_allowed("GET, HEAD"),
        },
        "/drain" if request.method != Method::Post => not_allowed("POST"),
        "/drain" => match refuse_operator(&request, conditions) {
            Some(refusal) => refusal,
            None => return Answer::Drain,
        },
        "*" => not_allowed("GET, HEAD, POST"),
        _ if conditions.crowded => unavailable("too many connections", "5"),
        "/ws" => return answer_websocket(request, conditions),
        "/events" if asks_for_stream(&request) => return answer_stream(request, conditions),
        "/events" if request.fields.preflight != Preflight::NotAsked => {
            let stranger = conditions.origins.deny_reader(&request, false);
            return answer_preflight(&request, stranger.is_none(), stranger, "GET, HEAD");
        }
        "/events" => not_allowed("GET, HEAD"),
        path if is_publishers(path) => return publishing::answer(request, conditions),
        _ => match site.find(Audience::at(conditions.door, conditions.has_admin), &request) {
            Some(page) => get_only(request.method, || page),
            None => Response::error(404, "not found"),
        },
    };
    Answer::Respond(response)
}

fn answer_websocket(request: Box<Request>, conditions: Conditions<'_>) -> Answer {
    if matches!(request.upgrade, Upgrade::Asked(_))
        && let Some(stranger) = conditions.origins.deny_listener(&request)
    {
        let response = stranger.not_listening();
        return Answer::Stranger(stranger, response);
    }
    Answer::Respond(match (request.method, &request.upgrade) {
        (Method::Get, Upgrade::Asked(_)) if conditions.stage == Stage::Leaving => restarting(),
        (Method::Get, Upgrade::Asked(_)) if conditions.stage == Stage::Starting => starting(),
        (Method::Get, Upgrade::Asked(acceptance)) => {
            let compression = match acceptance.offers {
                Offers::Compression(compression) if conditions.compresses => Some(compression),
                // RFC 6455 §9.1. Where there are no extensions, nobody reads the field.
                Offers::Malformed if conditions.compresses => {
                    return Answer::Refuse(Refusal::Malformed("Sec-WebSocket-Extensions is malformed"));
                }
                _ => None,
            };
            match admit_listener(&request, conditions) {
                Err(refusal) => refusal,
                Ok(identity) => {
                    let acceptance = acceptance.clone();
                    return Answer::Upgrade { acceptance, compression, request, identity };
                }
            }
        }
        (Method::Get, Upgrade::Refused(refusal)) => return Answer::Refuse(*refusal),
        (Method::Get, Upgrade::OtherVersion) => upgrade_required("only WebSocket version 13 is spoken here"),
        // A page is told here why it is not let in: of a handshake that fails a browser tells it nothing.
        (Method::Get, Upgrade::NotAsked) => match admit_listener(&request, conditions) {
            Err(refusal) => refusal,
            Ok(_) => upgrade_required("this is a WebSocket: ask for an upgrade, with HTTP/1.1"),
        },
        _ => not_allowed("GET"),
    })
}

fn asks_for_stream(request: &Request) -> bool {
    request.path == "/events" && matches!(request.method, Method::Get | Method::Head)
}

/// What a WebSocket would be told of its topics behind the welcome, a stream is told before it begins: there is nobody to tell
/// later, as a browser has `error` events of its own, and to ask again as it was asked is of no use.
fn answer_stream(request: Box<Request>, conditions: Conditions<'_>) -> Answer {
    let shows_token = conditions.auth.is_some() && credentials::listeners_token(&request).is_some();
    if let Some(stranger) = conditions.origins.deny_reader(&request, shows_token) {
        let response = stranger.not_listening();
        return Answer::Stranger(stranger, response);
    }
    match admit_listener(&request, conditions) {
        Err(refusal) => Answer::Respond(refusal),
        Ok(identity) => {
            let asked = Subscriptions::read_of_stream(&request);
            let resumes = asked.last_event_id.is_some();
            match (asked.fault(), conditions.stage) {
                (Some(why), _) => Answer::Respond(Response::error(400, &why)),
                (None, Stage::Leaving) => Answer::Postpone(Delay::Leaving { resumes }),
                (None, Stage::Starting) => Answer::Postpone(Delay::Starting),
                (None, Stage::Serving) => Answer::Stream { request, identity },
            }
        }
    }
}

/// Who a listener is that may hear all that its request names. Where no tokens are expected everybody may, and is nobody.
fn admit_listener(request: &Request, conditions: Conditions<'_>) -> Result<Option<Box<Identity>>, Response> {
    conditions.auth.map_or(Ok(None), |auth| auth.admit(request, conditions.now))
}

/// Answers a browser that asks whether a page may send a request by one of these methods.
fn answer_preflight(
    request: &Request,
    may_ask: bool,
    stranger: Option<Stranger>,
    methods: &'static str,
) -> Answer {
    if may_ask {
        return Answer::Respond(preflight_response(request, methods));
    }
    match stranger {
        Some(stranger) => Answer::Stranger(stranger, not_allowed(methods)),
        None => Answer::Respond(not_allowed(methods)),
    }
}

/// What is asked for. Who the clients are is for operators alone, also where others may look at the numbers.
fn report_at(path: &str, request: &Request, conditions: Conditions<'_>) -> Result<Report, Response> {
    let page = Page::read(request.query_bytes()).filter(|_| path == "/status");
    let refuse = if page.is_some() { refuse_operator } else { refuse_onlooker };
    refuse(request, conditions).map_or(Ok(()), Err)?;
    let page = page.transpose().map_err(|why| Response::error(400, &why))?;
    Ok(Report::at(path, page, request.fields.metrics_format))
}

/// The refusal of a peer that may not tell the server to leave. A client's token decides, if one is shown: it never grants
/// that.
fn refuse_operator(request: &Request, conditions: Conditions<'_>) -> Option<Response> {
    if let Some(auth) = conditions.auth
        && let Some(token) = clients_token(request, conditions.access)
    {
        let refusal = publishing::refuse_shape(&token, conditions.access);
        return Some(refusal.unwrap_or_else(|| auth.refuse_as_operator(&token, conditions.now)));
    }
    conditions.access.deny_operator(request).map(Denial::response)
}

/// The refusal of a peer that may not be told this. Probes may ask, whatever name they use for the server.
fn refuse_onlooker(request: &Request, conditions: Conditions<'_>) -> Option<Response> {
    let denied = if request.path == "/readyz" { None } else { conditions.access.deny_onlooker(request) };
    denied.map(Denial::response)
}

fn get_only(method: Method, response: impl FnOnce() -> Response) -> Response {
    match method {
        Method::Get | Method::Head => response(),
        Method::Post | Method::Other => not_allowed("GET, HEAD"),
    }
}

fn not_allowed(allow: &'static str) -> Response {
    Response::error(405, "method not allowed").with("Allow", allow)
}

/// RFC 6455 §4.4, RFC 9110 §15.5.22.
fn upgrade_required(message: &str) -> Response {
    let response = Response::error(426, message).with("Sec-WebSocket-Version", "13");
    response.with("Upgrade", "websocket").with("Connection", "Upgrade")
}

/// The refusal of whoever would listen before it is known what was published.
fn starting() -> Response {
    unavailable(
        "the engine could not be read yet, so that nobody could resume here: try again, or another server",
        "2",
    )
}

/// The refusal while the server leaves.
pub fn restarting() -> Response {
    unavailable("the server is restarting", "1")
}

fn unavailable(message: &str, retry_after_seconds: &'static str) -> Response {
    Response::error(503, message).with("Retry-After", retry_after_seconds)
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
