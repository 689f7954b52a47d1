//! One who publishes over a kept connection.

use std::io;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::peer::{Peer, Response};

/// A connection for publications.
pub struct Publisher(pub Peer);

impl Publisher {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        Self(Peer::connect(address))
    }

    /// The answer to a request with these further fields, each with its CRLF.
    pub fn post(&mut self, target: &str, fields: &str, body: &str) -> Response {
        self.try_post(target, fields, body).unwrap_or_else(|why| panic!("no answer, but {why}"))
    }

    /// The same, or how the connection has ended without an answer.
    pub fn try_post(&mut self, target: &str, fields: &str, body: &str) -> io::Result<Response> {
        let length = body.len();
        self.0.try_send(format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        ))?;
        self.0.try_response()
    }

    /// Publishes a text to the default topic: its id.
    pub fn publish(&mut self, text: &str) -> String {
        id_of(&taken(&self.post("/publish", "", text)))
    }

    /// Publishes to a topic: its id.
    pub fn publish_to(&mut self, topic: &str, data: impl Into<Value>) -> String {
        id_of(&self.publish_json(&json!({ "topic": topic, "data": data.into() })))
    }

    /// Publishes an object or an array of them: what is answered.
    pub fn publish_json(&mut self, body: &Value) -> Value {
        taken(&self.post("/publish", "Content-Type: application/json\r\n", &body.to_string()))
    }
}

fn taken(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

fn id_of(answer: &Value) -> String {
    answer["id"].as_str().expect("the answer has an id").to_owned()
}
