//! Which request does what.

use crate::server::site::Site;
use crate::wire::http::{Method, Request};
use crate::wire::response::Response;
use crate::wire::upgrade::Upgrade;

/// What becomes of a request.
#[derive(Debug)]
pub enum Answer {
    /// It is answered.
    Respond(Response),
    /// The connection becomes a WebSocket: the value of `Sec-WebSocket-Accept`.
    Upgrade(String),
}

/// What answers depend on beside the request.
#[derive(Debug, Clone, Copy)]
pub struct Conditions {
    /// The server is draining: no new clients.
    pub leaving: bool,
    /// There are more connections than the limit allows.
    pub crowded: bool,
}

/// Answers a request.
pub fn answer(request: Request, site: &Site, conditions: Conditions) -> Answer {
    let response = match request.path.as_str() {
        "/healthz" => {
            get_only(request.method, || Response::new(200, "application/json", r#"{"status":"ok"}"#))
        }
        _ if conditions.crowded => unavailable("too many connections", "5"),
        "/ws" => return answer_websocket(request, conditions),
        path => match site.find(path, request.if_none_match.as_deref()) {
            Some(response) => get_only(request.method, || response),
            None => Response::error(404, "not found"),
        },
    };
    Answer::Respond(response)
}

fn answer_websocket(request: Request, conditions: Conditions) -> Answer {
    Answer::Respond(match (request.method, request.upgrade) {
        (Method::Get, Upgrade::Asked(_)) if conditions.leaving => {
            unavailable("the server is restarting", "1")
        }
        (Method::Get, Upgrade::Asked(accept)) => return Answer::Upgrade(accept),
        (Method::Get, Upgrade::OtherVersion) => upgrade_required("only WebSocket version 13 is spoken here"),
        (Method::Get, Upgrade::NotAsked) => upgrade_required("this is a WebSocket: ask for an upgrade"),
        _ => Response::error(405, "method not allowed").with("Allow", "GET"),
    })
}

fn get_only(method: Method, response: impl FnOnce() -> Response) -> Response {
    match method {
        Method::Get | Method::Head => response(),
        Method::Other => Response::error(405, "method not allowed").with("Allow", "GET, HEAD"),
    }
}

/// RFC 6455 §4.4, RFC 9110 §15.5.22.
fn upgrade_required(message: &str) -> Response {
    let response = Response::error(426, message).with("Sec-WebSocket-Version", "13");
    response.with("Upgrade", "websocket").with("Connection", "Upgrade")
}

fn unavailable(message: &str, retry_after_seconds: &'static str) -> Response {
    Response::error(503, message).with("Retry-After", retry_after_seconds)
}
