//! How much is measured: of which clients, with what going on, and how often.

use serde::{Deserialize, Serialize};

/// Descriptors that a process needs beside those of its clients.
const SPARE_DESCRIPTORS: u64 = 600;

/// What the figures to reach are about.
pub const GOAL_CLIENTS: usize = 15_000;

/// What goes on while it is handed over.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Traffic {
    /// Publications, each to one of the topics; one a second goes to everyone besides.
    pub publications_per_second: u32,
    /// Clients that hear a topic.
    pub listeners: usize,
    /// Of twenty clients so many have sent the first half of a message at any time.
    pub talkers_of_20: usize,
    /// Messages that are ended, by all of them; each begins the next one at once.
    pub messages_per_second: u32,
    /// Others that connect, are welcomed and leave.
    pub visits_per_second: u32,
}

/// What was published before, to nobody.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Past {
    pub publications: usize,
    /// Of each, as JSON.
    pub bytes: usize,
}

/// What is measured in one go.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub name: &'static str,
    pub clients: usize,
    pub handovers: usize,
    pub traffic: Traffic,
    pub past: Past,
}

const USUAL: Traffic = Traffic {
    publications_per_second: 200,
    listeners: 100,
    talkers_of_20: 2,
    messages_per_second: 50,
    visits_per_second: 20,
};

const ENDLESS: Traffic = Traffic {
    publications_per_second: 2_000,
    listeners: 10,
    talkers_of_20: 10,
    messages_per_second: 500,
    visits_per_second: 500,
};

/// The whole of the default history (`--history-size`), of small publications.
const SMALL: Past = Past { publications: 10_000, bytes: 150 };

/// The whole of it, of as many bytes as it may take (`--history-bytes`).
const LARGE: Past = Past { publications: 10_000, bytes: 6_144 };

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

    /// A glance.
    pub fn quick() -> Vec<Self> {
        let plans = [
            Self::of("usual load", 500, USUAL, SMALL),
            Self::of("load that never ends", 500, ENDLESS, SMALL),
        ];
        plans.map(|plan| Self { handovers: 3, ..plan }).into()
    }

    fn of(name: &'static str, clients: usize, traffic: Traffic, past: Past) -> Self {
        Self { name, clients, handovers: 10, traffic, past }
    }

    /// Whether the limit on open files allows it; it is raised as far as it can be.
    pub fn is_possible(&self) -> bool {
        let needed = self.clients as u64 + SPARE_DESCRIPTORS;
        rlimit::increase_nofile_limit(needed).expect("the limit can be asked for") >= needed
    }
}
