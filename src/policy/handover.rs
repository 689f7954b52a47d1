//! How one process hands over to the next, seen from both sides: two live processes and one moment of commitment, up to which
//! either may fail and the first goes on. What they say to each other and what travels with it, is not known here.
//!
//! ```text
//! successor                          predecessor
//! Hello          →                                  serves as ever
//!                ←   sockets
//! Ready          →                                  until nobody is in the midst of a request, or for a second
//!                ←   image                          CUT: nothing is heard or said any more
//!                ←   batch       }  for all
//! Taken          →               }  connections
//! Prepared       →
//!                ←   Commit                         has nothing any more
//! ```

use std::time::{Duration, Instant};

use thiserror::Error;

pub mod crew;
pub mod successor;

/// How long it is waited for a moment in which nobody is in the midst of a request.
pub const WINDING_UP: Duration = Duration::from_secs(1);

/// How much one process hands over at most of what its connections are in the midst of: halves of messages, and what they have not
/// taken. It is copied while nobody is heard, and is in memory three times for a moment. Whoever has more than there is room for
/// stays, and leaves as in a drain. (Measured: 0.6 s, on a machine that had nothing else to do.)
pub const MOST_BYTES: usize = 256 * 1024 * 1024;

/// Whoever is in the midst of no more than this always moves.
pub const FEW_BYTES: usize = 4096;

/// Whoever leaves has nothing to hand over.
pub const LEAVING: &str = "it has been told to leave";

/// Why nobody may take over now, if that is so: the server leaves, or somebody is about to take over already.
pub fn refusal(is_leaving: bool, is_under_way: bool) -> Option<&'static str> {
    match () {
        () if is_leaving => Some("the server leaves already"),
        () if is_under_way => Some("another process is about to take over"),
        () => None,
    }
}

/// Why a predecessor goes on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs)] // Each says what it is.
pub enum Why {
    #[error("the successor has ended before it had {}", .0.missing())]
    Ended(Stage),
    #[error("the successor has not {} in time (--handover-timeout)", .0.missing())]
    Silent(Stage),
    #[error("the successor says: {0}")]
    Failed(String),
    #[error("what the successor says is not understood")]
    Garbled,
    #[error("the successor speaks another format: {oldest} to {newest}")]
    Format { oldest: u32, newest: u32 },
    #[error(
        "the successor may open {most} files, and {needed} are needed: raise its limit (ulimit -n, LimitNOFILE=)"
    )]
    Descriptors { most: u64, needed: u64 },
    #[error("{0}")]
    Own(String),
}

/// How far a hand-over has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The successor has not said who it is.
    Begun,
    /// It is about to be told what is listened on.
    Greeted,
    /// It makes itself ready.
    Preparing,
    /// It could serve, since this time.
    Ready(Instant),
    /// Nothing is heard or said any more; how everything stands is being written.
    Cut,
    /// So many connections of all are sent, and so many have arrived.
    Moving {
        /// Of all.
        sent: usize,
        /// Of those.
        taken: usize,
        /// All.
        all: usize,
    },
    /// It has everything.
    Prepared,
    /// All is its own.
    Committed,
    /// The predecessor goes on.
    GivenUp,
}

impl Stage {
    /// What the successor should have done next.
    fn missing(self) -> &'static str {
        match self {
            Self::Begun => "said what it is",
            Self::Greeted | Self::Preparing => "made itself ready",
            _ => "taken everything",
        }
    }
}

/// What a successor has said, or what has become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It wants to take over.
    Hello {
        /// The oldest format that it understands,
        oldest: u32,
        /// and the newest.
        newest: u32,
        /// Descriptors that it may have.
        most_descriptors: u64,
    },
    /// It could serve.
    Ready,
    /// So many connections have arrived, with those before.
    Taken(u64),
    /// It has everything.
    Prepared,
    /// It does not take over.
    Failed(String),
    /// Its end of the channel is closed.
    Ended,
    /// It has said what is no message.
    Garbled,
    /// What it says cannot be received, for this reason.
    Unreceived(String),
}

/// What a predecessor does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send what is listened on.
    Offer {
        /// The format of what follows.
        format: u32,
    },
    /// Hear and say nothing more, and send how everything stands; then say `moving`.
    Cut,
    /// Send so many more connections.
    Batch(usize),
    /// Say that all is the successor's; then it is, unless that fails.
    Commit,
    /// Tell the successor, if it is there, and go on.
    GiveUp(Why),
}

/// The process that hands over.
#[derive(Debug, Clone)]
pub struct Predecessor {
    stage: Stage,
    /// When it goes on, whatever is missing.
    deadline: Instant,
    /// Formats that are written here.
    formats: [u32; 2],
    /// Descriptors that a successor needs.
    needed_descriptors: u64,
    format: u32,
    failed: Option<Why>,
}

impl Predecessor {
    /// A hand-over begins, and is over by the deadline. The formats are the oldest and the newest that can be written.
    pub fn new(formats: [u32; 2], needed_descriptors: u64, deadline: Instant) -> Self {
        Self { stage: Stage::Begun, deadline, formats, needed_descriptors, format: formats[1], failed: None }
    }

