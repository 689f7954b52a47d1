//! What subscribers make of publications.

use serde_json::Value;
use support::client::Client;

/// A publication as it was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub id: String,
    pub text: String,
}

impl From<&Value> for Heard {
    fn from(message: &Value) -> Self {
        assert_eq!(message["type"], "notification", "{message}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self { id: text(&message["id"]), text: text(&message["data"]) }
    }
}

/// The next message, which is a publication.
pub fn hear(client: &mut Client) -> Heard {
    Heard::from(&client.hear())
}
