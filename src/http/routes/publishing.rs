//! What becomes of a request to publish: at `/publish`, where the body says where to, and at `/publish/{topic}`, where it is the data.
//! Both are one thing to whoever asks who may, and to whoever counts.

use std::borrow::Cow;

use super::{Conditions, Stage, answer_preflight, not_allowed, restarting};
use crate::http::access::{Access, Denial};
use crate::http::answer::Answer;
use crate::http::auth::{no_token, wrong_token};
use crate::http::credentials;
use crate::http::origin::Stranger;
use crate::http::token::is_shaped_as_jwt;
use crate::policy::rights::Publisher;
use crate::wire::request::{Method, Preflight, Request};
use crate::wire::response::Response;

/// Whether a path is one of publishers.
pub(super) fn is_publishers(path: &str) -> bool {
    path.strip_prefix("/publish").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a request asks to publish.
pub(super) fn is_asked(request: &Request) -> bool {
    is_publishers(&request.path) && request.method == Method::Post
}

/// Whether whoever asks may publish.
pub(super) fn may(request: &mut Request, conditions: Conditions<'_>) -> bool {
    match granted(request, conditions) {
        Some(granted) => granted.is_ok(),
        None => deny(request, conditions).is_none(),
    }
}

/// Answers a request at one of these paths.
pub(super) fn answer(request: Box<Request>, conditions: Conditions<'_>) -> Answer {
    if is_asked(&request) {
        return answer_publisher(request, conditions);
    }
    if request.fields.preflight == Preflight::NotAsked {
        return Answer::Respond(not_allowed("POST"));
    }
    let may_ask = conditions.origins.allowed_origin_of(&request).is_some();
    answer_preflight(&request, may_ask, conditions.origins.deny_stranger(&request), "POST")
}

/// The token that a request shows to publish or to be an operator, unless it is the operators'.
pub(super) fn clients_token<'a>(request: &'a Request, access: &Access) -> Option<Cow<'a, str>> {
    credentials::publishers_token(request).filter(|token| !access.is_operators(token))
}

/// What whoever shows this token is told where operators have one, too, and it is not of the shape of any other.
pub(super) fn refuse_shape(token: &str, access: &Access) -> Option<Response> {
    let is_any = access.token.is_none() || is_shaped_as_jwt(token);
    (!is_any).then(|| wrong_token("the token is wrong: it is neither the operators' token nor a JWT"))
}

fn answer_publisher(mut request: Box<Request>, conditions: Conditions<'_>) -> Answer {
    match granted(&mut request, conditions) {
        Some(Ok(_)) => {}
        Some(Err(refusal)) => return Answer::Respond(refusal.clone()),
        None => {
            if let Some(denial) = deny(&request, conditions) {
                return refuse(&request, denial, conditions);
            }
        }
    }
    match conditions.stage {
        Stage::Leaving => Answer::Respond(restarting()),
        Stage::Starting | Stage::Serving => Answer::Publish(request),
    }
}

fn refuse(request: &Request, denial: Denial, conditions: Conditions<'_>) -> Answer {
    match conditions.origins.deny_stranger(request).filter(|_| denial == Denial::Page) {
        Some(stranger) => Answer::Stranger(stranger, Stranger::not_publishing()),
        None if shows_operators_token(request, conditions.access) => {
            Answer::Respond(no_token("the operators' token is taken in Authorization alone"))
        }
        None if conditions.auth.is_some() => Answer::Respond(no_token("a token is needed to publish")),
        None => Answer::Respond(denial.response()),
    }
}

fn shows_operators_token(request: &Request, access: &Access) -> bool {
    credentials::publishers_token(request).is_some_and(|token| access.is_operators(&token))
}

/// Who shows a token to publish, and what it grants, unless it is the operators' token. It decides, if there is one.
fn granted<'a>(
    request: &'a mut Request,
    conditions: Conditions<'_>,
) -> Option<&'a Result<Publisher, Response>> {
    if request.granted.is_none()
        && let Some(auth) = conditions.auth
        && let Some(token) = clients_token(request, conditions.access)
    {
        let admitted = match refuse_shape(&token, conditions.access) {
            Some(refusal) => Err(refusal),
            None => auth.admit_publisher(&token, conditions.now),
        };
        request.granted = Some(Box::new(admitted));
    }
    request.granted.as_deref()
}

/// Why a peer may not publish, if it may not. A page of an allowed origin may do what a program on its machine may.
fn deny(request: &Request, conditions: Conditions<'_>) -> Option<Denial> {
    let is_allowed = || conditions.origins.allowed_origin_of(request).is_some();
    conditions.access.deny_operator(request).filter(|denial| *denial != Denial::Page || !is_allowed())
}
