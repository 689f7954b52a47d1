//! The pages, of clients and of operators, embedded in the binary.

use std::hash::{DefaultHasher, Hasher};

use bytes::Bytes;

use crate::http::door::Door;
use crate::wire::request::Request;
use crate::wire::response::Response;

/// What the page may do: load its own files and open WebSockets, nothing else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Whose page is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// That of the clients, where also operators are answered.
    Everybody,
    /// That of the clients, without publishing: operators have a door of their own.
    Clients,
    /// That of the operators, at their door.
    Operators,
}

impl Audience {
    /// Whoever comes in at this door, where operators have one of their own or not.
    pub fn at(door: Door, has_admin: bool) -> Self {
        match door {
            Door::Admin => Self::Operators,
            Door::Public | Door::Redirect if has_admin => Self::Clients,
            Door::Public | Door::Redirect => Self::Everybody,
        }
    }

    /// Whether there is a file at a path for them.
    pub fn has(self, path: &str) -> bool {
        FILES.iter().any(|(known, whose, ..)| *known == path && whose.is(self))
    }
}

/// To whom a file belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Clients,
    Operators,
    All,
}

impl For {
    fn is(self, audience: Audience) -> bool {
        match self {
            Self::Clients => audience != Audience::Operators,
            Self::Operators => audience == Audience::Operators,
            Self::All => true,
        }
    }
}

const FILES: [(&str, For, &str, &[u8]); 14] = [
    ("/", For::Clients, HTML, include_bytes!("../../static/index.html")),
    ("/", For::Operators, HTML, include_bytes!("../../static/status.html")),
    ("/app.js", For::Clients, JAVASCRIPT, include_bytes!("../../static/app.js")),
    ("/feed.js", For::Clients, JAVASCRIPT, include_bytes!("../../static/feed.js")),
    ("/make.js", For::All, JAVASCRIPT, include_bytes!("../../static/make.js")),
    ("/plot.js", For::Operators, JAVASCRIPT, include_bytes!("../../static/plot.js")),
    ("/rate.js", For::Clients, JAVASCRIPT, include_bytes!("../../static/rate.js")),
    ("/slackwater.js", For::Clients, JAVASCRIPT, include_bytes!("../../static/slackwater.js")),
    ("/status.css", For::Operators, CSS, include_bytes!("../../static/status.css")),
    ("/status.js", For::Operators, JAVASCRIPT, include_bytes!("../../static/status.js")),
    ("/style.css", For::All, CSS, include_bytes!("../../static/style.css")),
    ("/token.js", For::Clients, JAVASCRIPT, include_bytes!("../../static/token.js")),
    ("/words.js", For::All, JAVASCRIPT, include_bytes!("../../static/words.js")),
    ("/favicon.svg", For::All, "image/svg+xml", include_bytes!("../../static/favicon.svg")),
];

/// What the page offers, as it begins: nothing that is refused at the door where it is asked for.
const WITH_PUBLISHING: &str = r#"<body data-state="idle">"#;
const WITHOUT_PUBLISHING: &str = r#"<body data-state="idle" data-publishing="elsewhere">"#;

/// The files with their entity tags.
#[derive(Debug)]
pub struct Site {
    assets: Vec<Asset>,
    /// The page without publishing.
    listening: Asset,
}

#[derive(Debug)]
struct Asset {
    path: &'static str,
    whose: For,
    content_type: &'static str,
    body: Bytes,
    etag: String,
}

impl Default for Site {
    fn default() -> Self {
        let assets = FILES.map(|(path, whose, content_type, body)| {
            Asset::new(path, whose, content_type, Bytes::from_static(body))
        });
        let page = String::from_utf8_lossy(&assets[0].body).replace(WITH_PUBLISHING, WITHOUT_PUBLISHING);
        Self { listening: Asset::new("/", For::Clients, HTML, page.into()), assets: assets.into() }
    }
}

