//! Who may do what is for operators by one door: publish, make the server leave, look at its numbers. And what those are
//! told who may not.

use crate::config::secret::Secret;
use crate::http::auth::{no_token, wrong_token};
use crate::http::credentials::bearer;
use crate::http::host::{Host, is_same_origin};
use crate::wire::request::Request;
use crate::wire::response::Response;

/// Who may do what is for operators.
#[derive(Debug, Clone)]
pub struct Access {
    /// If there is one, only those who have it may publish and make the server leave.
    pub token: Option<Secret>,
    /// Who can reach the door at all.
    pub reach: Reach,
}

/// Who can reach a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Programs on this machine, by a loopback address; but also pages in its browsers, and the clients of its proxies.
    /// Where the address was given as a name, that is a name of this machine, too.
    ThisMachine(Option<Host>),
    /// Whoever may open the Unix socket for operators. No browser can; a proxy that can asks for credentials of its own.
    Operators,
    /// Anybody.
    World,
}

/// Why a peer may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// There is a token, and the request carries none.
    NoToken,
    /// There is a token, and the request carries another one.
    WrongToken,
    /// There is no token, and anybody could ask.
    Closed,
    /// A page of another server asks, in a browser.
    Page,
    /// The request was sent to a name that is not this machine's: by a proxy, or by a page whose name was rebound to this
    /// machine (DNS rebinding).
    Name,
    /// A proxy says that it has forwarded the request.
    Forwarded,
}

impl Access {
    /// Without a token, everyone on this machine, which also has this name.
    pub fn on_this_machine(name: &str) -> Self {
        Self { token: None, reach: Reach::ThisMachine(Host::read(name)) }
    }

    /// Whether this is the operators' token.
    pub fn is_operators(&self, token: &str) -> bool {
        self.token.as_ref().is_some_and(|own| own.is(token.as_bytes()))
    }

    /// Why a peer may neither publish nor tell the server to leave, if it may not.
    pub fn deny_operator(&self, request: &Request) -> Option<Denial> {
        match (&self.token, &self.reach) {
            (Some(token), _) => deny_bearer(request, token),
            (None, Reach::World) => Some(Denial::Closed),
            (None, Reach::Operators) => is_of_a_stranger(request).then_some(Denial::Page),
            (None, Reach::ThisMachine(name)) => {
                foreign(request, name.as_ref()).or_else(|| is_of_a_stranger(request).then_some(Denial::Page))
            }
        }
    }

    /// Why a peer may not look at the server's numbers, if it may not. Beyond this machine whoever can reach the door may.
    pub fn deny_onlooker(&self, request: &Request) -> Option<Denial> {
        let Reach::ThisMachine(name) = &self.reach else { return None };
        let foreign = foreign(request, name.as_ref())?;
        match &self.token {
            Some(token) => deny_bearer(request, token),
            None => Some(foreign),
        }
    }
}

impl Denial {
    /// What the peer is told: why, and what would help.
    pub fn response(self) -> Response {
        let why = match self {
            Self::NoToken => return no_token("a token is needed"),
            Self::WrongToken => {
                return wrong_token("the token is wrong: it is not the one of --publish-token or its file");
            }
            Self::Closed => {
                "without a token nobody may do this, as the server does not listen on a loopback address only: start it \
                 with --publish-token or --publish-token-file, and send the token"
            }
            Self::Page => {
                "a page of another origin may not do this: let the program that serves the page do it"
            }
            Self::Name => {
                "Host is not a name of this machine, and without a token only programs on this machine may do this: send it \
                 to localhost there, or start the server with --publish-token or --publish-token-file, and send the token"
            }
            Self::Forwarded => {
                "a proxy has forwarded this, and without a token only programs on this machine may do it: start the server \
                 with --publish-token or --publish-token-file, and send the token"
            }
        };
        Response::error(403, why)
    }
}

/// Why a request may come from elsewhere than a program on this machine or a page of this server, if it may. Without a
/// Host it could have come through a proxy, too.
fn foreign(request: &Request, own_name: Option<&Host>) -> Option<Denial> {
    if request.fields.forwarded {
        Some(Denial::Forwarded)
    } else if !names_this_machine(request, own_name) {
        Some(Denial::Name)
    } else {
        is_cross_origin(request).then_some(Denial::Page)
    }
}

