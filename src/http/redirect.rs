//! What is answered at the door of plain HTTP: where a request goes over HTTPS. Nothing is served there but the challenges of an
//! ACME client, and nobody is sent to a host that the request has not named.

use crate::http::answer::Answer;
use crate::http::challenge::Challenge;
use crate::http::host::Host;
use crate::wire::authority::Authority;
use crate::wire::refusal::Refusal;
use crate::wire::request::{Method, Request};
use crate::wire::response::Response;

/// The port of HTTPS, which a URL leaves out (RFC 9110 §4.2.2).
pub const HTTPS_PORT: u16 = 443;

/// The port of HTTP, which a URL leaves out (RFC 9110 §4.2.1).
const HTTP_PORT: u16 = 80;

/// How requests are redirected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirect {
    /// The port to which they are.
    pub port: u16,
    /// The port by which they come in, where that is known.
    pub own_port: Option<u16>,
    /// Whether challenges are answered instead.
    pub answers_challenges: bool,
}

impl Redirect {
    /// Answers a request: 301, on which browsers and caches agree most, or 308 where its method and its body have to stay as they
    /// are (RFC 9110 §15.4).
    pub fn answer(self, request: &Request) -> Answer {
        let is_got = matches!(request.method, Method::Get | Method::Head);
        let challenge = Challenge::read(&request.path).filter(|_| self.answers_challenges && is_got);
        if let Some(challenge) = challenge {
            return Answer::Challenge(challenge);
        }
        match host(request) {
            Ok((host, named_port)) => {
                let status = if is_got { 301 } else { 308 };
                let location = self.location(&host, named_port, request);
                Answer::Respond(Response::empty(status).with("Location", location))
            }
            Err(refusal) => Answer::Refuse(refusal),
        }
    }

    fn location(self, host: &Host, named_port: Option<u16>, request: &Request) -> String {
        let port = match self.port {
            HTTPS_PORT => String::new(),
            _ if self.is_mapped(named_port) => String::new(),
            port => format!(":{port}"),
        };
        // What `OPTIONS *` asks about is named by a URL without a path (RFC 9112 §3.2.4).
        let path = if request.path == "*" { "" } else { &request.path };
        let query = request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("https://{host}{port}{path}{query}")
    }

    /// Whether somebody has come by the port of HTTP though this server listens on another one: then a container or a NAT maps its
    /// ports, and that of HTTPS to where browsers look.
    fn is_mapped(self, named_port: Option<u16>) -> bool {
        self.own_port.is_some_and(|own| own != HTTP_PORT) && named_port.unwrap_or(HTTP_PORT) == HTTP_PORT
    }
}

