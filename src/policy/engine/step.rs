//! What is to be done for the company that a machine keeps with its engine: where to connect, what to ask, what is to be known.

use crate::policy::engine::fault::Fault;
use crate::policy::line::Continuation;
use crate::policy::sequencer::PublicationId;

/// A connection to the engine, or to who knows where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Line {
    /// To a sentinel.
    Locator,
    /// To publish.
    Writer,
    /// To hear.
    Reader,
}

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To what the configuration names.
    Configured,
    /// To the sentinel of this number, of those that it names.
    Sentinel(usize),
    /// To what a sentinel or another node of a cluster has named.
    Named(String, u16),
}

/// A question to the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Where the master is.
    Master,
    /// Who it is.
    Greet,
    /// To begin an epoch, unless the newest one is of the replication line that it is in now: whatever was lost, was lost by a
    /// restart or a change of the master, and each of these is another line. Also where what is known here has been lost, and no
    /// epoch has said so yet.
    Begin {
        /// The newest id that was heard here or is known to be positioned; of epoch 0 if none is.
        known: PublicationId,
        /// By how much the number of a new one is to be beyond the seconds since 1970: two engines that begin in the same second, or
        /// behind the same epoch, are to differ.
        salt: u16,
        /// The stream was put back in an earlier state: of what it holds, nobody knows what was heard by others.
        is_set_back: bool,
    },
    /// What is in the stream, from this id on; from the beginning without one.
    Page {
        /// That included.
        from: Option<PublicationId>,
        /// So many entries at most.
        most: usize,
    },
    /// What is in the stream behind this id, as soon as there is anything.
    Follow {
        /// That excluded.
        after: PublicationId,
        /// So many entries at most.
        most: usize,
    },
    /// The newest id of the stream.
    Tail,
    /// To note that this machine is there, and how far the stream is.
    Beat {
        /// The newest id that was heard here or is known to be positioned.
        known: PublicationId,
    },
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// As it calls itself.
    pub product: String,
    /// As it says.
    pub version: String,
    /// Others follow it.
    pub is_master: bool,
}

/// The epoch in which is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// Its number.
    pub epoch: u32,
    /// The newest id in the stream.
    pub newest: PublicationId,
}

/// How far the stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beaten {
    /// The newest epoch; 0 if that is not of the replication line that the engine is in now.
    pub epoch: u32,
    /// The newest id in the stream; `None` if it holds none.
    pub newest: Option<PublicationId>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To connect.
    Connect(Line, Target),
    /// To ask.
    Ask(Line, Ask),
    /// To part with this connection: it has done its service.
    Part(Line),
    /// To give up all connections; whoever waits for an answer gets none.
    HangUp,
    /// The line goes on in another way.
    Line(Continuation),
    /// These need not wait any longer: everything has been heard, or that took too long.
    Synced(Vec<u64>),
    /// It can be published and heard from here on.
    Up,
    /// Neither can be any longer, or could be until now.
    Down {
        /// Why.
        fault: Fault,
        /// It was so before: this is another attempt that came to nothing.
        is_again: bool,
    },
}
