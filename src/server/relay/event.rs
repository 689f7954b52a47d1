//! What the supervisor hears of its workers.

use crate::policy::handover::crew::Said;

/// What a worker has said, or what has become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerEvent {
    /// It serves, as it has just been told to.
    Ready,
    /// It was sent a signal to leave.
    Signalled,
    /// It no longer listens.
    Closed,
    /// An operator has told it that the whole server is to leave, who is this one.
    AskedToLeave(String),
    /// Its loop turns: it says something, or takes something.
    Alive,
    /// It takes nothing.
    Stuck,
    /// Its link is broken: its end is closed, or what it says cannot be understood.
    Lost,
    /// How far it is in handing over.
    Said(Said),
}