/// Whether the request was sent to a name of this machine, which also has this one.
pub(super) fn names_this_machine(request: &Request, own_name: Option<&Host>) -> bool {
    let is_own_name = |name: &String| Host::named_in(name).is_some_and(|host| host.is_here(own_name));
    // Only the target's host counts, but a proxy in front may have let the request in by the other one.
    request.fields.host.as_ref().is_some_and(is_own_name)
        && request.fields.ignored_host.iter().all(is_own_name)
}

/// Whether the request comes from a page of another server. Programs send no `Origin`. Where TLS ends here, and no proxy has spoken
/// another way with the page, a page over plain HTTP is of another origin: whoever is on the way could have written it (RFC 6454 §4).
pub(super) fn is_cross_origin(request: &Request) -> bool {
    let host = request.fields.host.as_deref().unwrap_or_default();
    let scheme = (request.is_secured && !request.fields.forwarded).then_some("https");
    request.fields.origin.as_deref().is_some_and(|origin| !is_same_origin(origin, host, scheme))
}

/// The same of a request that changes something, by what a browser says beside `Origin`: it sends both with such a request, so that this
/// counts where something on the way has taken the `Origin` out.
fn is_of_a_stranger(request: &Request) -> bool {
    is_cross_origin(request) || request.fields.origin.is_none() && request.fields.from_another_page
}

