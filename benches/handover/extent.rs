//! How much is measured: of which clients, with what going on, and how often.

use serde::{Deserialize, Serialize};

/// What the figures to reach are about.
pub const GOAL_CLIENTS: usize = 15_000;
pub const GOAL_CLIENTS_OF_WORKERS: usize = 60_000;

/// Workers of a server with several.
const WORKERS: usize = 4;

/// Clients of one process of the load at most: its limit on open files is that of everyone.
const CLIENTS_OF_A_LOAD: usize = 15_000;

/// What goes on while it is handed over.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Traffic {
    /// Publications, each to one of the topics.
    pub publications_per_second: u32,
    /// One goes to everyone besides, every so many seconds. Of several processes each has its turn.
    pub seconds_to_all: u32,
    /// Clients that hear a topic.
    pub listeners: usize,
    /// Of twenty clients so many have sent the first half of a message at any time.
    pub talkers_of_20: usize,
    /// Messages that are ended, by all of them; each begins the next one at once.
    pub messages_per_second: u32,
    /// Others that connect, are welcomed and leave.
    pub visits_per_second: u32,
}

/// What is published before it is measured what the server holds: before the traffic, and once more behind it. A few hear it, so
/// that a history of it takes the same both times: what was derived for one or the other is there again.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Past {
    pub publications: usize,
    /// Of the text of each; none if it is that of all other publications.
    pub bytes: Option<usize>,
    /// The first clients, of each kind some, and some of each worker's.
    pub listeners: usize,
}

/// One of each kind is among so many.
const KINDS: usize = 20;

impl Traffic {
    /// The part of one of so many processes that make it.
    fn part(self, of: usize) -> Self {
        let of = u32::try_from(of).expect("they are few");
        let part = |per_second: u32| (per_second / of).max(1);
        Self {
            publications_per_second: part(self.publications_per_second),
            messages_per_second: part(self.messages_per_second),
            seconds_to_all: of,
            ..self
        }
    }
}

/// What is measured in one go.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub name: &'static str,
    pub workers: usize,
    pub clients: usize,
    pub handovers: usize,
    pub traffic: Traffic,
    pub past: Past,
}

const USUAL: Traffic = Traffic {
    publications_per_second: 200,
    seconds_to_all: 1,
    listeners: 100,
    talkers_of_20: 2,
    messages_per_second: 50,
    visits_per_second: 20,
};

const ENDLESS: Traffic = Traffic {
    publications_per_second: 2_000,
    seconds_to_all: 1,
    listeners: 10,
    talkers_of_20: 10,
    messages_per_second: 500,
    visits_per_second: 500,
};

/// The whole of the default history (`--history-size`), of small publications.
const SMALL: Past = Past { publications: 10_000, bytes: None, listeners: KINDS };

/// The whole of it, of as many bytes as it may take (`--history-bytes`).
const LARGE: Past = Past { publications: 10_000, bytes: Some(6_144), listeners: KINDS };

impl Plan {
    pub fn usual() -> Vec<Self> {
        [1_000, 5_000, GOAL_CLIENTS].map(|clients| Self::of("usual load", clients, USUAL, SMALL)).into()
    }

    /// Load that does not wait for anything.
    pub fn endless() -> Vec<Self> {
        [1_000, 5_000, GOAL_CLIENTS]
            .map(|clients| Self::of("load that never ends", clients, ENDLESS, SMALL))
            .into()
    }

    /// Much that was published lately.
    pub fn history() -> Vec<Self> {
        [1_000, GOAL_CLIENTS].map(|clients| Self::of("history of 64 MB", clients, USUAL, LARGE)).into()
    }

    /// A server of several processes.
    pub fn workers() -> Vec<Self> {
        Self::with_workers("usual load, 4 workers", USUAL)
    }

    /// The same, under load that does not wait for anything.
    pub fn endless_workers() -> Vec<Self> {
        Self::with_workers("load that never ends, 4 workers", ENDLESS)
    }

    fn with_workers(name: &'static str, traffic: Traffic) -> Vec<Self> {
        [1_000, GOAL_CLIENTS, GOAL_CLIENTS_OF_WORKERS]
            .map(|clients| Self::of(name, clients, traffic, SMALL).by(WORKERS))
            .into()
    }

    /// A glance.
    pub fn quick() -> Vec<Self> {
        let plans = [
            Self::of("usual load", 500, USUAL, SMALL),
            Self::of("load that never ends", 500, ENDLESS, SMALL),
            Self::of("usual load, 2 workers", 500, USUAL, SMALL).by(2),
        ];
        plans.map(|plan| Self { handovers: 3, ..plan }).into()
    }

    fn of(name: &'static str, clients: usize, traffic: Traffic, past: Past) -> Self {
        Self { name, workers: 1, clients, handovers: 10, traffic, past }
    }

    /// Of a server with so many workers.
    fn by(self, workers: usize) -> Self {
        let past = Past { listeners: KINDS * workers, ..self.past };
        Self { workers, past, ..self }
    }

    /// How many processes make the load, and the traffic of each.
    pub fn loads(&self) -> (usize, Traffic) {
        let loads = self.clients.div_ceil(CLIENTS_OF_A_LOAD);
        (loads, self.traffic.part(loads))
    }
}
