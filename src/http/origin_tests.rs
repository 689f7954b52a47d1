//! Who is let in: tables of doors, flags and requests.

use super::*;
use crate::wire::request_buffer::{BodyWish, Next, RequestBuffer};

fn request(fields: &str) -> Box<Request> {
    let mut buffer = RequestBuffer::default();
    buffer.extend(format!("GET /ws HTTP/1.1\nHost: {fields}\n\n").replace('\n', "\r\n").as_bytes());
    let Ok(Next::Request(request)) = buffer.next(|_| BodyWish::Skip) else { panic!("no request: {fields}") };
    request
}

fn allowed(origins: &str) -> Vec<AllowedOrigin> {
    origins.split_whitespace().map(|origin| AllowedOrigin::read(origin).expect(origin)).collect()
}

fn here() -> Reach {
    Reach::ThisMachine(crate::http::host::Host::read("Kitchen"))
}

/// Why a page may not listen at this door, with these flags.
fn denied(reach: &Reach, flags: &str, fields: &str) -> Option<Why> {
    let allowed = allowed(flags);
    Origins { allowed: &allowed, reach }.deny_listener(&request(fields)).map(|stranger| stranger.why)
}

const IN: Option<Why> = None;
const PAGE: Option<Why> = Some(Why::Page);
const NAME: Option<Why> = Some(Why::Name);
const FORWARDED: &str = "\nX-Forwarded-For: 10.0.0.1";

#[test]
fn without_the_flag_programs_and_the_servers_own_page_may_listen_everywhere() {
    for reach in [here(), Reach::World, Reach::Operators] {
        for (fields, expected) in [
            ("localhost", IN),
            ("example.com", IN),
            ("", IN),
            ("localhost:8000\nOrigin: http://localhost:8000", IN),
            ("[::1]:8000\nOrigin: http://[::1]:8000", IN),
            ("localhost:8000\nOrigin: https://example.com", PAGE),
            ("example.com\nOrigin: https://evil.example", PAGE),
            ("example.com\nOrigin: https://evil.example\nX-Forwarded-For: 10.0.0.1", PAGE),
            ("example.com\nOrigin: https://example.com:8443", PAGE),
            ("example.com\nOrigin: https://example.com.evil.example", PAGE),
            ("localhost\nOrigin: null", PAGE),
            ("localhost\nOrigin: file://", PAGE),
            ("localhost\nOrigin:", PAGE),
            ("localhost\nOrigin: chrome-extension://localhost", PAGE),
            ("localhost\nOrigin: tauri://localhost", PAGE),
        ] {
            assert_eq!(denied(&reach, "", fields), expected, "{reach:?} {fields}");
        }
    }
}

#[test]
fn on_a_loopback_address_pages_of_this_machine_may_listen_whatever_their_port() {
    for origin in [
        "http://localhost:3000",
        "https://localhost",
        "http://LOCALHOST.:5173",
        "http://app.localhost:1",
        "http://127.0.0.1:8001",
        "http://127.0.0.2",
        "http://[::1]:3000",
        "http://kitchen:3000",
    ] {
        for host in ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "kitchen:8000"] {
            let fields = format!("{host}\nOrigin: {origin}");
            assert_eq!(denied(&here(), "", &fields), IN, "{fields}");
            assert_eq!(denied(&Reach::World, "", &fields), PAGE, "{fields}");
            assert_eq!(denied(&Reach::Operators, "", &fields), PAGE, "{fields}");
        }
        let foreign = format!("example.com\nOrigin: {origin}");
        assert_eq!(denied(&here(), "", &foreign), PAGE, "{foreign}");
        assert_eq!(denied(&here(), "", &(foreign + FORWARDED)), PAGE, "it is of the visitor's machine");
    }
    for origin in
        ["http://localhost.evil.example", "http://10.0.0.1", "http://0.0.0.0", "http://kitchen.evil"]
    {
        assert_eq!(denied(&here(), "", &format!("localhost:8000\nOrigin: {origin}")), PAGE, "{origin}");
    }
}

#[test]
fn a_page_whose_name_was_rebound_to_this_machine_may_not_listen() {
    let rebound = "evil.example:8000\nOrigin: http://evil.example:8000";
    assert_eq!(denied(&here(), "", rebound), NAME);
    assert_eq!(denied(&here(), "https://app.example.com", rebound), NAME);
    assert_eq!(denied(&here(), "", &format!("{rebound}{FORWARDED}")), IN, "a proxy is in front");
    assert_eq!(denied(&here(), "http://evil.example:8000", rebound), IN, "it is the owner's");
    assert_eq!(denied(&here(), "*", rebound), IN);
    assert_eq!(denied(&Reach::World, "", rebound), IN, "whoever can reach the page can reach the server");
    assert_eq!(denied(&here(), "", "evil.example:8000"), IN, "programs call it as they like");
    for both in ["GET http://evil.example/ws", "GET http://localhost/ws"] {
        let mut request = request("localhost\nOrigin: http://evil.example");
        let (host, ignored) =
            if both.contains("evil") { ("evil.example", "localhost") } else { ("localhost", "evil.example") };
        request.fields.host = Some(host.to_owned());
        request.fields.ignored_host = Some(ignored.to_owned());
        let origins = Origins { allowed: &[], reach: &here() };
        assert!(origins.deny_listener(&request).is_some(), "{both}");
    }
}

