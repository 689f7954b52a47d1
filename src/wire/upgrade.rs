//! Reads what a request says about becoming a WebSocket (RFC 6455 §4.2): what to answer, or why not. One
//! sub-protocol is accepted.

use tungstenite::handshake::derive_accept_key;

use crate::wire::extensions::Offers;
use crate::wire::head::{Head, is_token};
use crate::wire::refusal::Refusal;

/// The sub-protocol that is spoken here, whether a client names it or not.
const PROTOCOL: &str = "slackwater";

/// What a browser offers beside it to hand over a token, as its scripts cannot set header fields.
const TOKEN_PREFIX: &[u8] = b"slackwater.token.";

/// What a request says about becoming a WebSocket. Where no WebSocket is offered, this is ignored (RFC 9110 §7.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upgrade {
    /// It does not ask, or asks in a way that does not count: by another method, or with HTTP/1.0.
    NotAsked,
    /// It asks, but breaks a rule of the handshake.
    Refused(Refusal),
    /// It asks for a version of the protocol other than 13: 426.
    OtherVersion,
    /// It asks as it should.
    Asked(Acceptance),
}

/// What the answer 101 says besides its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// The value of `Sec-WebSocket-Accept`.
    pub key: String,
    /// The sub-protocol, if the client has offered it. A browser that has offered only others gives up.
    pub protocol: Option<&'static str>,
    /// The extensions that the client offers. Whether one is accepted depends on more than the request.
    pub offers: Offers,
}

/// Reads the client's opening handshake.
pub fn negotiate(head: &Head<'_>) -> Upgrade {
    if head.is_http_1_0 || head.method != "GET" || !head.lists("upgrade", "websocket") {
        return Upgrade::NotAsked;
    }
    read_handshake(head).unwrap_or_else(Upgrade::Refused)
}

fn read_handshake(head: &Head<'_>) -> Result<Upgrade, Refusal> {
    if !head.lists("connection", "upgrade") {
        return Err(Refusal::Malformed("Upgrade is not named in Connection"));
    }
    let version = head.single("sec-websocket-version", "more than one Sec-WebSocket-Version")?;
    if version != Some(b"13") {
        return Ok(Upgrade::OtherVersion);
    }
    let protocol = choose_protocol(head)?;
    match head.single("sec-websocket-key", "more than one Sec-WebSocket-Key")? {
        Some(key) if is_key(key) => {
            let offers = Offers::read(head.values("sec-websocket-extensions"));
            Ok(Upgrade::Asked(Acceptance { key: derive_accept_key(key), protocol, offers }))
        }
        Some(_) => Err(Refusal::Malformed("Sec-WebSocket-Key is not 16 octets in base64")),
        None => Err(Refusal::Malformed("no Sec-WebSocket-Key")),
    }
}

/// Looks for ours among the sub-protocols offered, in one field or several (RFC 6455 §11.3.4). Empty elements of a list
/// are ignored (RFC 9110 §5.6.1.2).
fn choose_protocol(head: &Head<'_>) -> Result<Option<&'static str>, Refusal> {
    let mut protocol = None;
    for offer in offers(head) {
        if !offer.iter().all(is_token) {
            return Err(Refusal::Malformed("Sec-WebSocket-Protocol is not a list of tokens"));
        }
        if offer == PROTOCOL.as_bytes() {
            protocol = Some(PROTOCOL);
        }
    }
    Ok(protocol)
}

/// The token among the sub-protocols offered, which counts only beside our own: `slackwater, slackwater.token.<token>`.
pub fn token_offered<'a>(head: &Head<'a>) -> Option<&'a [u8]> {
    let token =
        offers(head).find_map(|offer| offer.strip_prefix(TOKEN_PREFIX)).filter(|token| !token.is_empty());
    token.filter(|_| offers(head).any(|offer| offer == PROTOCOL.as_bytes()))
}

fn offers<'a>(head: &Head<'a>) -> impl Iterator<Item = &'a [u8]> {
    let lists = head.values("sec-websocket-protocol");
    let offers = lists.flat_map(|list| list.split(|octet| *octet == b',')).map(<[u8]>::trim_ascii);
    offers.filter(|offer| !offer.is_empty())
}

