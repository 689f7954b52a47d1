//! Tokens: nothing that is not signed is believed, and of what is signed nothing but what it says, as another JSON parser
//! finds it, too.
#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use slackwater::http::keys::VerifyingKeys;
use slackwater::http::token::{Identity, MAX_TOKEN_BYTES, Verifier};
use slackwater::policy::topic::Filter;
use slackwater_fuzz::within;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

const NOW: Timestamp = Timestamp::constant(1_000_000_000, 0);

static BY_SECRET: LazyLock<Verifier> =
    LazyLock::new(|| Verifier::new(VerifyingKeys::of_secret(SECRET), None, None));

static BY_KEYS: LazyLock<Verifier> = LazyLock::new(|| {
    let keys = VerifyingKeys::read(include_str!("../../tests/keys/jwks.json")).expect("there are keys");
    Verifier::new(keys, None, None)
});

fuzz_target!(|input: &[u8]| {
    LazyLock::force(&BY_SECRET);
    LazyLock::force(&BY_KEYS);
    let most_bytes = 128 * 1024 + 64 * input.len();
    for verifier in [&*BY_SECRET, &*BY_KEYS] {
        assert!(within(most_bytes, || verifier.verify(input, NOW)).is_err(), "nobody has signed it");
    }
    // Its header may be anything, too, if a line behind it holds the claims.
    let mut parts = input.splitn(2, |octet| *octet == b'\n');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let (header, claims) = second.map_or((&br#"{"alg":"HS256"}"#[..], first), |claims| (first, claims));
    let token = signed(header, claims);
    let identity = within(most_bytes + 64 * token.len(), || BY_SECRET.verify(token.as_bytes(), NOW));
    if let Ok(identity) = identity {
        assert!(token.len() <= MAX_TOKEN_BYTES);
        compare(&identity, claims);
    }
    assert!(BY_KEYS.verify(token.as_bytes(), NOW).is_err(), "the secret is none of the keys");
    if let Ok(text) = str::from_utf8(input) {
        let _ = within(256 * 1024 + 64 * input.len(), || VerifyingKeys::read(text).is_ok());
    }
});

fn signed(header: &[u8], claims: &[u8]) -> String {
    let [header, claims] = [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    let message = format!("{header}.{claims}");
    let key = EncodingKey::from_secret(SECRET);
    let signature =
        crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("a secret signs anything");
    format!("{message}.{signature}")
}

fn compare(identity: &Identity, claims: &[u8]) {
    // The second opinion, where it has one: in what means nothing here it takes no bad UTF-8, deep nesting or large number.
    let Ok(claims) = serde_json::from_slice::<Value>(claims) else { return };
    assert!(claims.is_object() && claims.get("aud").is_none_or(Value::is_null));
    assert_eq!(identity.subject.as_deref(), claims["sub"].as_str());
    assert_eq!(identity.expires.is_some(), claims["exp"].is_number());
    assert!(identity.expires.is_none_or(|at| at > NOW));
    let granted = |what: &str| {
        let list = claims["slackwater"][what].as_array().cloned().unwrap_or_default();
        let parse = |name: &Value| Filter::parse(name.as_str().expect("a pattern is a string"));
        list.iter().map(|name| parse(name).expect("it is a pattern")).collect::<Vec<_>>()
    };
    let subscribe = granted("subscribe");
    assert_eq!(identity.rights.hears_anything(), !subscribe.is_empty());
    assert_eq!(identity.rights.publishes_anything(), !granted("publish").is_empty());
    assert!(subscribe.iter().all(|filter| identity.rights.may_subscribe(filter)));
    let all = Filter::parse("*").expect("it is a pattern");
    assert_eq!(identity.rights.may_subscribe(&all), subscribe.contains(&all));
}