/// Why a page may not hear an event stream at this door, with these flags.
fn denied_stream(reach: &Reach, flags: &str, fields: &str) -> Option<Why> {
    let allowed = allowed(flags);
    let origins = Origins { allowed: &allowed, reach };
    let request = request(fields);
    let denied = |shows_token| origins.deny_reader(&request, shows_token);
    let shared_with = request.fields.origin.as_deref().filter(|_| denied(false).is_none());
    assert_eq!(origins.origin_of_reader(&request), shared_with, "{fields}");
    let why = denied(false).map(|stranger| stranger.why);
    let with_token = denied(true).map(|stranger| stranger.why);
    assert_eq!(
        with_token,
        why.filter(|why| !matches!(why, Why::NameOfStream | Why::Hidden)),
        "a token vouches for what no page can know, not for an origin: {fields}"
    );
    why
}

const STREAM: Option<Why> = Some(Why::NameOfStream);
const HIDDEN: Option<Why> = Some(Why::Hidden);

#[test]
fn an_event_stream_is_for_the_pages_that_may_open_a_websocket() {
    for (fields, here_expected, expected) in [
        ("localhost:8000", IN, IN),
        ("127.0.0.1", IN, IN),
        ("kitchen", IN, IN),
        ("localhost:8000\nOrigin: http://localhost:8000", IN, IN),
        ("localhost:8000\nOrigin: http://localhost:3000", IN, PAGE),
        ("kitchen:8000\nOrigin: https://127.0.0.1", IN, PAGE),
        ("localhost:8000\nOrigin: https://evil.example", PAGE, PAGE),
        ("localhost\nOrigin: null", PAGE, PAGE),
        ("localhost\nOrigin:", PAGE, PAGE),
        ("example.com\nOrigin: https://evil.example\nVia: 1.1 x", PAGE, PAGE),
        ("example.com\nOrigin: http://localhost:3000\nSec-Fetch-Site: cross-site", PAGE, PAGE),
    ] {
        assert_eq!(denied_stream(&here(), "", fields), here_expected, "{fields}");
        for reach in [Reach::World, Reach::Operators] {
            assert_eq!(denied_stream(&reach, "", fields), expected, "{reach:?} {fields}");
        }
    }
    for origin in ["https://app.example.com", "null", "file://"] {
        for reach in [here(), Reach::World] {
            let fields = format!("rebound.example\nOrigin: {origin}");
            assert_eq!(denied_stream(&reach, "https://app.example.com null", &fields), IN, "{origin}");
        }
    }
}

#[test]
fn by_a_foreign_name_only_what_no_rebound_page_can_send_opens_an_event_stream() {
    for (fields, expected) in [
        // A browser names no origin when a page asks its own server.
        ("evil.example:8000", STREAM),
        ("evil.example:8000\nOrigin: http://evil.example:8000", STREAM),
        ("10.0.0.1", STREAM),
        ("0.0.0.0:8000", STREAM),
        ("localhost.evil.example", STREAM),
        ("", STREAM),
        // To what `fetch()` sends, a page can add these.
        ("evil.example\nX-Forwarded-For: 10.0.0.1", STREAM),
        ("evil.example\nOrigin: http://evil.example\nX-Forwarded-For: 10.0.0.1", STREAM),
        ("evil.example\nForwarded: for=10.0.0.1\nX-Real-IP: 10.0.0.1\nCDN-Loop: x", STREAM),
        ("evil.example\nLast-Event-ID: 1\nAuthorization: Bearer x", STREAM),
        // And not these.
        ("app.example.com\nVia: 1.1 nginx", IN),
        ("app.example.com\nSec-Fetch-Site: same-origin", IN),
        ("app.example.com\nSec-Fetch-Site: none", IN),
        // This says nothing of whose page it is, or that it is another's.
        ("app.example.com\nSec-Fetch-Site: x", STREAM),
        ("evil.example\nOrigin: http://evil.example\nSec-Fetch-Site: cross-site", STREAM),
        ("evil.example\nSec-Fetch-Site: cross-site", HIDDEN),
        ("app.example.com\nOrigin: https://app.example.com\nVia: 1.1 nginx", IN),
    ] {
        assert_eq!(denied_stream(&here(), "", fields), expected, "{fields}");
    }
    for reach in [Reach::World, Reach::Operators] {
        assert_eq!(denied_stream(&reach, "", "evil.example:8000"), IN, "whoever reaches it may call it so");
    }
}