/// Why whoever sends a request does not have the token, if so (RFC 6750 §2.1).
fn deny_bearer(request: &Request, token: &Secret) -> Option<Denial> {
    match bearer(request) {
        Some(given) if token.is(given.as_bytes()) => None,
        Some(_) => Some(Denial::WrongToken),
        None => Some(Denial::NoToken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request_buffer::{BodyWish, Next, RequestBuffer};

    /// Why a request with this head may not publish, and why it may not look.
    fn denied(access: &Access, head: &str) -> (Option<Denial>, Option<Denial>) {
        let line = if head.starts_with("POST ") { "" } else { "POST /publish HTTP/1.1\nHost: " };
        let mut buffer = RequestBuffer::default();
        buffer.extend(format!("{line}{head}\n\n").replace('\n', "\r\n").as_bytes());
        let Ok(Next::Request(request)) = buffer.next(|_| BodyWish::Skip) else {
            panic!("no request: {head}")
        };
        (access.deny_operator(&request), access.deny_onlooker(&request))
    }

    fn with_token(reach: Reach) -> Access {
        Access { token: Secret::read("sesame").ok(), reach }
    }

    const ALLOWED: (Option<Denial>, Option<Denial>) = (None, None);

    fn both(denial: Denial) -> (Option<Denial>, Option<Denial>) {
        (Some(denial), Some(denial))
    }

    #[test]
    fn a_program_on_this_machine_may_by_any_of_its_names() {
        let access = Access::on_this_machine("Kitchen.");
        let heads = [
            "localhost",
            "LOCALHOST.:8000",
            "a.localhost",
            "127.0.0.2:1",
            "[::1]:8000",
            "[::ffff:127.0.0.1]",
            "kitchen:8000",
            "KITCHEN.",
            "localhost:8000\nOrigin: http://localhost:8000",
            "LocalHost\nOrigin: http://localhost",
            "[::1]:8000\nOrigin: http://[::1]:8000",
            "127.0.0.2:80\nOrigin: http://127.0.0.2",
            "localhost\nOrigin: https://localhost",
            "POST http://localhost:8000/publish HTTP/1.1\nHost: 127.0.0.1:8000",
            "POST http://localhost:8000/publish HTTP/1.0",
        ];
        for head in heads {
            assert_eq!(denied(&access, head), ALLOWED, "{head}");
        }
    }

    #[test]
    fn by_another_name_or_through_a_proxy_nobody_may() {
        let access = Access::on_this_machine("127.0.0.1");
        let heads = [
            "example.com",
            "example.com\nOrigin: http://example.com",
            "localhost.example.com",
            "10.0.0.1:8000",
            "0.0.0.0:8000",
            "kitchen",
            "",
            "POST http://example.com/publish HTTP/1.1\nHost: localhost",
            "POST http://example.com HTTP/1.1\nHost: localhost",
            "POST http://localhost/publish HTTP/1.1\nHost: example.com",
            "POST http://localhost/publish HTTP/1.1\nHost:",
            "POST /publish HTTP/1.0",
            "localhost\nX-Forwarded-For: 127.0.0.1",
            "localhost\nforwarded:",
            "localhost\nVia: 1.1 x",
            "localhost\nX-Real-IP: 127.0.0.1\nOrigin: http://localhost",
        ];
        for head in heads {
            let (by_name, by_proxy) = (both(Denial::Name), both(Denial::Forwarded));
            let expected = if head.starts_with("localhost\n") { by_proxy } else { by_name };
            assert_eq!(denied(&access, head), expected, "{head}");
        }
    }

    #[test]
    fn a_page_of_another_origin_may_not() {
        let access = Access::on_this_machine("127.0.0.1");
        for origin in
            ["http://example.com", "null", "http://localhost:8001", "file://localhost", "http://127.0.0.1"]
        {
            assert_eq!(
                denied(&access, &format!("localhost\nOrigin: {origin}")),
                both(Denial::Page),
                "{origin}"
            );
        }
    }

    #[test]
    fn a_page_of_another_origin_may_not_without_saying_which_but_a_link_to_the_numbers_is_followed() {
        for access in [Access::on_this_machine("127.0.0.1"), Access { token: None, reach: Reach::Operators }]
        {
            for (site, expected) in [
                ("cross-site", Some(Denial::Page)),
                ("same-site", Some(Denial::Page)),
                ("same-origin", None),
                ("none", None),
                ("cross-site\nOrigin: http://localhost", None),
            ] {
                let head = format!("localhost\nSec-Fetch-Site: {site}");
                assert_eq!(denied(&access, &head), (expected, None), "{head}");
            }
        }
        let with_token = with_token(Access::on_this_machine("127.0.0.1").reach);
        let head = "localhost\nSec-Fetch-Site: cross-site\nAuthorization: Bearer sesame";
        assert_eq!(denied(&with_token, head), ALLOWED);
    }

    #[test]
    fn where_there_is_a_token_it_decides_and_programs_on_this_machine_may_look() {
        let here = with_token(Access::on_this_machine("127.0.0.1").reach);
        let bearing = "\nX-Forwarded-For: 10.0.0.1\nAuthorization: bearer sesame";
        for host in ["example.com", "localhost", "x:1\nOrigin: https://example.com"] {
            assert_eq!(denied(&here, &format!("{host}{bearing}")), ALLOWED, "{host}");
        }
        assert_eq!(denied(&here, "localhost"), (Some(Denial::NoToken), None));
        for head in ["example.com", "localhost\nVia: 1.1 x", "x\nAuthorization: Basic sesame"] {
            assert_eq!(denied(&here, head), both(Denial::NoToken), "{head}");
        }
        for token in ["sesam", "sesame2", "SESAME"] {
            let head = format!("x\nAuthorization: Bearer {token}");
            assert_eq!(denied(&here, &head), both(Denial::WrongToken), "{head}");
        }
        assert_eq!(denied(&with_token(Reach::World), "example.com"), (Some(Denial::NoToken), None));
        assert_eq!(denied(&with_token(Reach::Operators), "localhost"), (Some(Denial::NoToken), None));
    }

    #[test]
    fn whoever_may_open_the_operators_socket_may_call_it_as_they_like() {
        let access = Access { token: None, reach: Reach::Operators };
        for head in
            ["slackwater", "ops.example\nVia: 1.1 x\nOrigin: https://ops.example", "POST /publish HTTP/1.0"]
        {
            assert_eq!(denied(&access, head), ALLOWED, "{head}");
        }
        assert_eq!(denied(&access, "ops.example\nOrigin: https://example.com"), (Some(Denial::Page), None));
    }

    #[test]
    fn beyond_this_machine_nobody_may_without_a_token() {
        let access = Access { token: None, reach: Reach::World };
        assert_eq!(denied(&access, "localhost"), (Some(Denial::Closed), None));
    }
}
