//! Which pages may listen and publish, by where they come from; what a browser is told that asks for them; and what the
//! others are told. Programs send no `Origin`, and are not judged here.
//!
//! A browser lets any page open a WebSocket anywhere and send simple requests, so that it is for the server to refuse them.
//! A forwarding header counts for a page of the request's own host only, and only since no page can add a field to a
//! WebSocket's handshake: to what `fetch()` sends, a page whose name was rebound can. Neither does it send an `Origin` with that,
//! as it asks its own server, so that for event streams everybody is judged by the name.

use std::fmt;

use crate::config::origins::AllowedOrigin;
use crate::http::access::{Reach, is_cross_origin, names_this_machine};
use crate::http::host::{Host, Origin};
use crate::wire::request::{Fields, Preflight, Request};
use crate::wire::response::Response;

/// How much of an origin is shown.
const SHOWN_CHARS: usize = 200;

/// Which pages are let in by a door.
#[derive(Debug, Clone, Copy)]
pub struct Origins<'a> {
    /// Those that may listen and publish though they are of another origin.
    pub allowed: &'a [AllowedOrigin],
    /// Who can reach the door.
    pub reach: &'a Reach,
}

/// A page that is not let in, as the log shows it: bounded, and escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    why: Why,
    /// The origin as the flag takes it, if it does.
    flag: Option<String>,
    shown: String,
}

/// Why a page is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It is of another origin.
    Page,
    /// It calls this machine by a name that is not the machine's, and no proxy says that it has forwarded the request:
    /// its name may have been rebound to this machine.
    Name,
    /// The same of a request for an event stream, where nothing shows that no such page has sent it.
    NameOfStream,
    /// It is of another origin, and does not say which: as an image, say, an event stream would hold a place for nobody.
    Hidden,
}

impl Origins<'_> {
    /// The page that may not listen, if the request comes from one.
    pub fn deny_listener(&self, request: &Request) -> Option<Stranger> {
        let origin = request.fields.origin.as_deref()?;
        if self.allow(origin) {
            return None;
        }
        let is_own = !is_cross_origin(request);
        let Reach::ThisMachine(name) = self.reach else {
            return (!is_own).then(|| Stranger::of(origin, Why::Page));
        };
        let is_named = names_this_machine(request, name.as_ref());
        let is_of_this_machine =
            || Origin::read(origin).is_some_and(|page| page.is_web() && page.host.is_here(name.as_ref()));
        match (is_named, is_own) {
            (true, true) => None,
            (true, false) => (!is_of_this_machine()).then(|| Stranger::of(origin, Why::Page)),
            (false, true) => (!request.fields.forwarded).then(|| Stranger::of(origin, Why::Name)),
            (false, false) => Some(Stranger::of(origin, Why::Page)),
        }
    }

    /// The page that may not hear an event stream, if the request may come from one: as for a WebSocket, but for the names of
    /// this machine. What calls it by another name is let in only with something that no rebound page can send: a name that is
    /// one of an allowed origin, or a field of a browser or a proxy that pages cannot add. Who `shows_token` has one that such a
    /// page does not know, or is refused for it.
    pub fn deny_reader(&self, request: &Request, shows_token: bool) -> Option<Stranger> {
        let origin = request.fields.origin.as_deref();
        if origin.is_some_and(|origin| self.allow(origin)) {
            return None;
        }
        let stranger = self.deny_listener(request);
        if stranger.as_ref().is_some_and(|stranger| stranger.why == Why::Page) {
            return stranger;
        }
        let is_hidden = origin.is_none() && request.fields.from_another_page;
        if is_hidden && !shows_token && !self.allow_all() {
            return Some(Stranger::of("unknown", Why::Hidden));
        }
        let Reach::ThisMachine(own_name) = self.reach else { return None };
        let is_known = |name: &String| {
            Host::named_in(name).is_some_and(|host| host.is_here(own_name.as_ref()) || self.allow_name(&host))
        };
        let Fields { host, ignored_host, not_rebound, .. } = &request.fields;
        // Browsers always name a host.
        let is_safe = shows_token || *not_rebound || host.iter().chain(ignored_host).all(is_known);
        let called = host.as_deref().unwrap_or_default();
        (!is_safe).then(|| Stranger::of(&format!("http://{called}"), Why::NameOfStream))
    }

    /// The origin of the page, if there is one, that may read an event stream; without its browser's cookies for this server, as
    /// for all that is shared here (`EventSource` without `withCredentials`).
    pub fn origin_of_reader<'r>(&self, request: &'r Request) -> Option<&'r str> {
        let origin = request.fields.origin.as_deref()?;
        self.deny_reader(request, false).is_none().then_some(origin)
    }

    /// The page of another origin that asks for what only allowed ones may do.
    pub fn deny_stranger(&self, request: &Request) -> Option<Stranger> {
        let origin = request.fields.origin.as_deref().filter(|origin| !self.allow(origin))?;
        is_cross_origin(request).then(|| Stranger::of(origin, Why::Page))
    }

    /// The origin that a request comes from, if it is one of those that are allowed.
    pub fn allowed_origin_of<'r>(&self, request: &'r Request) -> Option<&'r str> {
        request.fields.origin.as_deref().filter(|origin| self.allow(origin))
    }

    fn allow(&self, origin: &str) -> bool {
        self.allowed.iter().any(|allowed| covers(allowed, origin))
    }

    fn allow_all(&self) -> bool {
        self.allowed.iter().any(|allowed| matches!(allowed, AllowedOrigin::Any))
    }

    fn allow_name(&self, name: &Host) -> bool {
        self.allowed.iter().any(|allowed| match allowed {
            AllowedOrigin::Any => true,
            AllowedOrigin::Opaque => false,
            AllowedOrigin::Pages { host, is_below, .. } => covers_host(host, *is_below, name),
        })
    }
}

