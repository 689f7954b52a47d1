//! What comes of an engine to whoever has one: what is heard of it, and what is to be done for it.

use crate::policy::engine::step::{Line, Target};
use crate::policy::history::Publication;
use crate::policy::line::Continuation;
use crate::wire::published::{Published, Unpublished};

/// What there is to hear, and to do.
#[derive(Debug)]
pub enum News<K> {
    /// The next publication.
    Publication(Publication),
    /// The line of publications goes on so.
    Line(Continuation),
    /// What has become of what somebody has published.
    Published(K, Result<Published, Unpublished>),
    /// All has been heard that was published before somebody asked, or that took too long.
    Synced(K),
    /// All is answered that was to be published before somebody asked.
    Passed(K),
    /// A connection is wanted: to be given to `on_connected`.
    Connect(Wanted),
    /// The connections were lost, and are there again.
    Reconnected,
}

/// A connection that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which one.
    pub line: Line,
    /// To what.
    pub target: Target,
    /// Of which generation.
    pub generation: u64,
}
