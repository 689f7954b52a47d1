//! What is answered to whoever published: the ids, or that a key was used for something else.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::policy::idempotency::Answer;
use crate::policy::sequencer::{MAX_POSITION, PublicationId};
use crate::policy::topic::TopicName;
use crate::wire::publish::MAX_PUBLICATIONS;
use crate::wire::response::Response;

/// The ids that a submission got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The epoch of all the ids.
    pub epoch: u32,
    /// Their positions.
    #[serde(deserialize_with = "read")]
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

/// Reads the positions, as many as one request makes: each becomes an id in memory.
fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Answer, D::Error> {
    let answer = Answer::deserialize(deserializer)?;
    let runs = answer.positions.runs();
    let count: u64 = runs.iter().map(|run| u64::from(run.count)).sum();
    if count > MAX_PUBLICATIONS as u64 || runs.iter().any(|run| run.first > MAX_POSITION) {
        return Err(D::Error::custom("no request makes these"));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::positions::{Positions, Run};

    #[test]
    fn only_positions_that_one_request_can_get_are_read() {
        let is_read = |first, count| {
            let positions = Positions::from_runs(vec![Run { first, count }]);
            let published = Published { epoch: 1, answer: Answer { positions, is_batch: true } };
            let octets = postcard::to_allocvec(&published).unwrap();
            postcard::from_bytes::<Published>(&octets).is_ok_and(|read| read == published)
        };
        assert!(is_read(1, 10_000) && is_read(MAX_POSITION, 1));
        assert!(!is_read(1, 10_001) && !is_read(u64::MAX, 2) && !is_read(1, u32::MAX));
    }
}
