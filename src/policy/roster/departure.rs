//! The leaving of the whole server: asked for by an operator, or by signals, of which only a second one insists.

use std::time::{Duration, Instant};

/// How long whatever takes, in the life of workers.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// For a worker to answer.
    pub healthcheck: Duration,
    /// Between the order to leave and the beginning.
    pub drain_delay: Duration,
    /// For a leaving worker's clients to go.
    pub patience: Duration,
}

/// From the order to leave on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Departure {
    pub stage: Stage,
    pub urgency: Urgency,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// All goes on until then.
    Delayed { begins: Instant },
    /// All listeners are being closed; whoever has not done so by then is not waited for.
    Closing { until: Instant },
    /// Every worker leaves.
    Begun,
}

/// What the next signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// An operator has asked: a signal is the first one.
    Asked,
    /// A signal has come: another is the second.
    Signalled,
    /// The patience is over.
    Insisted,
}
