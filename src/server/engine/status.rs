//! How the way to the engine stands, as operators are told it.

use std::time::{Duration, Instant};

use super::Engine;
use crate::server::engine::conversation::Conversation;
use crate::server::socket::Socket;
use crate::wire::overview::{EngineState, EngineStatus};

/// An engine that is well answers as soon, or nearly.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

impl<S: Socket, K> Engine<S, K> {
    /// How it stands.
    pub fn status(&self, now: Instant) -> EngineStatus {
        let state = match (self.course.epoch(), self.refusals.why()) {
            (Some(epoch), None) => EngineState::Up { epoch },
            (Some(epoch), Some(why)) => EngineState::Refuses { epoch, why: why.to_owned() },
            (None, _) => EngineState::Down { why: self.why_down.clone() },
        };
        let greeting = self.greeting.as_ref();
        EngineStatus {
            address: self.terms.name.clone(),
            software: greeting.map(|greeting| (greeting.product.clone(), greeting.version.clone())),
            state,
            has_been_read: self.course.has_read_all(),
            lag_seconds: self.lag(now).as_secs_f64(),
        }
    }

    /// How long it has been since everything was heard that may be published: an engine that owes an answer may have stopped.
    fn lag(&self, now: Instant) -> Duration {
        let patience = ANSWERS_WITHIN + Duration::from_millis(self.terms.wait_ms.unwrap_or(0).into());
        let asked =
            self.writer.as_ref().filter(|_| self.course.epoch().is_some()).and_then(Conversation::asked);
        let owed = asked.map(|asked| now.saturating_duration_since(asked)).filter(|owed| *owed > patience);
        self.course.lag(now).max(owed.unwrap_or_default())
    }
}