impl Stranger {
    fn of(origin: &str, why: Why) -> Self {
        // What Chromium sends for a page from a file when that opens a WebSocket.
        let spelt = if origin == "file://" { "null" } else { origin };
        let is_short = origin.len() <= SHOWN_CHARS;
        let flag = (is_short && AllowedOrigin::read(spelt).is_ok()).then(|| spelt.to_owned());
        let mut shown: String = origin.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
        shown.push_str(if is_short { "" } else { "…" });
        Self { why, flag, shown }
    }

    /// What a page is told that may not listen.
    pub fn not_listening(&self) -> Response {
        Response::error(
            403,
            match self.why {
                Why::Page => {
                    "a page of another origin may not listen here, unless the server is started with --allowed-origin and the \
                     page's origin"
                }
                Why::Hidden => {
                    "a page of another origin may not listen here without saying which: let it use EventSource, or fetch() \
                     in the mode cors"
                }
                Why::Name => {
                    "Host is not a name of this machine: a page may only listen by it through a proxy that adds \
                     X-Forwarded-For, or when the server is started with --allowed-origin and the page's origin"
                }
                Why::NameOfStream => {
                    "Host is not a name of this machine, and a page that has rebound its name could send this: come by TLS with a \
                     browser, with a token, or through a proxy that adds Via; or start the server with --allowed-origin and \
                     the origin of its own page, as browsers see it"
                }
            },
        )
    }

    /// What a page is told that may not publish.
    pub fn not_publishing() -> Response {
        // A token would not help: before a browser sends one to another origin it asks first, and is answered 405.
        let why = "a page of another origin may not publish, unless the server is started with --allowed-origin and the page's \
            origin: else let the program that serves the page do it";
        Response::error(403, why)
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.why == Why::Hidden {
            return f.write_str(
                "Refused a page of another origin that asks for an event stream and does not say which: it has to use \
                 EventSource, or fetch() in the mode cors",
            );
        }
        write!(f, "Refused a page of the origin {}", self.shown)?;
        f.write_str(match self.why {
            Why::Page | Why::Hidden => ": if it may listen and publish here",
            Why::Name => {
                ", which calls this machine by a name that is not its own: let the proxy in front add X-Forwarded-For; or, if \
                 there is none and the page may listen and publish here"
            }
            Why::NameOfStream => {
                ", or a program that calls this machine so, which is not its name: let the proxy in front add Via; or, if there \
                 is none and pages of that name may listen and publish here"
            }
        })?;
        f.write_str(", start the server with --allowed-origin")?;
        self.flag.as_ref().map_or(Ok(()), |flag| write!(f, " {flag}"))
    }
}

/// The answer to a browser that asks if a page of an allowed origin may send a request by this method (Fetch, CORS
/// protocol). That the answer is for its page, the exchange says.
pub fn preflight_response(request: &Request, methods: &'static str) -> Response {
    let response = Response::empty(204)
        .with("Access-Control-Allow-Methods", methods)
        .with("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, Last-Event-ID")
        // Browsers keep it for two hours at most.
        .with("Access-Control-Max-Age", "7200");
    match request.fields.preflight {
        Preflight::AskedFromOutside => response.with("Access-Control-Allow-Private-Network", "true"),
        Preflight::Asked | Preflight::NotAsked => response,
    }
}

fn covers(allowed: &AllowedOrigin, origin: &str) -> bool {
    match allowed {
        AllowedOrigin::Any => true,
        AllowedOrigin::Opaque => matches!(origin, "null" | "file://"),
        AllowedOrigin::Pages { scheme, host, port, is_below } => {
            let (Some(page), Some(mut allowed)) = (Origin::read(origin), Origin::of(scheme, host)) else {
                return false;
            };
            allowed.port = port.or(allowed.port);
            let is_host = covers_host(host, *is_below, &page.host);
            is_host && (page.scheme, page.port) == (allowed.scheme, allowed.port)
        }
    }
}

fn covers_host(allowed: &str, is_below: bool, host: &Host) -> bool {
    Host::read(allowed)
        .is_some_and(|allowed| if is_below { host.is_below(&allowed) } else { *host == allowed })
}

#[cfg(test)]
#[path = "origin_tests.rs"]
mod tests;
