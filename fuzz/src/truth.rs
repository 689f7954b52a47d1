//! What was published, as far as anybody has heard it: whoever hears it, hears the same, once and in the same order.

use std::collections::BTreeMap;

use serde_json::Value;
use slackwater::policy::sequencer::{Position, PublicationId};

use crate::process::EPOCH;

/// All publications by their positions.
#[derive(Default)]
pub struct Truth {
    publications: BTreeMap<Position, Value>,
}

impl Truth {
    /// Compares what one client has heard.
    pub fn compare(&mut self, messages: &[Value]) {
        let mut newest = 0;
        for (position, publication) in publications(messages) {
            assert!(position > newest, "{position} comes behind {newest}");
            newest = position;
            let known = self.publications.entry(position).or_insert_with(|| publication.clone());
            assert_eq!(known, publication, "it is another for somebody else");
        }
    }
}

/// The publications among some messages.
pub fn publications(messages: &[Value]) -> impl Iterator<Item = (Position, &Value)> {
    let all = messages.iter().filter(|message| message["type"] == "notification");
    all.map(|message| (position(&message["id"]), message))
}

/// What an id says.
pub fn position(id: &Value) -> Position {
    let id: PublicationId = id.as_str().and_then(|id| id.parse().ok()).expect("it is an id");
    assert_eq!(id.epoch(), EPOCH, "there is one epoch");
    id.position()
}
