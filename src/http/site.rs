//! The web client, embedded in the binary.

use std::hash::{DefaultHasher, Hasher};

use bytes::Bytes;

use crate::wire::response::Response;

/// What the page may do: load its own files and open WebSockets, nothing else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: [(&str, &str, &[u8]); 8] = [
    ("/", HTML, include_bytes!("../../static/index.html")),
    ("/app.js", JAVASCRIPT, include_bytes!("../../static/app.js")),
    ("/feed.js", JAVASCRIPT, include_bytes!("../../static/feed.js")),
    ("/rate.js", JAVASCRIPT, include_bytes!("../../static/rate.js")),
    ("/slackwater.js", JAVASCRIPT, include_bytes!("../../static/slackwater.js")),
    ("/token.js", JAVASCRIPT, include_bytes!("../../static/token.js")),
    ("/style.css", "text/css; charset=utf-8", include_bytes!("../../static/style.css")),
    ("/favicon.svg", "image/svg+xml", include_bytes!("../../static/favicon.svg")),
];

/// What the page offers, as it begins: nothing that is refused at the door where it is asked for.
const WITH_PUBLISHING: &str = r#"<body data-state="idle">"#;
const WITHOUT_PUBLISHING: &str = r#"<body data-state="idle" data-publishing="elsewhere">"#;

/// The files with their entity tags.
#[derive(Debug)]
pub struct Site {
    assets: Vec<Asset>,
    /// The page where operators have a door of their own, at which alone is published.
    listening: Asset,
}

#[derive(Debug)]
struct Asset {
    path: &'static str,
    content_type: &'static str,
    body: Bytes,
    etag: String,
}

impl Default for Site {
    fn default() -> Self {
        let assets =
            FILES.map(|(path, content_type, body)| Asset::new(path, content_type, Bytes::from_static(body)));
        let page = String::from_utf8_lossy(&assets[0].body).replace(WITH_PUBLISHING, WITHOUT_PUBLISHING);
        Self { listening: Asset::new("/", HTML, page.into()), assets: assets.into() }
    }
}

impl Asset {
    fn new(path: &'static str, content_type: &'static str, body: Bytes) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(&body);
        Self { path, content_type, etag: format!("\"{:016x}\"", hasher.finish()), body }
    }
}

impl Site {
    /// The file at a path, or 304 when the peer already has it (RFC 9110 §13.1.2); `None` if there is no such file. Where `publishes`
    /// is false, the page offers no publishing.
    pub fn find(&self, path: &str, publishes: bool, if_none_match: Option<&str>) -> Option<Response> {
        let asset = match path {
            "/" if !publishes => &self.listening,
            path => self.assets.iter().find(|asset| asset.path == path)?,
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
        assert!(site.find("/nowhere", true, None).is_none());
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
    fn the_page_names_nothing_from_the_root_so_that_it_works_below_a_prefix() {
        let (page, scripts) = (str::from_utf8(FILES[0].2).unwrap(), FILES[1..6].iter());
        assert!(!page.contains("=\"/"), "index.html");
        for (path, _, script) in scripts {
            let script = str::from_utf8(script).unwrap();
            assert!(
                !["from '/", "fetch('/", "fetch(`/", "Slackwater(`/"]
                    .iter()
                    .any(|root| script.contains(root)),
                "{path}"
            );
        }
    }
}
