//! What peers ask of whoever keeps the order of the publications, and what is answered. Neither knows the other.

use crate::wire::metrics::Metrics;
use crate::wire::overview::{Details, Draining, Overview, Wish};
use crate::wire::publish::Submission;
use crate::wire::published::{Published, Unpublished};

/// Tells an answer's question from others that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(pub usize);

/// What is asked.
#[derive(Debug)]
pub enum Question {
    /// To publish this, all of it or nothing.
    Publish(Submission),
    /// To say so once all is answered that was to be published before.
    Pass,
    /// To say so once all has been said that was published before, or that takes too long.
    Sync,
    /// What there is to say about the whole server, with what is wished for of each of its processes. What is known here goes with
    /// it.
    Overview(Wish, Box<Known>),
}

/// What a process knows of itself.
#[derive(Debug, Default)]
pub struct Known {
    /// What it has counted.
    pub metrics: Metrics,
    /// What else was wished for.
    pub details: Option<Details>,
    /// While it leaves.
    pub drain: Option<Draining>,
    /// When it began to serve, in milliseconds since 1970.
    pub since_unix_ms: i64,
}

/// What is answered.
#[derive(Debug)]
pub enum Answer {
    /// To `Publish`.
    Published(Result<Published, Unpublished>),
    /// To `Pass`.
    Passed,
    /// To `Sync`.
    Synced,
    /// To `Overview`.
    Overview(Box<Overview>),
    /// Nobody is left who could answer: the server is leaving.
    Refused,
}
