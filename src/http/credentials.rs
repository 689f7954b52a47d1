//! Where a request carries a token: in `Authorization`, in the cookie, as a sub-protocol or in the query, in that order. An
//! empty one counts as absent: that is what a client sends whose template has nothing to fill in.

use std::borrow::Cow;

use crate::wire::request::Request;

/// The token of a request for a WebSocket.
pub fn listeners_token(request: &Request) -> Option<Cow<'_, str>> {
    let given = [&request.fields.cookie_token, &request.fields.protocol_token];
    let in_fields = || given.into_iter().find_map(|token| token.as_deref().map(Cow::Borrowed));
    bearer(request).map(Cow::Borrowed).or_else(in_fields).or_else(|| in_query(request))
}

/// The token of a request to publish. Not in a cookie: browsers send those with the requests of foreign pages, too.
pub fn publishers_token(request: &Request) -> Option<Cow<'_, str>> {
    bearer(request).map(Cow::Borrowed).or_else(|| in_query(request))
}

/// The token in `Authorization: Bearer` (RFC 6750 §2.1). Other schemes are for a proxy in front.
pub fn bearer(request: &Request) -> Option<&str> {
    let (scheme, token) = request.fields.authorization.as_deref()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The last resort (RFC 6750 §2.3): proxies log queries.
fn in_query(request: &Request) -> Option<Cow<'_, str>> {
    let mut pairs = form_urlencoded::parse(request.query_bytes());
    pairs.find(|(name, token)| name == "token" && !token.is_empty()).map(|(_, token)| token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request_buffer::{BodyWish, Next, RequestBuffer};

    fn request(target: &str, fields: &str) -> Box<Request> {
        let mut buffer = RequestBuffer::default();
        let head = format!("GET {target} HTTP/1.1\nHost: x\n{fields}\n").replace('\n', "\r\n");
        buffer.extend(head.as_bytes());
        let Ok(Next::Request(request)) = buffer.next(|_| BodyWish::Skip) else { panic!("no request") };
        request
    }

    fn token(target: &str, fields: &str) -> Option<String> {
        listeners_token(&request(target, fields)).map(Cow::into_owned)
    }

    const BEARER: &str = "Authorization: bEARER  a.b.c \n";
    const COOKIE: &str = "Cookie: x=y; slackwater_token=d.e.f; slackwater_token=z\n";
    const PROTOCOL: &str =
        "Sec-WebSocket-Protocol: mqtt, slackwater\nSec-WebSocket-Protocol: slackwater.token.g.h.i\n";

    #[test]
    fn the_first_of_four_places_counts() {
        let all = [BEARER, COOKIE, PROTOCOL].concat();
        let (fewer, last) = ([COOKIE, PROTOCOL].concat(), "/ws?topic=a&token=j.k.l&token=m");
        assert_eq!(token(last, &all).as_deref(), Some("a.b.c"));
        assert_eq!(token(last, &fewer).as_deref(), Some("d.e.f"));
        assert_eq!(token(last, PROTOCOL).as_deref(), Some("g.h.i"));
        assert_eq!(token(last, "").as_deref(), Some("j.k.l"));
        assert_eq!(token("/ws", ""), None);
    }

    #[test]
    fn what_is_empty_or_something_else_is_passed_by() {
        for fields in [
            "Authorization: Bearer\n",
            "Authorization: Bearer  \n",
            "Authorization: Basic YTpi\n",
            "Cookie: slackwater_token=\n",
            "Cookie: slackwater_token=\"\"; slackwater_token\n",
            "Cookie: xslackwater_token=a; slackwater_token2=b\n",
            "Sec-WebSocket-Protocol: slackwater.token.a.b.c\n",
            "Sec-WebSocket-Protocol: slackwater, slackwater.token.\n",
            "Sec-WebSocket-Protocol: slackwater, slackwater.tokens.a\n",
        ] {
            assert_eq!(token("/ws?token=&token=q", fields).as_deref(), Some("q"), "{fields}");
        }
    }

    #[test]
    fn a_cookie_may_be_quoted_and_stand_in_a_second_field() {
        assert_eq!(
            token("/ws", "Cookie: a=b\nCookie:slackwater_token=\"d.e.f\" ;c=d\n").as_deref(),
            Some("d.e.f")
        );
    }

    #[test]
    fn to_publish_a_token_is_neither_taken_from_a_cookie_nor_from_a_sub_protocol() {
        let request = request("/publish", &[COOKIE, PROTOCOL].concat());
        assert_eq!(publishers_token(&request), None);
        assert_eq!(publishers_token(&self::request("/publish?token=a", COOKIE)).as_deref(), Some("a"));
        assert_eq!(publishers_token(&self::request("/publish", BEARER)).as_deref(), Some("a.b.c"));
    }

    #[test]
    fn a_request_is_shown_without_its_secrets() {
        let request = request("/ws?token=sekrit", &[BEARER, COOKIE].concat().replace("a.b.c", "sekrit"));
        assert_eq!(format!("{request:?}"), "Get /ws");
    }
}
