//! What is to be done about the workers, and the line for the log that says so.

use std::fmt;
use std::time::Duration;

use super::{SlotId, WorkerId};
use crate::policy::drain::Outcome;

/// How a worker process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// There was none: it could not be started.
    NotStarted,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Signal(number) => write!(f, "was killed by signal {number}"),
            Self::NotStarted => write!(f, "could not be started"),
        }
    }
}

/// What the caller does next, and then asks again. `Display` is the line for the log, empty where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Start a process for this slot, or report `Exit::NotStarted`.
    Start {
        /// The new worker.
        worker: WorkerId,
        /// Whose listener it takes.
        slot: SlotId,
    },
    /// Ask every worker for a sign of life.
    Beat,
    /// Tell it to leave alone. When it `is_last`, the slot's listener is to be closed first.
    StepDown {
        /// The worker.
        worker: WorkerId,
        /// Its slot.
        slot: SlotId,
        /// Whether the slot goes with it.
        is_last: bool,
    },
    /// Close all listeners, and tell every worker to leave.
    LeaveAll,
    /// Tell every worker to leave at once.
    InsistAll,
    /// Kill it: it has shown no sign of life.
    Kill {
        /// The worker.
        worker: WorkerId,
        /// Its slot.
        slot: SlotId,
        /// What it has failed to do.
        why: Failing,
    },
    /// Only say so.
    Ended {
        /// Where it served.
        slot: SlotId,
        /// How.
        exit: Exit,
        /// Until another one is started there.
        back_off: Duration,
    },
    /// Only say so: everything stays as it was.
    ReloadFailed {
        /// Where a new worker was tried.
        slot: SlotId,
        /// How it ended.
        exit: Exit,
    },
    /// Only say so.
    Reloaded,
    /// Kill whoever is left, and end: workers do not start.
    GiveUp {
        /// Where one was tried last.
        slot: SlotId,
        /// How it ended.
        exit: Exit,
    },
    /// End.
    Complete(Outcome),
}

/// What a worker has failed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// To serve soon after its start.
    ToStart,
    /// To answer.
    ToAnswer,
    /// To take, or to say, what is understood.
    ToKeepUp,
}

impl Step {
    /// Whether the line is a warning; otherwise it informs.
    pub fn is_warning(&self) -> bool {
        matches!(
            self,
            Self::Kill { .. } | Self::Ended { .. } | Self::ReloadFailed { .. } | Self::GiveUp { .. }
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { slot, why, .. } => {
                let what = match why {
                    Failing::ToStart => "did not start in time",
                    Failing::ToAnswer => "does not answer",
                    Failing::ToKeepUp => "does not take what it is sent",
                };
                write!(f, "Worker {} {what}: killing it", slot + 1)
            }
            Self::Ended { slot, exit, back_off } => {
                write!(f, "Worker {} {exit}: starting another ", slot + 1)?;
                match back_off.as_secs_f64() {
                    0.0 => write!(f, "now"),
                    seconds => write!(f, "in {seconds} s"),
                }
            }
            Self::ReloadFailed { slot, exit } => {
                let number = slot + 1;
                write!(
                    f,
                    "Reload stopped, the old workers stay: a new worker {number} {exit} before it served"
                )
            }
            Self::Reloaded => write!(f, "Reload complete"),
            Self::GiveUp { slot, exit } => {
                write!(f, "cannot start workers: worker {} {exit} before it served", slot + 1)
            }
            Self::LeaveAll => write!(f, "Graceful shutdown initiated"),
            Self::InsistAll => write!(f, "Second shutdown signal received. Forcing shutdown."),
            Self::Complete(_) => write!(f, "Server shutdown complete"),
            Self::Start { .. } | Self::Beat | Self::StepDown { .. } => Ok(()),
        }
    }
}
