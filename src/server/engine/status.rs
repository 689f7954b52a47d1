//! How the way to the engine stands, as operators are told it.

use std::time::Instant;

use super::Engine;
use crate::server::socket::Socket;
use crate::wire::overview::{EngineState, EngineStatus};

impl<S: Socket, K> Engine<S, K> {
    /// How it stands.
    pub fn status(&self, now: Instant) -> EngineStatus {
        let state = match self.course.epoch() {
            Some(epoch) => EngineState::Up { epoch },
            None => EngineState::Down { why: self.why_down.clone() },
        };
        let greeting = self.greeting.as_ref();
        EngineStatus {
            address: self.terms.name.clone(),
            software: greeting.map(|greeting| (greeting.product.clone(), greeting.version.clone())),
            state,
            has_been_read: self.course.has_read_all(),
            lag_seconds: self.course.lag(now).as_secs_f64(),
        }
    }
}
