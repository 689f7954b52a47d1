//! Who shows a token: one of HS256 in `Authorization`, with the claims that an application would give it, 264 octets long.

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use super::common::arrival::REQUEST;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The year 2100.
const FAR: u64 = 4_102_444_800;

/// What makes the server expect such a token.
pub fn flags() -> String {
    format!("--auth-secret {SECRET}")
}

/// The opening handshake with a token.
pub fn request() -> String {
    let claims = json!({
        "sub": "user-4711", "iat": 1_767_225_600, "exp": FAR,
        "slackwater": {"subscribe": ["notifications", "users/4711/*"], "publish": ["chat/4711"]},
    });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = encode(&Header::default(), &claims, &key).expect("claims can be signed");
    REQUEST.replacen("\r\n\r\n", &format!("\r\nAuthorization: Bearer {token}\r\n\r\n"), 1)
}
