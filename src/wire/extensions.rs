//! Reads which extensions of the WebSocket protocol a client offers (RFC 6455 §9.1), and accepts one: permessage-deflate, by
//! RFC 7692 §7.1. Whether it is switched on is not asked here.
//!
//! The answer always says that each message is compressed for itself: then neither side keeps a window between messages, and one
//! compressed message serves every client.

use std::borrow::Cow;
use std::num::NonZeroU8;

use crate::wire::head::is_token;

mod compression;

pub use compression::Compression;

/// The one extension that is understood.
const NAME: &[u8] = b"permessage-deflate";

/// The window of DEFLATE itself, in bits.
const LARGEST_WINDOW_BITS: u8 = 15;

/// What a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offers {
    /// Nothing that could be accepted.
    Nothing,
    /// Compression; of several offers that could be accepted the first, which the client likes best.
    Compression(Compression),
    /// What breaks the grammar: the handshake must fail (RFC 6455 §9.1).
    Malformed,
}

impl Offers {
    /// Reads the values of all fields `Sec-WebSocket-Extensions`, which count as one list (RFC 6455 §11.3.2). Empty elements are
    /// ignored (RFC 9110 §5.6.1.2).
    pub fn read<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut first = None;
        for field in fields {
            match read_list(field) {
                Some(accepted) => first = first.or(accepted),
                None => return Self::Malformed,
            }
        }
        first.map_or(Self::Nothing, Self::Compression)
    }
}

/// The first offer in a list that can be accepted, if any; nothing at all of what is no list.
fn read_list(field: &[u8]) -> Option<Option<Compression>> {
    let (mut rest, mut first) = (Text(field), None);
    while !rest.is_at_end() {
        if rest.take(b',') {
            continue;
        }
        let offer = read_offer(&mut rest)?;
        first = first.or(offer);
        if !rest.is_at_end() && !rest.take(b',') {
            return None;
        }
    }
    Some(first)
}

/// What an offer comes to, if it can be accepted; nothing at all of what is none. Names are matched to the letter, as browsers do.
fn read_offer(rest: &mut Text<'_>) -> Option<Option<Compression>> {
    let mut parameters = (rest.token()? == NAME).then(Parameters::default);
    while rest.take(b';') {
        let name = rest.token()?;
        let value = if rest.take(b'=') { Some(rest.value()?) } else { None };
        parameters = parameters.and_then(|parameters| parameters.with(name, value.as_deref()));
    }
    Some(parameters.map(|parameters| Compression {
        server_max_window_bits: parameters.server_max_window_bits.and_then(NonZeroU8::new),
    }))
}

/// The parameters of an offer so far.
#[derive(Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: bool,
}

impl Parameters {
    /// Takes one more, unless it makes the offer one to decline: unknown, given twice, or with a value that it must not have
    /// (RFC 7692 §7.1).
    fn with(mut self, name: &[u8], value: Option<&[u8]>) -> Option<Self> {
        let is_new = match (name, value) {
            (b"server_no_context_takeover", None) => {
                !std::mem::replace(&mut self.server_no_context_takeover, true)
            }
            (b"client_no_context_takeover", None) => {
                !std::mem::replace(&mut self.client_no_context_takeover, true)
            }
            (b"server_max_window_bits", Some(value)) => {
                self.server_max_window_bits.replace(window_bits(value)?).is_none()
            }
            (b"client_max_window_bits", value) => {
                value.map_or(Some(0), window_bits)?;
                !std::mem::replace(&mut self.client_max_window_bits, true)
            }
            _ => false,
        };
        is_new.then_some(self)
    }
}

