//! Tests of `token`: what is accepted, and which check each other token fails.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;
use crate::policy::topic::TopicName;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const EC: &str = include_str!("../../tests/keys/ec.pub.pem");

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

fn by_secret() -> Verifier {
    Verifier::new(VerifyingKeys::of_secret(SECRET), None, None)
}

fn by_keys(text: &str) -> Verifier {
    Verifier::new(VerifyingKeys::read(text).unwrap(), None, None)
}

fn signed(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

fn fault(verifier: &Verifier, token: &str) -> Option<Fault> {
    verifier.verify(token.as_bytes(), now()).err()
}

/// As tokens have it; the crate writes nothing that it would not read.
fn base64(text: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (octets, mut text) = (text, String::new());
    for chunk in octets.as_bytes().chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, octet| word << 8 | u32::from(*octet)) << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            text.push(LETTERS[(word >> (18 - 6 * index) & 63) as usize] as char);
        }
    }
    text
}

/// A token of this header and these claims, as they are written, signed with the secret.
fn written(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", base64(header), base64(claims));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &EncodingKey::from_secret(SECRET), Algorithm::HS256);
    format!("{message}.{}", signature.unwrap())
}

#[test]
fn a_good_token_says_who_until_when_and_what_it_may() {
    let token = signed(&json!({
        "sub": "ada", "exp": 1_000_060, "nbf": 999_000, "iat": 999_000, "name": "Ada",
        "slackwater": {"subscribe": ["orders/*", "news"], "publish": ["chat/7"], "later": true},
    }));
    let identity = by_secret().verify(token.as_bytes(), now()).unwrap();
    let parse = |pattern: &str| Filter::parse(pattern).unwrap();
    assert_eq!(
        identity,
        Identity {
            subject: Some("ada".to_owned()),
            expires: Some(Timestamp::from_second(1_000_060).unwrap()),
            rights: Rights::new(vec![parse("orders/*"), parse("news")], vec![parse("chat/7")]),
        }
    );
}

#[test]
fn without_the_claim_there_are_no_rights() {
    for claims in [json!({}), json!({"slackwater": null}), json!({"slackwater": {}}), json!({"scope": "*"})] {
        let identity = by_secret().verify(signed(&claims).as_bytes(), now()).unwrap();
        assert!(!identity.rights.hears_anything() && !identity.rights.publishes_anything());
        assert!(!identity.rights.may_publish(&TopicName::parse("a").unwrap()));
    }
}

#[test]
fn each_key_verifies_what_its_private_half_has_signed_and_nothing_else() {
    let ours = [
        (Algorithm::RS256, EncodingKey::from_rsa_pem(include_bytes!("../../tests/keys/rsa.pem")), "rsa"),
        (Algorithm::ES256, EncodingKey::from_ec_pem(include_bytes!("../../tests/keys/ec.pem")), "ec"),
        (Algorithm::EdDSA, EncodingKey::from_ed_pem(include_bytes!("../../tests/keys/ed.pem")), "other"),
    ];
    let public =
        [include_str!("../../tests/keys/rsa.pub.pem"), EC, include_str!("../../tests/keys/ed.pub.pem")];
    let jwks = by_keys(include_str!("../../tests/keys/jwks.json"));
    for (index, (algorithm, key, kid)) in ours.into_iter().enumerate() {
        let key = key.unwrap();
        let token = encode(&Header::new(algorithm), &json!({}), &key).unwrap();
        for (other, pem) in public.into_iter().enumerate() {
            let expected = (other != index).then_some(Fault::Algorithm);
            assert_eq!(fault(&by_keys(pem), &token), expected, "{algorithm:?} by {other}");
        }
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
        let named = encode(&header, &json!({}), &key).unwrap();
        assert_eq!(fault(&jwks, &named), None, "{kid}");
    }
}

