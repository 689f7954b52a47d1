//! What is answered to whoever published: the ids, or why there are none.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::policy::idempotency::Answer;
use crate::policy::sequencer::{MAX_POSITION, Position, PublicationId};
use crate::policy::topic::TopicName;
use crate::wire::publish::MAX_PUBLICATIONS;
use crate::wire::response::Response;

/// The ids that a submission got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// One id for each topic of each draft, in their order.
    #[serde(deserialize_with = "read")]
    runs: Vec<IdRun>,
    /// Whether a list is answered, however many ids there are.
    is_batch: bool,
}

/// Ids that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRun {
    /// Of all of them.
    pub epoch: u32,
    /// The position of the first.
    pub first: Position,
    /// How many there are.
    pub count: u32,
}

impl Published {
    /// The positions of an answer, in this epoch.
    pub fn of(epoch: u32, answer: &Answer) -> Self {
        let runs = answer.positions.runs().iter();
        let runs = runs.map(|run| IdRun { epoch, first: run.first, count: run.count });
        Self { runs: runs.collect(), is_batch: answer.is_batch }
    }

    /// These ids; `None` if no request makes them.
    pub fn from_runs(runs: Vec<IdRun>, is_batch: bool) -> Option<Self> {
        let count: u64 = runs.iter().map(|run| u64::from(run.count)).sum();
        let is_sound = count <= MAX_PUBLICATIONS as u64 && runs.iter().all(|run| run.first <= MAX_POSITION);
        is_sound.then_some(Self { runs, is_batch })
    }

    /// One by one.
    pub fn ids(&self) -> impl Iterator<Item = PublicationId> + '_ {
        self.runs.iter().flat_map(|run| {
            (run.first..run.first + Position::from(run.count))
                .map(|position| PublicationId::new(run.epoch, position))
        })
    }
}

/// Why a submission has no ids.
#[derive(Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Unpublished {
    /// Nothing is published: the key of the request was used for something else.
    #[error("this Idempotency-Key was used with another request")]
    OtherRequest,
    /// Nothing is published: the key of an object was, on one of its topics.
    #[error("the id {id:?} was used with other data on topic {topic}")]
    OtherData {
        /// As given.
        id: String,
        /// Where it was used.
        topic: TopicName,
    },
    /// Nothing is published: the engine that all machines share is not there, or of no use.
    #[error("nothing was published: the engine that orders publications cannot be used now")]
    EngineDown,
    /// The engine has refused it, for this reason.
    #[error("nothing was published: the engine that orders publications answers {0:?}")]
    EngineRefused(String),
    /// It was sent to the engine, which has not answered.
    #[error(
        "it is not known whether this was published: the engine that orders publications has not answered; a retry with the same \
         Idempotency-Key is harmless"
    )]
    Unknown,
    /// It was given to the process that orders publications, which has ended.
    #[error("it is not known whether this was published: the process that orders publications has ended")]
    Orphaned,
    /// It is published, but only its master knows so far.
    #[error(
        "this was published, but no replica of the engine has confirmed it in time: it may be lost with the master"
    )]
    Unconfirmed,
}

impl Unpublished {
    /// Whether it is the publisher that has to change something. Otherwise it may be tried again.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::OtherRequest | Self::OtherData { .. })
    }

    /// What programs are told on a connection.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OtherRequest | Self::OtherData { .. } => "id_conflict",
            Self::Orphaned => "restarting",
            Self::EngineDown | Self::EngineRefused(_) | Self::Unknown | Self::Unconfirmed => {
                "engine_unavailable"
            }
        }
    }
}

/// The answer to whoever published.
pub fn response(outcome: &Result<Published, Unpublished>) -> Response {
    let published = match outcome {
        Ok(published) => published,
        Err(why) if why.is_conflict() => return Response::error(422, &why.to_string()),
        Err(why) => return Response::error(503, &why.to_string()).with("Retry-After", "1"),
    };
    let ids: Vec<String> = published.ids().map(|id| id.to_string()).collect();
    let body = match ids.as_slice() {
        [id] if !published.is_batch => serde_json::json!({ "id": id }),
        _ => serde_json::json!({ "ids": ids }),
    };
    Response::new(200, "application/json", body.to_string())
}

/// Reads the ids, as many as one request makes: each becomes text in memory.
fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IdRun>, D::Error> {
    let published = Published::from_runs(Vec::deserialize(deserializer)?, true);
    Ok(published.ok_or_else(|| D::Error::custom("no request makes these"))?.runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_that_one_request_can_get_are_read() {
        let is_read = |first, count| {
            let published = Published { runs: vec![IdRun { epoch: 1, first, count }], is_batch: true };
            let octets = postcard::to_allocvec(&published).unwrap();
            postcard::from_bytes::<Published>(&octets).is_ok_and(|read| read == published)
        };
        assert!(is_read(1, 10_000) && is_read(MAX_POSITION, 1));
        assert!(!is_read(1, 10_001) && !is_read(u64::MAX, 2) && !is_read(1, u32::MAX));
    }

    #[test]
    fn whoever_may_try_again_is_told_when() {
        let told = |why| format!("{:?}", response(&Err(why)));
        let conflict = told(Unpublished::OtherRequest);
        assert!(conflict.contains("422") && !conflict.contains("Retry-After"), "{conflict}");
        for why in [Unpublished::EngineDown, Unpublished::Unknown, Unpublished::Unconfirmed] {
            let told = told(why);
            assert!(told.contains("503") && told.contains("Retry-After"), "{told}");
        }
    }
}