impl Asset {
    fn new(path: &'static str, whose: For, content_type: &'static str, body: Bytes) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(&body);
        Self { path, whose, content_type, etag: format!("\"{:016x}\"", hasher.finish()), body }
    }
}

impl Site {
    /// The file that is asked for, or 304 when the peer already has it (RFC 9110 §13.1.2); `None` if there is no such file for them.
    pub fn find(&self, audience: Audience, request: &Request) -> Option<Response> {
        let if_none_match = request.fields.if_none_match.as_deref();
        let asset = match (audience, request.path.as_str()) {
            (Audience::Clients, "/") => &self.listening,
            (_, path) => self.assets.iter().find(|asset| asset.path == path && asset.whose.is(audience))?,
        };
        let response = if if_none_match.is_some_and(|tags| matches(tags, &asset.etag)) {
            Response::empty(304)
        } else {
            Response::new(200, asset.content_type, asset.body.clone())
        };
        let response = response.with("ETag", asset.etag.clone()).with("X-Content-Type-Options", "nosniff");
        // Browsers always ask again: a redeployed page must never run yesterday's script.
        let response = response.with("Cache-Control", "no-cache");
        Some(match asset.content_type {
            HTML => response.with("Content-Security-Policy", CONTENT_SECURITY_POLICY),
            // Pages of others may import the module.
            JAVASCRIPT => response.with("Access-Control-Allow-Origin", "*"),
            _ => response,
        })
    }
}

/// Whether a list of entity tags names this one, by the weak comparison (RFC 9110 §8.8.3.2).
fn matches(tags: &str, etag: &str) -> bool {
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_compared_weakly_and_in_lists() {
        for (tags, expected) in
            [("\"a\"", true), ("W/\"a\"", true), ("\"b\", \"a\"", true), ("*", true), ("a", false)]
        {
            assert_eq!(matches(tags, "\"a\""), expected, "{tags}");
        }
    }

    #[test]
    fn every_file_is_there_and_has_a_tag_of_its_own() {
        let site = Site::default();
        let mut tags: Vec<&str> = site.assets.iter().map(|asset| asset.etag.as_str()).collect();
        tags.dedup();
        assert_eq!(tags.len(), FILES.len());
    }

    #[test]
    fn operators_have_a_page_of_their_own_that_clients_are_not_shown() {
        for (path, clients, operators) in [
            ("/", true, true),
            ("/app.js", true, false),
            ("/slackwater.js", true, false),
            ("/status.js", false, true),
            ("/plot.js", false, true),
            ("/style.css", true, true),
            ("/nowhere", false, false),
        ] {
            for (audience, expected) in [
                (Audience::Everybody, clients),
                (Audience::Clients, clients),
                (Audience::Operators, operators),
            ] {
                assert_eq!(audience.has(path), expected, "{path} {audience:?}");
            }
        }
    }

    #[test]
    fn the_page_offers_no_publishing_where_it_is_refused() {
        let site = Site::default();
        let [whole, listening] =
            [&site.assets[0], &site.listening].map(|asset| str::from_utf8(&asset.body).unwrap());
        assert_eq!(
            (whole.matches(WITH_PUBLISHING).count(), whole.matches(WITHOUT_PUBLISHING).count()),
            (1, 0)
        );
        assert_eq!(listening, whole.replace(WITH_PUBLISHING, WITHOUT_PUBLISHING));
        assert_ne!(site.assets[0].etag, site.listening.etag);
    }

    #[test]
    fn the_pages_name_nothing_from_the_root_so_that_they_work_below_a_prefix() {
        for (path, _, content_type, body) in FILES {
            let text = str::from_utf8(body).unwrap();
            let from_the_root: &[&str] = match content_type {
                HTML => &["=\"/"],
                JAVASCRIPT => &["from '/", "fetch('/", "fetch(`/", "request('/", "Slackwater(`/"],
                _ => &[],
            };
            assert!(!from_the_root.iter().any(|root| text.contains(root)), "{path}");
        }
    }
}
