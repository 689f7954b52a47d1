//! What is answered to whoever published: the ids, or that a key was used for something else.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::policy::idempotency::Answer;
use crate::policy::sequencer::PublicationId;
use crate::policy::topic::TopicName;
use crate::wire::response::Response;

/// The ids that a submission got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The epoch of all the ids.
    pub epoch: u32,
    /// Their positions.
    pub answer: Answer,
}

/// Why nothing of a submission is published: its key was used for something else.
#[derive(Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Conflict {
    /// The key of the request.
    #[error("this Idempotency-Key was used with another request")]
    Request,
    /// The key of an object, on one of its topics.
    #[error("the id {id:?} was used with other data on topic {topic}")]
    Object {
        /// As given.
        id: String,
        /// Where it was used.
        topic: TopicName,
    },
}

/// The answer to whoever published.
pub fn response(outcome: &Result<Published, Conflict>) -> Response {
    let Published { epoch, answer } = match outcome {
        Ok(published) => published,
        Err(conflict) => return Response::error(422, &conflict.to_string()),
    };
    let ids = answer.positions.iter().map(|position| PublicationId::new(*epoch, position).to_string());
    let ids: Vec<String> = ids.collect();
    let body = match ids.as_slice() {
        [id] if !answer.is_batch => serde_json::json!({ "id": id }),
        _ => serde_json::json!({ "ids": ids }),
    };
    Response::new(200, "application/json", body.to_string())
}