#[test]
fn a_page_of_another_origin_that_does_not_say_so_holds_no_stream() {
    for (site, expected) in [("cross-site", HIDDEN), ("same-site", HIDDEN), ("same-origin", IN), ("none", IN)]
    {
        for reach in [here(), Reach::World, Reach::Operators] {
            let denied = |flags, fields: &str| {
                denied_stream(&reach, flags, &format!("localhost{fields}\nSec-Fetch-Site: {site}"))
            };
            assert_eq!(denied("", ""), expected, "{site} {reach:?}");
            assert_eq!(denied("", "\nVia: 1.1 nginx"), expected, "{site} {reach:?}");
            assert_eq!(denied("https://app.example.com null", ""), expected, "{site} {reach:?}");
            assert_eq!(denied("*", ""), IN, "any page may listen: {site} {reach:?}");
            let named = "\nOrigin: https://app.example.com";
            assert_eq!(denied("https://app.example.com", named), IN, "{site} {reach:?}");
        }
    }
}

#[test]
fn a_name_that_is_one_of_an_allowed_origin_is_no_rebound_one() {
    for (flags, host, expected) in [
        ("https://app.example.com", "app.example.com", IN),
        ("https://app.example.com", "APP.example.com.:8443", IN),
        ("https://app.example.com", "evil.example", STREAM),
        ("https://app.example.com", "example.com", STREAM),
        ("https://*.example.com", "a.example.com", IN),
        ("https://*.example.com", "example.com", STREAM),
        ("null", "app.example.com", STREAM),
        ("*", "app.example.com", IN),
    ] {
        assert_eq!(denied_stream(&here(), flags, host), expected, "{flags} {host}");
    }
    // Both names have to be known.
    let (reach, allowed) = (here(), allowed("https://app.example.com"));
    let origins = Origins { allowed: &allowed, reach: &reach };
    for (target, field, is_in) in [
        ("app.example.com", "localhost", true),
        ("evil.example", "app.example.com", false),
        ("app.example.com", "evil.example", false),
    ] {
        let mut request = request(target);
        request.fields.ignored_host = Some(field.to_owned());
        assert_eq!(origins.deny_reader(&request, false).is_none(), is_in, "{target} {field}");
    }
    let mut nameless = request("x");
    nameless.fields.host = None;
    assert!(origins.deny_reader(&nameless, false).is_none(), "browsers always name a host");
}

#[test]
fn the_flag_lets_pages_in_by_scheme_host_and_port() {
    for (flag, origin, is_covered) in [
        ("https://app.example.com", "https://app.example.com", true),
        ("https://app.example.com", "https://APP.example.com.:443", true),
        ("https://app.example.com:443", "https://app.example.com", true),
        ("https://app.example.com", "http://app.example.com", false),
        ("https://app.example.com", "https://app.example.com:8443", false),
        ("https://app.example.com", "https://example.com", false),
        ("https://app.example.com", "https://a.app.example.com", false),
        ("https://app.example.com", "https://app.example.com/", false),
        ("https://app.example.com", "https://app.example.com@evil.example", false),
        ("https://app.example.com", "https://app.example.com, https://evil.example", false),
        ("http://localhost:3000", "http://localhost:3000", true),
        ("http://localhost:3000", "http://127.0.0.1:3000", false),
        ("http://[0:0::1]:80", "http://[::1]", true),
        ("https://*.example.com", "https://a.example.com", true),
        ("https://*.example.com", "https://a.b.example.com", true),
        ("https://*.example.com", "https://example.com", false),
        ("https://*.example.com", "https://evilexample.com", false),
        ("https://*.example.com", "https://a.example.com.evil.example", false),
        ("https://*.example.com", "http://a.example.com", false),
        ("https://*.example.com", "https://a.example.com:444", false),
        ("https://*.example.com:444", "https://a.example.com:444", true),
        ("https://*.0.1", "https://127.0.0.1", false),
        ("capacitor://localhost", "capacitor://localhost", true),
        ("capacitor://localhost", "ionic://localhost", false),
        ("capacitor://localhost", "http://localhost", false),
        ("null", "null", true),
        ("null", "file://", true),
        ("null", "https://null", false),
        ("*", "null", true),
        ("*", "https://evil.example", true),
        ("*", "", true),
        ("https://a.example null", "null", true),
    ] {
        let fields = format!("example.net\nOrigin: {origin}");
        let expected = if is_covered { IN } else { PAGE };
        for reach in [here(), Reach::World, Reach::Operators] {
            assert_eq!(denied(&reach, flag, &fields), expected, "{flag} {origin}");
        }
        let (request, allowed) = (request(&fields), allowed(flag));
        let origins = Origins { allowed: &allowed, reach: &here() };
        assert_eq!(origins.allowed_origin_of(&request), is_covered.then_some(origin), "{flag} {origin}");
        assert_eq!(origins.deny_stranger(&request).is_none(), is_covered, "{flag} {origin}");
    }
}

