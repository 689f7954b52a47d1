//! What there is to say about the whole server: its processes with their numbers, and how far it has left.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::wire::connections::{Connections, Page};
use crate::wire::metrics::{Handover, Metrics};
use crate::wire::topics::Topics;

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
    /// The engine, if one gives the order of several machines.
    pub engine: Option<EngineStatus>,
    /// When the server began to serve, in milliseconds since 1970; `None` before.
    pub since_unix_ms: Option<i64>,
    /// What is kept for those who come back.
    pub history: HistoryStatus,
}

/// How full a history is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryStatus {
    /// Publications that are kept,
    pub publications: u64,
    /// and at most.
    pub publications_limit: u64,
    /// Bytes that they take,
    pub bytes: u64,
    /// and at most.
    pub bytes_limit: u64,
    /// When the oldest of them was published, in milliseconds since 1970.
    pub oldest_unix_ms: Option<i64>,
}

/// What is to be told of each process beside what it has counted: what takes it some time to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// Nothing.
    Counted,
    /// What is listened to there.
    Topics,
    /// Who is connected there.
    Connections(Page),
}

/// What a process has told beside what it has counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// What is listened to there.
    pub topics: Topics,
    /// Who is connected there.
    pub connections: Connections,
}

/// The engine, as this machine sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// Where it is, without its password.
    pub address: String,
    /// What it is and of which version, as it has said itself.
    pub software: Option<(String, String)>,
    /// Whether it can be published and heard.
    pub state: EngineState,
    /// Whether all that it held has been read once.
    pub has_been_read: bool,
    /// How long it has been since everything was heard that may have been published, in seconds.
    pub lag_seconds: f64,
}

/// Whether an engine can be published and heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineState {
    /// It can.
    Up {
        /// In this epoch.
        epoch: u32,
    },
    /// It cannot.
    Down {
        /// Since the last attempt has failed, and for this reason.
        why: Option<String>,
    },
    /// It can be heard, and has refused what was written last.
    Refuses {
        /// In this epoch.
        epoch: u32,
        /// In its own words.
        why: String,
    },
}

impl EngineState {
    /// As operators read it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Up { .. } => "up",
            Self::Down { .. } => "down",
            Self::Refuses { .. } => "refuses",
        }
    }
}

/// How far a server has left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// When it began, in milliseconds since 1970.
    pub since_unix_ms: i64,
    /// When the last client will have been closed, in milliseconds since 1970.
    pub deadline_unix_ms: i64,
    /// How many clients there were then.
    pub clients_then: u64,
    /// Who has asked for it, in words: a signal, or a request and where it came from.
    pub origin: Cow<'static, str>,
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
    /// What else was to be told of it, if it has said that in time.
    pub details: Option<Details>,
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

    /// What all processes have counted, and what is true of them now.
    pub fn sum(&self) -> Metrics {
        let mut sum = self.past.clone();
        self.workers.iter().for_each(|worker| sum.add(&worker.metrics));
        sum
    }

    /// Clients that depart each second, since the drain began.
    pub fn departures_per_second(&self, now: Timestamp) -> f64 {
        let Some(drain) = &self.drain else { return 0.0 };
        let departed = drain.clients_then.saturating_sub(self.connections());
        let elapsed = now.as_millisecond().saturating_sub(drain.since_unix_ms) as f64 / 1000.0;
        if elapsed > 0.0 { departed as f64 / elapsed } else { 0.0 }
    }
}