/// From 8 to 15, in decimal without a zero in front (RFC 7692 §7.1.2.1). With 8, all that is worth compressing is too long for the
/// window and is sent as it is: no zlib has a window of 256 bytes, and none is needed.
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// What is left of a field. There may be white space between any two of its parts (RFC 6455 refers to RFC 2616 §2.1).
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn skip_space(&mut self) {
        let spaces = self.0.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
        self.0 = &self.0[spaces..];
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.0.is_empty()
    }

    fn take(&mut self, delimiter: u8) -> bool {
        self.skip_space();
        let rest = self.0.strip_prefix(&[delimiter]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn token(&mut self) -> Option<&'a [u8]> {
        self.skip_space();
        let length = self.0.iter().take_while(|octet| is_token(octet)).count();
        let (token, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(token).filter(|token| !token.is_empty())
    }

    /// A token, or a quoted string that is one behind its quotes (RFC 6455 §9.1).
    fn value(&mut self) -> Option<Cow<'a, [u8]>> {
        if !self.take(b'"') {
            return self.token().map(Cow::Borrowed);
        }
        let mut value = vec![];
        loop {
            let (octet, rest) = self.0.split_first()?;
            let (octet, rest) = match octet {
                b'"' => break self.0 = rest,
                b'\\' => rest.split_first()?,
                _ => (octet, rest),
            };
            self.0 = rest;
            value.push(*octet);
        }
        (!value.is_empty() && value.iter().all(is_token)).then_some(Cow::Owned(value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(fields: &[&str]) -> Offers {
        Offers::read(fields.iter().map(|field| field.as_bytes()))
    }

    fn accepted(bits: Option<u8>) -> Offers {
        Offers::Compression(Compression { server_max_window_bits: bits.and_then(NonZeroU8::new) })
    }

    #[test]
    fn what_browsers_and_libraries_offer_is_accepted() {
        let offers = [
            ("permessage-deflate", None),
            // Chromium and Firefox, `ws`, `websockets`, Safari.
            ("permessage-deflate; client_max_window_bits", None),
            ("permessage-deflate; server_max_window_bits=12; client_max_window_bits=12", Some(12)),
            ("permessage-deflate; client_no_context_takeover; server_no_context_takeover", None),
            ("x-webkit-deflate-frame, permessage-deflate", None),
        ];
        for (offer, bits) in offers {
            assert_eq!(read(&[offer]), accepted(bits), "{offer}");
        }
    }

    #[test]
    fn the_answer_says_that_nothing_is_kept_between_messages_and_repeats_the_clients_window() {
        let always = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        let answer = |offer: &str| match read(&[offer]) {
            Offers::Compression(compression) => compression.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(answer("permessage-deflate"), always);
        assert_eq!(answer("permessage-deflate; client_max_window_bits=9"), always);
        for bits in 8..=15 {
            let offer = format!("permessage-deflate; server_max_window_bits={bits}");
            assert_eq!(answer(&offer), format!("{always}; server_max_window_bits={bits}"));
        }
    }

    #[test]
    fn an_offer_with_an_unknown_doubled_or_invalid_parameter_is_declined() {
        for parameters in [
            "unknown",
            "Server_no_context_takeover",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
            "server_max_window_bits=10; server_max_window_bits=10",
            "client_max_window_bits; client_max_window_bits=10",
            "server_no_context_takeover=true",
            "client_no_context_takeover=\"1\"",
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=08",
            "server_max_window_bits=1",
            "server_max_window_bits=100",
            "client_max_window_bits=0",
            "client_max_window_bits=x",
            "client_max_window_bits=15; unknown=1",
        ] {
            let offer = format!("permessage-deflate; {parameters}");
            assert_eq!(read(&[&offer]), Offers::Nothing, "{offer}");
            let second = format!("{offer}, permessage-deflate; server_max_window_bits=9, permessage-deflate");
            assert_eq!(read(&[&second]), accepted(Some(9)), "{second}");
        }
        for other in ["permessage-bzip2", "Permessage-Deflate", "permessage-deflate2", "permessage"] {
            assert_eq!(read(&[other]), Offers::Nothing, "{other}");
        }
    }

    #[test]
    fn offers_may_come_in_several_fields_with_white_space_and_quotes() {
        let offers: [&[&str]; 8] = [
            &["x", "permessage-deflate;server_max_window_bits=10"],
            &["permessage-deflate; unknown", "permessage-deflate; server_max_window_bits=10", "y"],
            &["", " , ", "permessage-deflate; server_max_window_bits=10,"],
            &["\tpermessage-deflate ;\t server_max_window_bits \t= 10 \t,,x"],
            &["permessage-deflate; server_max_window_bits=\"10\""],
            &["permessage-deflate; server_max_window_bits = \"1\\0\" ; client_max_window_bits=\"\\9\""],
            &["x; y=\"a\"; z, permessage-deflate; server_max_window_bits=10, permessage-deflate"],
            &["x; y=z; y=z; y, permessage-deflate; server_max_window_bits=10; server_no_context_takeover"],
        ];
        for fields in offers {
            assert_eq!(read(fields), accepted(Some(10)), "{fields:?}");
        }
        let nothing: [&[&str]; 4] = [&[], &[""], &["", " \t "], &[",,, ,"]];
        for fields in nothing {
            assert_eq!(read(fields), Offers::Nothing, "{fields:?}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_malformed_wherever_it_stands() {
        for bad in [
            ";",
            "=",
            "permessage-deflate;",
            "permessage-deflate; ;x",
            "permessage-deflate; x=",
            "permessage-deflate; =x",
            "permessage-deflate; x=y=z",
            "permessage-deflate x",
            "permessage deflate",
            "permessage-deflate; x y",
            "permessage-deflate; x=\"",
            "permessage-deflate; x=\"y",
            "permessage-deflate; x=\"y\\",
            "permessage-deflate; x=\"\"",
            "permessage-deflate; x=\"a b\"",
            "permessage-deflate; x=\"a,b\"",
            "permessage-deflate; x=\"a\"b",
            "\"permessage-deflate\"",
            "permessage/deflate",
            "permessage-deflate; x=ä",
            "x\u{1}",
        ] {
            for fields in [&[bad][..], &["permessage-deflate", bad], &[bad, "permessage-deflate"]] {
                assert_eq!(read(fields), Offers::Malformed, "{fields:?}");
            }
            assert_eq!(read(&[&format!("permessage-deflate, {bad}")]), Offers::Malformed, "{bad}");
        }
    }

    #[test]
    fn a_message_fits_into_a_window_of_at_least_its_length() {
        let compression = |bits| Compression { server_max_window_bits: NonZeroU8::new(bits) };
        assert!(compression(9).fits(512) && !compression(9).fits(513));
        assert!(compression(8).fits(256) && !compression(8).fits(257));
        assert!(compression(15).fits(usize::MAX) && Compression::default().fits(usize::MAX));
    }

    #[test]
    fn ten_thousand_offers_are_read_once_each() {
        let declined = "permessage-deflate; server_max_window_bits=\"\\7\"; x; x";
        let fields = [vec![declined; 10_000].join(","), "permessage-deflate".to_owned()];
        assert_eq!(read(&[&fields[0]]), Offers::Nothing);
        assert_eq!(read(&[&fields[0], &fields[1]]), accepted(None));
    }

    /// What a list reads like, and what it comes to.
    fn lists() -> impl Strategy<Value = (String, Option<Option<u8>>)> {
        let space = || "[ \t]{0,2}";
        let parameter = prop_oneof![
            Just(("server_no_context_takeover".to_owned(), Some(None))),
            Just(("client_no_context_takeover".to_owned(), Some(None))),
            Just(("client_max_window_bits".to_owned(), Some(None))),
            (8..=15_u8).prop_map(|bits| (format!("server_max_window_bits={bits}"), Some(Some(bits)))),
            (8..=15_u8).prop_map(|bits| (format!("server_max_window_bits = \"{bits}\""), Some(Some(bits)))),
            "[a-z]{1,3}(=[a-z]{1,3})?".prop_map(|unknown| (unknown, None)),
        ];
        let offer = (any::<bool>(), prop::collection::vec(parameter, 0..4), space(), space());
        let offer = offer.prop_map(|(is_deflate, parameters, before, behind)| {
            let name = |text: &str| text.split([' ', '=']).next().unwrap().to_owned();
            let mut names: Vec<String> = parameters.iter().map(|(text, _)| name(text)).collect();
            names.sort();
            names.dedup();
            let is_good = is_deflate
                && names.len() == parameters.len()
                && parameters.iter().all(|(_, means)| means.is_some());
            let bits = parameters.iter().find_map(|(_, means)| means.flatten());
            let texts = parameters.iter().map(|(text, _)| format!("{behind};{before}{text}"));
            let name = if is_deflate { "permessage-deflate" } else { "other" };
            (format!("{before}{name}{}", texts.collect::<String>()), is_good.then_some(bits))
        });
        prop::collection::vec(offer, 0..5).prop_map(|offers| {
            let text: Vec<&str> = offers.iter().map(|(text, _)| text.as_str()).collect();
            (text.join(","), offers.iter().find_map(|(_, means)| *means))
        })
    }

    proptest! {
        #[test]
        fn the_first_good_offer_counts_in_one_field_as_in_several((list, means) in lists()) {
            let expected = means.map_or(Offers::Nothing, accepted);
            prop_assert_eq!(read(&[&list]), expected);
            let fields: Vec<&str> = list.split(',').collect();
            prop_assert_eq!(read(&fields), expected);
        }

        #[test]
        fn garbage_is_read_without_a_panic(field in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Offers::read([&field[..], &field].into_iter());
        }
    }
}