/// Whether a key is 16 octets in base64 (RFC 6455 §4.2.1): 22 letters and two of padding.
fn is_key(key: &[u8]) -> bool {
    let is_letter = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/');
    matches!(key.split_at_checked(22), Some((letters, b"==")) if letters.iter().all(is_letter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::extensions::Compression;
    use crate::wire::request_buffer::{BodyWish, Next, RequestBuffer};

    const GOOD: &str = "GET /ws HTTP/1.1\nHost: x\nUpgrade: websocket\nConnection: Upgrade\n\
        Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n";

    fn ask(request: &str) -> Result<Upgrade, Refusal> {
        let mut buffer = RequestBuffer::default();
        buffer.extend(request.replace('\n', "\r\n").as_bytes());
        match buffer.next(|_| BodyWish::Skip)? {
            Next::Request(request) => Ok(request.upgrade),
            other => panic!("the head is whole, and yet {other:?}"),
        }
    }

    fn accepted(protocol: Option<&'static str>) -> Upgrade {
        offered(protocol, Offers::Nothing)
    }

    fn offered(protocol: Option<&'static str>, offers: Offers) -> Upgrade {
        Upgrade::Asked(Acceptance { key: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned(), protocol, offers })
    }

    #[test]
    fn the_sample_of_the_rfc_is_accepted_in_any_letter_case() {
        let accepted = Ok(accepted(None));
        assert_eq!(ask(GOOD), accepted);
        assert_eq!(ask(&GOOD.replace("Connection: Upgrade", "connection: keep-alive, UPGRADE")), accepted);
        assert_eq!(ask(&GOOD.replace("Upgrade: websocket", "UPGRADE: h2c, WebSocket")), accepted);
    }

    #[test]
    fn what_extensions_are_offered_is_told_from_all_fields_and_refuses_nothing_yet() {
        let compression = Offers::Compression(Compression::default());
        for (fields, offers) in [
            ("Sec-WebSocket-Extensions: permessage-deflate", compression),
            ("sec-websocket-extensions: x\nSEC-WEBSOCKET-EXTENSIONS: permessage-deflate", compression),
            ("Sec-WebSocket-Extensions: x", Offers::Nothing),
            ("Sec-WebSocket-Extensions:", Offers::Nothing),
            ("Sec-WebSocket-Extensions: permessage-deflate;", Offers::Malformed),
        ] {
            let asked = ask(&GOOD.replace("\n\n", &format!("\n{fields}\n\n")));
            assert_eq!(asked, Ok(offered(None, offers)), "{fields}");
        }
    }

    #[test]
    fn an_upgrade_that_breaks_a_rule_is_refused() {
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n";
        let refused = [
            (GOOD.replace(key, ""), "no Sec-WebSocket-Key"),
            (GOOD.replace(key, &[key, key].concat()), "more than one Sec-WebSocket-Key"),
            (
                GOOD.replace("dGhlIHNhbXBsZSBub25jZQ", "c2hvcnQ"),
                "Sec-WebSocket-Key is not 16 octets in base64",
            ),
            (GOOD.replace("dGhl", "d-hl"), "Sec-WebSocket-Key is not 16 octets in base64"),
            (GOOD.replace("Connection: Upgrade", "Connection: close"), "Upgrade is not named in Connection"),
        ];
        for (request, why) in refused {
            assert_eq!(ask(&request), Ok(Upgrade::Refused(Refusal::Malformed(why))));
        }
        assert_eq!(ask(&GOOD.replace("Host: x\n", "")), Err(Refusal::Malformed("no Host")));
    }

    #[test]
    fn an_upgrade_that_does_not_count_is_ignored() {
        for request in [
            GOOD.replace("GET", "PUT"),
            GOOD.replace("GET", "HEAD"),
            GOOD.replace("HTTP/1.1", "HTTP/1.0"),
            GOOD.replace("Upgrade: websocket", "Upgrade: h2c"),
            GOOD.replace("Host: x\n", "Host: x\nContent-Length: 1\n"),
        ] {
            assert_eq!(ask(&request), Ok(Upgrade::NotAsked), "{request}");
        }
    }

    #[test]
    fn of_the_sub_protocols_offered_only_ours_is_chosen() {
        let offer = |lines: &[&str]| {
            let lines: String = lines.iter().map(|line| format!("Sec-WebSocket-Protocol:{line}\n")).collect();
            ask(&GOOD.replace("\n\n", &format!("\n{lines}\n")))
        };
        let ours: [&[&str]; 6] = [
            &[" slackwater"],
            &["slackwater,slackwater.token.eyJ0.eyJz.c2ln"],
            &[" graphql-ws ,\tslackwater"],
            &[" mqtt", " chat, slackwater", " stomp"],
            &[" , slackwater,, ,chat,"],
            &[" slackwater, slackwater"],
        ];
        for lines in ours {
            assert_eq!(offer(lines), Ok(accepted(Some("slackwater"))), "{lines:?}");
        }
        let others: [&[&str]; 7] = [
            &[" mqtt"],
            &[" Slackwater"],
            &[" slackwater2, x.slackwater"],
            &[" mqtt", " chat"],
            &[""],
            &[" , "],
            &[],
        ];
        for lines in others {
            assert_eq!(offer(lines), Ok(accepted(None)), "{lines:?}");
        }
        for lines in
            [[" slack water"], [" slackwater, a/b"], [" \"slackwater\""], [" slackwater;q=1"], [" ä"]]
        {
            let refused = Refusal::Malformed("Sec-WebSocket-Protocol is not a list of tokens");
            assert_eq!(offer(&lines), Ok(Upgrade::Refused(refused)), "{lines:?}");
        }
    }

    #[test]
    fn another_version_is_told_apart_from_a_bad_request() {
        assert_eq!(ask(&GOOD.replace("Version: 13", "Version: 8")), Ok(Upgrade::OtherVersion));
        assert_eq!(ask(&GOOD.replace("Sec-WebSocket-Version: 13\n", "")), Ok(Upgrade::OtherVersion));
        assert_eq!(ask("GET /ws HTTP/1.1\nHost: x\n\n"), Ok(Upgrade::NotAsked));
    }
}