#[test]
fn a_page_of_this_machine_that_may_listen_is_a_stranger_to_what_only_allowed_ones_may_do() {
    let reach = here();
    let stranger = |fields| Origins { allowed: &[], reach: &reach }.deny_stranger(&request(fields)).is_some();
    assert!(stranger("localhost:8000\nOrigin: http://localhost:3000"));
    assert!(!stranger("localhost:8000\nOrigin: http://localhost:8000") && !stranger("localhost"));
}

#[test]
fn the_log_names_the_flag_and_shows_an_origin_bounded_and_escaped() {
    let line = |origin: &str, why| Stranger::of(origin, why).to_string();
    assert_eq!(
        line("https://a.example", Why::Page),
        "Refused a page of the origin https://a.example: if it may listen and publish here, start the server with \
         --allowed-origin https://a.example"
    );
    assert_eq!(
        line("http://a.example:8000", Why::Name),
        "Refused a page of the origin http://a.example:8000, which calls this machine by a name that is not its own: let \
         the proxy in front add X-Forwarded-For; or, if there is none and the page may listen and publish here, start the \
         server with --allowed-origin http://a.example:8000"
    );
    assert_eq!(
        line("http://a.example:8000", Why::NameOfStream),
        "Refused a page of the origin http://a.example:8000, or a program that calls this machine so, which is not its name: \
         let the proxy in front add Via; or, if there is none and pages of that name may listen and publish here, start the \
         server with --allowed-origin http://a.example:8000"
    );
    assert!(line("file://", Why::Page).ends_with(" --allowed-origin null"));
    // What is no origin is not offered as the flag's value.
    let hostile = "x\u{1b}[31m\u{202e}\"\t* --allowed-origin *";
    let said = line(hostile, Why::Page);
    assert!(said.ends_with(" start the server with --allowed-origin"), "{said}");
    assert!(said.chars().all(|char| !char.is_control() && char != '\u{202e}'), "{said}");
    for origin in ["https://".to_owned() + &"a".repeat(10_000), "\u{1}".repeat(10_000)] {
        let said = line(&origin, Why::Name);
        assert!(said.len() < 2000 && said.contains('…'), "{}", said.len());
    }
}

#[test]
fn a_preflight_is_told_the_methods_and_fields_and_that_the_network_may_be_private_only_if_it_asks() {
    use crate::wire::response::Exchange;
    let head = |preflight| {
        let mut request = request("localhost");
        request.fields.preflight = preflight;
        let exchange = Exchange {
            now: jiff::Timestamp::UNIX_EPOCH,
            head_only: false,
            keep_alive: true,
            takes_chunks: true,
            shared_with: Some("https://a.example".into()),
            counted_as: None,
        };
        let (head, body) = preflight_response(&request, "POST").encode(&exchange);
        assert!(body.is_empty());
        String::from_utf8(head.to_vec()).unwrap()
    };
    let asked = head(Preflight::Asked);
    for field in [
        "HTTP/1.1 204 No Content",
        "Access-Control-Allow-Origin: https://a.example",
        "Vary: Origin",
        "Access-Control-Allow-Methods: POST",
        "Access-Control-Allow-Headers: Authorization, Content-Type, Idempotency-Key, Last-Event-ID",
        "Access-Control-Max-Age: 7200",
    ] {
        assert!(asked.contains(&format!("{field}\r\n")), "{field}: {asked}");
    }
    assert!(!asked.contains("Private-Network") && !asked.contains("Content-Length"), "{asked}");
    assert!(head(Preflight::AskedFromOutside).contains("Access-Control-Allow-Private-Network: true\r\n"));
}

#[test]
fn where_tls_ends_here_a_page_over_plain_http_is_of_another_origin() {
    for (origin, is_own) in [
        ("https://push.example.com", true),
        ("http://push.example.com", false),
        ("http://push.example.com:443", false),
    ] {
        let mut request = request(&format!("push.example.com\nOrigin: {origin}"));
        request.is_secured = true;
        let origins = Origins { allowed: &[], reach: &Reach::World };
        assert_eq!(origins.deny_listener(&request).is_none(), is_own, "{origin}");
        assert_eq!(origins.deny_stranger(&request).is_none(), is_own, "{origin}");
        request.fields.forwarded = true;
        let is_of_proxy = origin != "http://push.example.com:443";
        assert_eq!(
            origins.deny_listener(&request).is_none(),
            is_of_proxy,
            "{origin}: a proxy has spoken with it"
        );
    }
}
