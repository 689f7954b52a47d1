//! Which header fields say that a proxy has forwarded a request: RFC 7239, RFC 9110 §7.6.3, and what proxies add by habit.
//! A client that sends one itself is trusted less for it, never more.

/// Fields that say so by their whole name.
const NAMES: [&str; 8] = [
    "forwarded",
    "via",
    "cdn-loop", // RFC 8586
    "front-end-https",
    "x-host",
    "x-remote-addr",
    "x-scheme",
    "x-azure-clientip",
];

/// Fields that say so by how they begin: `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forward-For`, `X-Original-Host`, …
const PREFIXES: [&str; 5] = ["x-forward", "x-original-", "x-proxy", "x-envoy-", "cf-"];

/// Fields that say so by how they end: `X-Real-IP`, `True-Client-IP`, `CF-Connecting-IP`, `Fastly-Client-IP`, …
const SUFFIX: &str = "-ip";

/// Whether a field of this name comes from a proxy.
pub fn is_from_a_proxy(name: &str) -> bool {
    let begins =
        |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let ends = |suffix: &str| {
        let start = name.len().checked_sub(suffix.len()).and_then(|start| name.get(start..));
        start.is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
        || PREFIXES.into_iter().any(begins)
        || ends(SUFFIX)
}

/// Whether a request with this field cannot come from a page whose name was rebound to this machine. Pages cannot add the
/// first (Fetch, "forbidden request-header"), which a proxy does. Browsers add the other where they have come by TLS or call
/// this machine by its own name (Fetch Metadata, "potentially trustworthy"): it vouches for a page of the same origin, or
/// for none.
pub fn is_beyond_pages(name: &str, value: &[u8]) -> bool {
    name.eq_ignore_ascii_case("via")
        || is_of_site(name) && matches!(value.trim_ascii(), b"same-origin" | b"none")
}

/// Whether by this field a browser says that a page of another origin has sent the request.
pub fn is_from_another_page(name: &str, value: &[u8]) -> bool {
    is_of_site(name) && matches!(value.trim_ascii(), b"cross-site" | b"same-site")
}

fn is_of_site(name: &str) -> bool {
    name.eq_ignore_ascii_case("sec-fetch-site")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proxies_add_is_known_in_any_letter_case() {
        let from_proxies = "Forwarded Via X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Port \
            X-Forwarded-Server X-Forwarded-Prefix X-Forwarded-Ssl X-Forwarded-By X-Forwarded x-forward-for X-Real-IP \
            X-REAL-IP CF-Connecting-IP CF-Ray True-Client-IP X-Client-IP X-Cluster-Client-IP Fastly-Client-IP \
            Fly-Client-IP Client-IP X-ProxyUser-Ip X-Original-Forwarded-For X-Original-Host X-Original-URL \
            X-Envoy-External-Address CDN-Loop Front-End-Https X-Azure-ClientIP X-Remote-Addr X-Scheme";
        for name in from_proxies.split_whitespace() {
            assert!(is_from_a_proxy(name), "{name}");
            assert!(is_from_a_proxy(&name.to_ascii_lowercase()), "{name}");
        }
    }

    #[test]
    fn what_programs_and_browsers_send_is_not_taken_for_it() {
        let others = "Host Origin Referer User-Agent Accept Accept-Encoding Content-Type Content-Length Connection Upgrade \
            Authorization Cookie Expect Idempotency-Key Last-Event-ID If-None-Match Sec-Fetch-Site Sec-WebSocket-Key DNT \
            Priority TE X-Request-ID X-Requested-With traceparent Max-Forwards Zip ip X";
        for name in others.split_whitespace() {
            assert!(!is_from_a_proxy(name), "{name}");
        }
    }

    #[test]
    fn what_a_page_can_add_to_its_request_does_not_vouch_for_it() {
        for (name, value, vouches, is_foreign) in [
            ("Via", "1.1 x", true, false),
            ("sec-fetch-site", "same-origin", true, false),
            ("Sec-Fetch-Site", " none", true, false),
            ("Sec-Fetch-Site", "same-site", false, true),
            ("Sec-Fetch-Site", "cross-site ", false, true),
            ("Sec-Fetch-Site", "x", false, false),
            ("X-Forwarded-For", "none", false, false),
            ("Forwarded", "for=x", false, false),
            ("X-Real-IP", "::1", false, false),
            ("CDN-Loop", "x", false, false),
            ("Sec-Fetch", "none", false, false),
        ] {
            assert_eq!(is_beyond_pages(name, value.as_bytes()), vouches, "{name}: {value}");
            assert_eq!(is_from_another_page(name, value.as_bytes()), is_foreign, "{name}: {value}");
        }
    }
}
