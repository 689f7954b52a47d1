//! The process that takes over, as its predecessor's words take it from step to step.

use thiserror::Error;

/// What a predecessor has said, or what has become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It hands over nothing.
    Refused(String),
    /// What it listens on has come.
    Sockets,
    /// How everything stands has come, of so many connections.
    Image {
        /// All that are to follow.
        connections: u64,
    },
    /// So many connections have come.
    Batch(usize),
    /// All is this process's now.
    Commit,
    /// It goes on itself, for this reason if it has said so.
    Abort(Option<String>),
    /// Its end of the channel is closed.
    Ended,
    /// It has said what is no message.
    Garbled,
}

/// What a successor does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Make everything ready that can fail, and say so.
    Prepare,
    /// Read how everything stands.
    Read,
    /// Say that so many have arrived.
    Acknowledge(u64),
    /// Make the connections, and say that it has everything.
    TakeUp,
    /// Serve.
    Serve,
}

/// Why a successor does not take over.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs)] // Each says what it is.
pub enum NoSuccession {
    #[error("the other process says: {0}")]
    Refused(String),
    #[error("the other process goes on itself{}", .0.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    Aborted(Option<String>),
    #[error("the other process has ended")]
    Ended,
    #[error("what the other process says is not understood")]
    Garbled,
    #[error("the other process has said nothing in time (--handover-timeout)")]
    Silent,
}

/// The process that takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Successor {
    /// Has said that it is there.
    Greeting,
    /// Has said that it could serve.
    Ready,
    /// So many of all connections have come.
    Taking {
        /// Those that have come.
        taken: u64,
        /// All.
        all: u64,
    },
    /// Has said that it has everything.
    Prepared,
    /// Serves.
    Serving,
}

impl Successor {
    /// The predecessor has said something: what follows.
    ///
    /// # Errors
    /// When nothing comes of it.
    pub fn on_told(&mut self, told: Told) -> Result<Task, NoSuccession> {
        Ok(match (told, *self) {
            (Told::Refused(why), _) => return Err(NoSuccession::Refused(why)),
            (Told::Abort(why), _) => return Err(NoSuccession::Aborted(why)),
            (Told::Ended, _) => return Err(NoSuccession::Ended),
            (Told::Sockets, Self::Greeting) => {
                *self = Self::Ready;
                Task::Prepare
            }
            (Told::Image { connections }, Self::Ready) => {
                *self = Self::Taking { taken: 0, all: connections };
                Task::Read
            }
            (Told::Batch(count), Self::Taking { taken, all }) => {
                let taken = taken.saturating_add(count as u64);
                if taken > all || count == 0 {
                    return Err(NoSuccession::Garbled);
                }
                *self = Self::Taking { taken, all };
                Task::Acknowledge(taken)
            }
            (Told::Commit, Self::Prepared) => {
                *self = Self::Serving;
                Task::Serve
            }
            _ => return Err(NoSuccession::Garbled),
        })
    }

    /// What follows without anything being said: once all have come, they are taken up.
    pub fn poll(&mut self) -> Option<Task> {
        let is_all = matches!(*self, Self::Taking { taken, all } if taken == all);
        is_all.then(|| {
            *self = Self::Prepared;
            Task::TakeUp
        })
    }
}