#[test]
fn of_keys_with_the_same_name_or_none_the_one_that_fits_verifies() {
    let jwks = include_str!("../../tests/keys/jwks.json");
    let key = |pem: &[u8]| EncodingKey::from_ec_pem(pem).unwrap();
    let own = key(include_bytes!("../../tests/keys/ec.pem"));
    let token = |kid: Option<&str>, algorithm, key: &EncodingKey| {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        encode(&header, &json!({}), key).unwrap()
    };
    // Another key of P-256 in front: the base point of the curve.
    let old = r#"{"kty": "EC", "crv": "P-256", "kid": "ec", "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
        "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"},"#;
    let same =
        jwks.replace(r#""kid": "rsa""#, r#""kid": "ec""#).replacen("\n  {", &format!("\n  {old}{{"), 1);
    let nameless = same.replace(r#""kid": "ec""#, r#""other": "ec""#);
    let rsa = EncodingKey::from_rsa_pem(include_bytes!("../../tests/keys/rsa.pem")).unwrap();
    for (jwks, kid) in [(&same, Some("ec")), (&nameless, None), (&nameless, Some("gone"))] {
        let verifier = by_keys(jwks);
        assert_eq!(fault(&verifier, &token(kid, Algorithm::ES256, &own)), None, "{kid:?}");
        assert_eq!(fault(&verifier, &token(kid, Algorithm::RS256, &rsa)), None, "{kid:?}");
    }
    let secret = EncodingKey::from_secret(SECRET);
    assert_eq!(fault(&by_keys(&same), &token(Some("ec"), Algorithm::HS256, &secret)), Some(Fault::Algorithm));
    let ed = EncodingKey::from_ed_pem(include_bytes!("../../tests/keys/ed.pem")).unwrap();
    let named = [(Some("ec"), Fault::Algorithm), (Some("gone"), Fault::Key), (None, Fault::Key)];
    for (kid, why) in named {
        let without_ed = by_keys(&same.replace(r#""crv": "Ed25519""#, r#""crv": "none""#));
        assert_eq!(fault(&without_ed, &token(kid, Algorithm::EdDSA, &ed)), Some(why), "{kid:?}");
    }
    // Where its own key is missing, that of no name says nothing of it, unless it fits.
    let unknown = |algorithm, key| token(Some("gone"), algorithm, key);
    assert_eq!(fault(&by_keys(&same), &unknown(Algorithm::EdDSA, &ed)), None);
    assert_eq!(fault(&by_keys(&same), &unknown(Algorithm::ES256, &own)), Some(Fault::Key));
    assert_eq!(
        fault(&by_secret(), &unknown(Algorithm::HS256, &EncodingKey::from_secret(b"another"))),
        Some(Fault::Signature)
    );
}

#[test]
fn the_algorithm_is_the_keys_and_never_the_tokens() {
    let claims = json!({"slackwater": {"subscribe": ["*"]}});
    // The public key's text as a secret of HS256.
    let confused = encode(&Header::default(), &claims, &EncodingKey::from_secret(EC.as_bytes())).unwrap();
    assert_eq!(fault(&by_keys(EC), &confused), Some(Fault::Algorithm));
    let other = encode(&Header::new(Algorithm::HS512), &claims, &EncodingKey::from_secret(SECRET)).unwrap();
    assert_eq!(fault(&by_secret(), &other), Some(Fault::Algorithm));
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let header = base64(&format!(r#"{{"alg":"{none}","typ":"JWT"}}"#));
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{}.{signature}", base64("{}"));
            for verifier in [by_secret(), by_keys(EC)] {
                assert_eq!(fault(&verifier, &token), Some(Fault::NoJwt), "{none}");
            }
        }
    }
    // A key that the token brings along is of no interest.
    let own = r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"},"jku":"https://x","kid":"../../dev/null"}"#;
    assert_eq!(fault(&by_secret(), &written(own, "{}")), None);
    let others = encode(&Header::default(), &claims, &EncodingKey::from_secret(b"another")).unwrap();
    assert_eq!(fault(&by_secret(), &others), Some(Fault::Signature));
}

#[test]
fn times_are_judged_by_the_given_clock() {
    for (claims, expected) in [
        (r#"{"exp":1000001}"#, None),
        (r#"{"exp":1000000.5}"#, None),
        (r#"{"exp":1000000}"#, Some(Fault::Expired)),
        (r#"{"exp":999999}"#, Some(Fault::Expired)),
        (r#"{"exp":0}"#, Some(Fault::Expired)),
        (r#"{"exp":-1e300}"#, Some(Fault::Expired)),
        (r#"{"exp":1e300}"#, None),
        (r#"{"exp":99999999999999999999999999}"#, None),
        (r#"{"exp":18446744073709551615}"#, None),
        (r#"{"exp":1e999}"#, Some(Fault::Claims)),
        (r#"{"exp":"1000001"}"#, Some(Fault::Claims)),
        (r#"{"exp":[1000001]}"#, Some(Fault::Claims)),
        (r#"{"nbf":1000060}"#, None),
        (r#"{"nbf":1000061}"#, Some(Fault::TooEarly)),
        (r#"{"nbf":1e300}"#, Some(Fault::TooEarly)),
        (r#"{"nbf":-5}"#, None),
        (r#"{"nbf":true}"#, Some(Fault::Claims)),
    ] {
        assert_eq!(fault(&by_secret(), &written(r#"{"alg":"HS256"}"#, claims)), expected, "{claims}");
    }
    let endless = by_secret().verify(signed(&json!({"exp": 1e300})).as_bytes(), now()).unwrap();
    assert_eq!(endless.expires, Some(Timestamp::MAX));
}

#[test]
fn the_audience_and_the_issuer_are_those_expected() {
    let verifier = |audience: Option<&str>, issuer: Option<&str>| {
        Verifier::new(
            VerifyingKeys::of_secret(SECRET),
            audience.map(str::to_owned),
            issuer.map(str::to_owned),
        )
    };
    for (audience, claims, accepted) in [
        (None, json!({}), true),
        (None, json!({"aud": "others"}), false),
        (None, json!({"aud": []}), false),
        (Some("us"), json!({"aud": "us"}), true),
        (Some("us"), json!({"aud": ["others", "us"]}), true),
        (Some("us"), json!({"aud": ["others"]}), false),
        (Some("us"), json!({"aud": "us2"}), false),
        (Some("us"), json!({}), false),
    ] {
        let expected = (!accepted).then_some(Fault::Audience);
        assert_eq!(fault(&verifier(audience, None), &signed(&claims)), expected, "{audience:?} {claims}");
    }
    for (issuer, claims, accepted) in [
        (None, json!({"iss": "anybody"}), true),
        (Some("us"), json!({"iss": "us"}), true),
        (Some("us"), json!({"iss": "them"}), false),
        (Some("us"), json!({}), false),
    ] {
        let expected = (!accepted).then_some(Fault::Issuer);
        assert_eq!(fault(&verifier(None, issuer), &signed(&claims)), expected, "{issuer:?} {claims}");
    }
}

#[test]
fn claims_that_could_be_read_in_two_ways_are_refused() {
    for (claims, expected) in [
        (r#"{"slackwater":{"subscribe":["or*"]}}"#, Fault::Pattern),
        (r#"{"slackwater":{"publish":[""]}}"#, Fault::Pattern),
        (r#"{"slackwater":{"subscribe":"*"}}"#, Fault::Claims),
        (r#"{"slackwater":[["*"],["*"]]}"#, Fault::Claims),
        (r#"{"slackwater":"*"}"#, Fault::Claims),
        (r#"{"slackwater":{},"slackwater":{"subscribe":["*"]}}"#, Fault::Claims),
        (r#"{"exp":1,"exp":2000000}"#, Fault::Claims),
        (r#"{"sub":7}"#, Fault::Claims),
        (r#"["ada",2000000,0,null,null,{}]"#, Fault::Claims),
        ("7", Fault::Claims),
    ] {
        let token = written(r#"{"alg":"HS256"}"#, claims);
        assert_eq!(fault(&by_secret(), &token), Some(expected), "{claims}");
    }
    let critical = written(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, "{}");
    assert_eq!(fault(&by_secret(), &critical), Some(Fault::Critical));
}

#[test]
fn what_is_no_token_is_refused_without_harm() {
    let good = signed(&json!({}));
    let (message, _) = good.rsplit_once('.').unwrap();
    let long = "a".repeat(MAX_TOKEN_BYTES + 1);
    for (token, expected) in [
        ("", Fault::NoJwt),
        (".", Fault::NoJwt),
        ("..", Fault::NoJwt),
        ("a.b.c", Fault::NoJwt),
        ("....", Fault::NoJwt),
        ("\u{0}.\u{0}.\u{0}", Fault::NoJwt),
        (&long, Fault::TooLong),
        (&format!("{message}."), Fault::Signature),
        (&format!("{message}.AAAA"), Fault::Signature),
        (&format!("{message}.!"), Fault::Signature),
        (&format!("{good}.AAAA"), Fault::NoJwt),
    ] {
        assert_eq!(fault(&by_secret(), token), Some(expected), "{token:.40}");
    }
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = open.repeat(500) + "0" + &close.repeat(500);
        let in_header = written(&format!(r#"{{"alg":"HS256","x":{deep}}}"#), "{}");
        assert_eq!(fault(&by_secret(), &in_header), Some(Fault::NoJwt));
        for claim in ["aud", "slackwater", "iss", "exp"] {
            let inner =
                if claim == "slackwater" { format!(r#"{{"subscribe":{deep}}}"#) } else { deep.clone() };
            let token = written(r#"{"alg":"HS256"}"#, &format!(r#"{{"{claim}":{inner}}}"#));
            assert_eq!(fault(&by_secret(), &token), Some(Fault::Claims), "{claim}");
        }
    }
}

#[test]
fn a_fault_shows_nothing_of_the_token() {
    let token = signed(&json!({"sub": "sekrit", "exp": 5, "slackwater": {"subscribe": ["sekrit*"]}}));
    let why = by_secret().verify(token.as_bytes(), now()).unwrap_err();
    assert_eq!(why.to_string(), "the token has expired (exp)");
    assert!(!format!("{why:?}").contains("sekrit"));
}