/// The host that a request names, and the port if it names one.
fn host(request: &Request) -> Result<(Host, Option<u16>), Refusal> {
    let fields = &request.fields;
    let named = fields.host.as_deref().filter(|host| !host.is_empty());
    let host = named.ok_or(Refusal::Malformed("no Host to redirect to"))?;
    let port = Authority::read(host).and_then(|authority| authority.port);
    let host = Host::named_in(host).ok_or(Refusal::Malformed("Host is neither a name nor an address"))?;
    match fields.ignored_host.as_deref() {
        // A cache in front may keep the answer by the one, and whoever has sent it names the other.
        Some(other) if Host::named_in(other).as_ref() != Some(&host) => {
            Err(Refusal::Malformed("the target and Host name different hosts"))
        }
        _ => Ok((host, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request_buffer::{BodyWish, Next, RequestBuffer};
    use crate::wire::response::Exchange;

    /// What is answered to these octets: the status and the `Location`, the challenge, or why it is refused.
    fn answer(port: u16, octets: &str) -> String {
        answer_by(Redirect { port, own_port: None, answers_challenges: true }, octets)
    }

    fn answer_by(redirect: Redirect, octets: &str) -> String {
        let mut buffer = RequestBuffer::default();
        buffer.extend(octets.as_bytes());
        let request = match buffer.next(|_| BodyWish::Ignore) {
            Ok(Next::Request(request)) => request,
            Ok(other) => return format!("{other:?}"),
            Err(refusal) => return refusal.status().0.to_string(),
        };
        match redirect.answer(&request) {
            Answer::Challenge(challenge) => challenge.file().to_owned(),
            Answer::Refuse(refusal) => refusal.status().0.to_string(),
            Answer::Respond(response) => {
                let (head, body) = response.encode(&Exchange::last(jiff::Timestamp::UNIX_EPOCH, None));
                let head = String::from_utf8(head.to_vec()).unwrap();
                assert!(head.contains("\r\nContent-Length: 0\r\n") && body.is_empty(), "{head}");
                let field = |line: &str| line.strip_prefix("Location: ").map(str::to_owned);
                let locations: Vec<String> = head.lines().filter_map(field).collect();
                format!("{} {}", head.split(' ').nth(1).unwrap(), locations.join(" and "))
            }
            other => format!("{other:?}"),
        }
    }

    /// The same for a request line and a `Host`.
    fn redirected(line: &str, host: &str) -> String {
        answer(HTTPS_PORT, &format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    #[test]
    fn each_request_is_redirected_to_what_it_names_and_keeps_its_method() {
        for (line, expected) in [
            ("GET /", "301 https://example.com/"),
            ("HEAD /a/b", "301 https://example.com/a/b"),
            ("GET /a?b=c&d=%0d%0a", "301 https://example.com/a?b=c&d=%0d%0a"),
            ("GET /a?", "301 https://example.com/a?"),
            ("GET /a??b?", "301 https://example.com/a??b?"),
            ("GET /?to=http://other.example/", "301 https://example.com/?to=http://other.example/"),
            ("GET //other.example/..", "301 https://example.com//other.example/.."),
            ("GET /%2f/../x;y", "301 https://example.com/%2f/../x;y"),
            ("GET /ws", "301 https://example.com/ws"),
            ("GET /healthz", "301 https://example.com/healthz"),
            ("POST /publish", "308 https://example.com/publish"),
            ("PUT /x", "308 https://example.com/x"),
            ("OPTIONS /x", "308 https://example.com/x"),
            ("OPTIONS *", "308 https://example.com"),
            ("get /", "308 https://example.com/"),
            ("GET http://example.com/a?b", "301 https://example.com/a?b"),
            ("GET http://EXAMPLE.com:80", "301 https://example.com/"),
            ("GET https://example.com/a", "301 https://example.com/a"),
            ("GET http://other.example/a", "400"),
            ("CONNECT example.com:443", "400"),
            ("GET *", "400"),
            ("GET /a#b", "400"),
            ("GET /\\other.example", "400"),
        ] {
            assert_eq!(redirected(line, "example.com"), expected, "{line}");
        }
    }

    #[test]
    fn the_host_is_the_one_that_is_named_without_its_port() {
        for (host, expected) in [
            ("example.com", "301 https://example.com/x"),
            ("Example.COM.:80", "301 https://example.com/x"),
            ("a_b.example:8080", "301 https://a_b.example/x"),
            ("192.0.2.1:80", "301 https://192.0.2.1/x"),
            ("[2001:DB8::1]", "301 https://[2001:db8::1]/x"),
            ("[2001:db8:0:0::1]:80", "301 https://[2001:db8::1]/x"),
            ("[::ffff:192.0.2.1]", "301 https://192.0.2.1/x"),
            ("xn--mller-kva.example", "301 https://xn--mller-kva.example/x"),
            ("", "400"),
            (":80", "400"),
            ("a..b", "400"),
            ("u@example.com", "400"),
            ("example.com/evil", "400"),
            ("example.com, other.example", "400"),
            ("example.com\r\nHost: example.com", "400"),
            ("example.com:x", "400"),
            ("[::1", "400"),
            ("::1", "400"),
            ("m%C3%BCller", "400"),
            ("(a,b;c=d)", "400"),
        ] {
            assert_eq!(redirected("GET /x", host), expected, "{host}");
        }
        assert_eq!(answer(443, "GET /x HTTP/1.0\r\n\r\n"), "400");
        assert_eq!(answer(443, "GET http://a.example/x HTTP/1.0\r\n\r\n"), "301 https://a.example/x");
        assert_eq!(answer(443, "GET /x HTTP/1.1\r\n\r\n"), "400");
    }

    #[test]
    fn a_port_that_is_not_that_of_https_is_named() {
        for (host, expected) in [
            ("example.com:8080", "301 https://example.com:8443/x"),
            ("[2001:db8::1]:8080", "301 https://[2001:db8::1]:8443/x"),
        ] {
            assert_eq!(answer(8443, &format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")), expected);
        }
    }

    #[test]
    fn whoever_comes_by_the_port_of_http_to_a_server_on_another_one_is_sent_to_the_port_of_https() {
        for (own_port, host, expected) in [
            // As `docker run -p 80:8080 -p 443:8443` has it.
            (Some(8080), "example.com", "301 https://example.com/x"),
            (Some(8080), "example.com:80", "301 https://example.com/x"),
            (Some(8080), "[2001:db8::1]", "301 https://[2001:db8::1]/x"),
            (Some(8080), "example.com:8080", "301 https://example.com:8443/x"),
            (Some(8080), "example.com:9080", "301 https://example.com:8443/x"),
            (Some(80), "example.com", "301 https://example.com:8443/x"),
            (Some(80), "example.com:80", "301 https://example.com:8443/x"),
            (None, "example.com", "301 https://example.com:8443/x"),
        ] {
            let redirect = Redirect { port: 8443, own_port, answers_challenges: false };
            let octets = format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(answer_by(redirect, &octets), expected, "{own_port:?} {host}");
        }
    }

    #[test]
    fn an_upgrade_and_a_body_change_nothing_and_a_long_body_is_not_waited_for() {
        for (fields, expected) in [
            (
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                "301 https://a.example/ws",
            ),
            (
                "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x",
                "301 https://a.example/ws",
            ),
            ("Content-Length: 5", "301 https://a.example/ws"),
            ("Content-Length: 5\r\nExpect: 100-continue", "301 https://a.example/ws"),
            ("Transfer-Encoding: chunked", "301 https://a.example/ws"),
            ("Content-Length: 99999999", "301 https://a.example/ws"),
        ] {
            let octets = format!("GET /ws HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n\r\n");
            assert_eq!(answer(HTTPS_PORT, &octets), expected, "{fields}");
        }
    }

    #[test]
    fn a_challenge_is_got_whatever_the_host_and_all_that_only_resembles_one_is_redirected() {
        let file = ".well-known/acme-challenge/tok-en_1";
        for line in [format!("GET /{file}"), format!("HEAD /{file}"), format!("GET /{file}?x")] {
            assert_eq!(redirected(&line, "a.example"), file, "{line}");
        }
        assert_eq!(answer(443, &format!("GET /{file} HTTP/1.0\r\n\r\n")), file);
        for line in [
            format!("POST /{file}"),
            format!("GET /{file}/"),
            format!("GET /{file}.txt"),
            "GET /.well-known/acme-challenge/".to_owned(),
            "GET /.well-known/acme-challenge/../x".to_owned(),
            "GET /.well-known/acme-challenge/%2e%2e".to_owned(),
        ] {
            assert!(redirected(&line, "a.example").starts_with("30"), "{line}");
        }
        let redirect = Redirect { port: HTTPS_PORT, own_port: None, answers_challenges: false };
        let mut buffer = RequestBuffer::default();
        buffer.extend(format!("GET /{file} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let Ok(Next::Request(request)) = buffer.next(|_| BodyWish::Skip) else { panic!("no request") };
        assert!(matches!(redirect.answer(&request), Answer::Respond(_)));
    }
}