    /// One worker's share of a hand-over: it begins where connections are moved, and what would be its commitment is for
    /// its supervisor to make.
    pub fn part(deadline: Instant) -> Self {
        Self { stage: Stage::Cut, ..Self::new([0, 0], 0, deadline) }
    }

    /// How far it has come.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether nothing else is done meanwhile.
    pub fn is_cut(&self) -> bool {
        matches!(self.stage, Stage::Cut | Stage::Moving { .. } | Stage::Prepared)
    }

    /// When there is something to do though nothing is heard.
    pub fn next_deadline(&self) -> Instant {
        match self.stage {
            Stage::Ready(since) => self.deadline.min(since + WINDING_UP),
            _ => self.deadline,
        }
    }

    /// The successor has said something.
    pub fn on_heard(&mut self, heard: Heard, now: Instant) {
        let failed = match (heard, &mut self.stage) {
            (_, Stage::Committed | Stage::GivenUp) => return,
            (Heard::Failed(why), _) => Why::Failed(why),
            (Heard::Unreceived(why), _) => Why::Own(format!("cannot hand over: {why}")),
            (Heard::Ended, stage) => Why::Ended(*stage),
            (Heard::Hello { oldest, newest, most_descriptors }, stage @ Stage::Begun) => {
                let common = newest.min(self.formats[1]);
                match () {
                    () if common < oldest || common < self.formats[0] => Why::Format { oldest, newest },
                    () if most_descriptors < self.needed_descriptors => {
                        Why::Descriptors { most: most_descriptors, needed: self.needed_descriptors }
                    }
                    () => {
                        (self.format, *stage) = (common, Stage::Greeted);
                        return;
                    }
                }
            }
            (Heard::Ready, stage @ Stage::Preparing) => {
                *stage = Stage::Ready(now);
                return;
            }
            (Heard::Taken(count), Stage::Moving { sent, taken, .. })
                if usize::try_from(count) == Ok(*sent) && *taken < *sent =>
            {
                *taken = *sent;
                return;
            }
            (Heard::Prepared, stage @ Stage::Moving { .. }) if stage.is_all_taken() => {
                *stage = Stage::Prepared;
                return;
            }
            _ => Why::Garbled,
        };
        self.failed.get_or_insert(failed);
    }

    /// One that leaves everything for a later start, which is not there to be asked.
    #[must_use]
    pub fn for_a_later_start(now: Instant, deadline: Instant) -> Self {
        Self { stage: Stage::Ready(now), ..Self::new([0, 0], 0, deadline) }
    }

    /// What could not be done here.
    pub fn on_failed(&mut self, why: String) {
        self.failed.get_or_insert(Why::Own(why));
    }

    /// What has gone wrong here, from which follows whatever else has failed.
    pub fn on_cause(&mut self, why: String) {
        self.failed = Some(Why::Own(why));
    }

    /// So many connections are to be moved.
    pub fn moving(&mut self, all: usize) {
        debug_assert_eq!(self.stage, Stage::Cut, "nothing else is said before");
        self.stage = Stage::Moving { sent: 0, taken: 0, all };
    }

    /// When it is over, whatever is missing.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether it has failed: then that is to be done next.
    fn poll_failed(&mut self, now: Instant) -> Option<Step> {
        if matches!(self.stage, Stage::Committed | Stage::GivenUp) {
            return None;
        }
        let is_late = now >= self.deadline;
        let why = self.failed.take().or(is_late.then_some(Why::Silent(self.stage)))?;
        self.stage = Stage::GivenUp;
        Some(Step::GiveUp(why))
    }

    /// What to do next; `None` until something is heard or due. `is_asked`: whether somebody is in the midst of a request.
    pub fn poll(&mut self, now: Instant, is_asked: impl FnOnce() -> bool) -> Option<Step> {
        if let Some(failed) = self.poll_failed(now) {
            return Some(failed);
        }
        match &mut self.stage {
            stage @ Stage::Greeted => {
                *stage = Stage::Preparing;
                Some(Step::Offer { format: self.format })
            }
            stage @ Stage::Ready(_) => {
                let Stage::Ready(since) = *stage else { return None };
                let is_time = now >= since + WINDING_UP || !is_asked();
                is_time.then(|| {
                    *stage = Stage::Cut;
                    Step::Cut
                })
            }
            Stage::Moving { sent, taken, all } if sent == taken && *sent < *all => {
                let count = (*all - *sent).min(BATCH);
                *sent += count;
                Some(Step::Batch(count))
            }
            stage @ Stage::Prepared => {
                *stage = Stage::Committed;
                Some(Step::Commit)
            }
            _ => None,
        }
    }
}

/// Connections that travel together: more would have too many descriptors in flight (unix(7), ETOOMANYREFS).
pub const BATCH: usize = 200;

impl Stage {
    fn is_all_taken(self) -> bool {
        matches!(self, Self::Moving { taken, all, .. } if taken == all)
    }
}

#[cfg(test)]
#[path = "handover_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "handover_model_tests.rs"]
mod model;
