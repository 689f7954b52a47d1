//! A request whose head has been checked (RFC 9112 §3): whatever could be read in two ways is refused. Finding where a
//! request ends is not for here: see `request_buffer`.

use std::borrow::Cow;
use std::fmt;

use crate::policy::rights::Publisher;
use crate::wire::accept::MetricsFormat;
use crate::wire::authority::Authority;
use crate::wire::body::Framing;
use crate::wire::forwarding::{is_beyond_pages, is_from_a_proxy, is_from_another_page};
use crate::wire::head::Head;
use crate::wire::refusal::Refusal;
use crate::wire::response::Response;
use crate::wire::target::Target;
use crate::wire::upgrade::{self, Upgrade};

/// The method, as far as the routes distinguish them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD: a GET whose answer has no body.
    Head,
    /// POST
    Post,
    /// Any other.
    Other,
}

/// Whether a browser asks if a page of another origin may send a request (Fetch, CORS-preflight request).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Preflight {
    /// It does not.
    #[default]
    NotAsked,
    /// It does.
    Asked,
    /// It does, and the page comes from a network that is more public (Private Network Access).
    AskedFromOutside,
}

/// The cookie that may hold a token.
const TOKEN_COOKIE: &str = "slackwater_token";

/// A request, checked. Secrets may stand in its query and in several fields: no more is shown of it than its path.
#[derive(PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The target's path, as sent, without its query.
    pub path: String,
    /// The target's query, as sent, without the question mark; `None` where there is none.
    pub query: Option<String>,
    /// The fields that some route asks for.
    pub fields: Fields,
    /// Whether the peer wants the connection kept, and it can be.
    pub keep_alive: bool,
    /// What the request says about becoming a WebSocket.
    pub upgrade: Upgrade,
    /// Whether its response may come in chunks.
    pub takes_chunks: bool,
    /// The body, where it was collected.
    pub body: Vec<u8>,
    /// Whether it has come over TLS that ends here. That is not in its head: whoever has the connection says so.
    pub is_secured: bool,
    /// Who publishes by the token that it shows, or how it is refused. To verify it takes time, and is done
    /// once, when somebody asks; `None` before, and of a request without one.
    pub granted: Option<Box<Result<Publisher, Response>>>,
}

/// Header fields by name; where one may be repeated, the first of them.
#[derive(Default, PartialEq, Eq)]
#[allow(missing_docs)] // They are named as RFC 9110 names them.
pub struct Fields {
    pub authorization: Option<String>,
    pub content_type: Option<String>,
    /// Of the field `Cookie` the one that may hold a token.
    pub cookie_token: Option<String>,
    /// Whether a proxy says that it has forwarded the request.
    pub forwarded: bool,
    /// Whom proxies name as the client and as each other: all fields `X-Forwarded-For`, as one list.
    pub forwarded_for: Option<String>,
    /// From the target where that has the absolute form, and then the field does not count (RFC 9112 §3.2.2).
    pub host: Option<String>,
    /// The field where it does not count: a proxy in front may have judged by it.
    pub ignored_host: Option<String>,
    pub idempotency_key: Option<Vec<u8>>,
    /// Whether a browser says that a page of another origin has sent it: see `forwarding`.
    pub from_another_page: bool,
    pub if_none_match: Option<String>,
    pub last_event_id: Option<String>,
    /// By `Accept`.
    pub metrics_format: MetricsFormat,
    /// Whether no page can have sent it whose name was rebound to this machine: see `forwarding`.
    pub not_rebound: bool,
    pub origin: Option<String>,
    /// By `OPTIONS` and `Access-Control-Request-Method`, beside an `Origin`.
    pub preflight: Preflight,
    /// Of the sub-protocols that are offered the token.
    pub protocol_token: Option<String>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.method, self.path)
    }
}

impl Preflight {
    fn read(head: &Head<'_>) -> Self {
        let has = |name| head.values(name).next().is_some();
        match () {
            () if head.method != "OPTIONS" || !has("origin") || !has("access-control-request-method") => {
                Self::NotAsked
            }
            () if head.lists("access-control-request-private-network", "true") => Self::AskedFromOutside,
            () => Self::Asked,
        }
    }
}

impl Request {
    /// The query's octets, none of them where there is none.
    pub fn query_bytes(&self) -> &[u8] {
        self.query.as_deref().unwrap_or_default().as_bytes()
    }

    /// Checks the head of a request whose body has this framing.
    ///
    /// # Errors
    /// When it is wrong, or could be read in two ways.
    pub fn read(head: &Head<'_>, framing: Framing) -> Result<Self, Refusal> {
        let to_text = |value| String::from_utf8_lossy(value).into_owned();
        let text = |name, doubled| head.single(name, doubled).map(|value| value.map(to_text));
        let host = match head.single("host", "more than one Host")?.map(str::from_utf8) {
            None if head.is_http_1_0 => None,
            None => return Err(Refusal::Malformed("no Host")),
            // Empty when the target has no authority (RFC 9112 §3.2).
            Some(Ok(host)) if host.is_empty() || Authority::read(host).is_some() => Some(host),
            Some(_) => return Err(Refusal::Malformed("Host is not a host")),
        };
        let Some(Target { authority, path, query }) = Target::read(head.method, head.target) else {
            return Err(Refusal::Malformed("the target is neither a path nor a URL of http or https"));
        };
        Ok(Self {
            method: match head.method {
                "GET" => Method::Get,
                "HEAD" => Method::Head,
                "POST" => Method::Post,
                _ => Method::Other,
            },
            path: path.to_owned(),
            query: query.map(str::to_owned),
            fields: Fields {
                authorization: text("authorization", "more than one Authorization")?,
                content_type: text("content-type", "more than one Content-Type")?,
                cookie_token: head.cookie(TOKEN_COOKIE).map(to_text),
                forwarded: head.names().any(is_from_a_proxy),
                forwarded_for: joined(head, "x-forwarded-for"),
                host: authority.or(host).map(str::to_owned),
                ignored_host: authority.and(host).map(str::to_owned),
                // Its octets: as lossy text, two different keys could look the same.
                idempotency_key: head
                    .single("idempotency-key", "more than one Idempotency-Key")?
                    .map(<[u8]>::to_vec),
                from_another_page: head.fields().any(|(name, value)| is_from_another_page(name, value)),
                if_none_match: head.values("if-none-match").next().map(to_text),
                last_event_id: text("last-event-id", "more than one Last-Event-ID")?,
                metrics_format: MetricsFormat::negotiate(head.values("accept")),
                not_rebound: head.fields().any(|(name, value)| is_beyond_pages(name, value)),
                origin: text("origin", "more than one Origin")?,
                preflight: Preflight::read(head),
                protocol_token: upgrade::token_offered(head).map(to_text),
            },
            keep_alive: !head.is_http_1_0 && !head.lists("connection", "close"),
            takes_chunks: !head.is_http_1_0,
            // The octets of a body could also be read as the first frames.
            upgrade: if framing == Framing::Length(0) { upgrade::negotiate(head) } else { Upgrade::NotAsked },
            body: Vec::new(),
            is_secured: false,
            granted: None,
        })
    }
}

/// All fields of a name as one list (RFC 9110 §5.3).
fn joined(head: &Head<'_>, name: &str) -> Option<String> {
    head.values(name)
        .map(String::from_utf8_lossy)
        .map(Cow::into_owned)
        .reduce(|list, more| list + "," + &more)
}
