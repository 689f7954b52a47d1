//! What there is to say about the whole server: its processes with their numbers, and how far it has left.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::wire::metrics::{Handover, Metrics};

/// The whole server, with the numbers of all its processes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// Set while it leaves.
    pub drain: Option<Draining>,
    /// Publications so far.
    pub publications: u64,
    /// The processes that serve or still have clients.
    pub workers: Vec<WorkerStatus>,
    /// What ended processes have counted.
    pub past: Metrics,
}

/// How far a server has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// When it began, in milliseconds since 1970.
    pub since_unix_ms: i64,
    /// When the last client will have been closed, in milliseconds since 1970.
    pub deadline_unix_ms: i64,
    /// How many clients there were then.
    pub clients_then: u64,
}

/// One process that serves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its number, from 1; `None` when it is the only one.
    pub number: Option<u32>,
    /// Its process id.
    pub pid: u32,
    /// What it has counted.
    pub metrics: Metrics,
}

impl Overview {
    /// Clients of all processes.
    pub fn connections(&self) -> u64 {
        self.workers.iter().map(|worker| worker.metrics.connections).fold(0, u64::saturating_add)
    }

    /// Those of them that hear an event stream.
    pub fn event_streams(&self) -> u64 {
        self.workers.iter().map(|worker| worker.metrics.event_streams).fold(0, u64::saturating_add)
    }

    /// The last hand-over, if there was one.
    pub fn last_handover(&self) -> Option<&Handover> {
        let counted = self.workers.iter().map(|worker| &worker.metrics).chain([&self.past]);
        counted.filter_map(|metrics| metrics.handovers.last.as_ref()).max_by_key(|last| last.ended_unix_ms)
    }

    /// Clients that depart each second, since the drain began.
    pub fn departures_per_second(&self, now: Timestamp) -> f64 {
        let Some(drain) = &self.drain else { return 0.0 };
        let departed = drain.clients_then.saturating_sub(self.connections());
        let elapsed = now.as_millisecond().saturating_sub(drain.since_unix_ms) as f64 / 1000.0;
        if elapsed > 0.0 { departed as f64 / elapsed } else { 0.0 }
    }
}
