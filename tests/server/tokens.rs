//! Tokens on the wire: who may hear and publish what, with which token, and where it is taken from.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use support::client::Client;
use support::peer::{Peer, Response};
use support::publisher::Publisher;
use support::{HANDSHAKE, handshake};

use crate::running::Running;

mod connected;
mod doors;
mod refusals;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A server that expects tokens, with these further flags.
fn guarded(flags: &str) -> Running {
    Running::with(&format!("--auth-secret {SECRET} {flags}"))
}

fn signed(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// A token that grants this.
fn granting(subscribe: &[&str], publish: &[&str]) -> String {
    signed(&json!({"sub": "ada", "slackwater": {"subscribe": subscribe, "publish": publish}}))
}

/// The answer to a request for a WebSocket with these further fields.
fn ask(server: &Running, target: &str, fields: &str) -> Response {
    let mut peer = Peer::connect(server.address);
    peer.send(handshake(target).replacen("\r\n\r\n", &format!("\r\n{fields}\r\n"), 1));
    let head = peer.head();
    if head.status == 101 { head } else { with_body(&mut peer, head) }
}

fn with_body(peer: &mut Peer, mut response: Response) -> Response {
    peer.finish();
    response.body = peer.rest();
    response
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn error(response: &Response) -> String {
    response.json()["error"].as_str().unwrap().to_owned()
}
