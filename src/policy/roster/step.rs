//! What is to be done about the workers, and the line for the log that says so.

use std::fmt;
use std::time::Duration;

use super::silence::Symptom;
use super::{SlotId, WorkerId};
use crate::policy::drain;

/// How a worker process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// The supervisor has killed it.
    Killed(Failing),
    /// There was none: it could not be started.
    NotStarted,
    /// Not yet; but nothing can be said to it any more, and so it leaves.
    LinkLost,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Signal(number) => write!(f, "was killed by signal {number}"),
            Self::Killed(why) => {
                let why = match why {
                    Failing::ToStart(_) => "did not start in time",
                    Failing::ToAnswer(_) => "did not answer",
                    Failing::ToLeave(_) => "had not left in time",
                    Failing::ToKeepUp => "did not take what it was sent",
                };
                write!(f, "{why} and was killed")
            }
            Self::NotStarted => write!(f, "could not be started"),
            Self::LinkLost => write!(f, "has lost its link to the supervisor and leaves"),
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
    /// See what its process does, and report it: it has not answered.
    Look {
        /// The worker.
        worker: WorkerId,
    },
    /// Close the listener of this slot, which is no more.
    CloseSlot {
        /// The last one.
        slot: SlotId,
    },
    /// Tell it to leave alone.
    StepDown {
        /// The worker.
        worker: WorkerId,
        /// Its slot.
        slot: SlotId,
        /// Whether the slot is no more: clients that wait there are to be accepted first.
        is_last: bool,
    },
    /// Tell it to leave at once.
    Insist {
        /// The worker.
        worker: WorkerId,
    },
    /// The next step of the way on which the whole server leaves. It ends with `Complete`.
    Drain(drain::Step),
    /// Kill it: it has not served, and is not needed any more.
    Withdraw {
        /// The worker.
        worker: WorkerId,
        /// Its slot.
        slot: SlotId,
    },
    /// It takes nothing: say nothing more to it. Its clients stay, and it leaves.
    Cut {
        /// The worker.
        worker: WorkerId,
        /// Its slot.
        slot: SlotId,
    },
    /// Kill it: it shows no sign of life.
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
    /// Say so: every slot has a worker that serves, for the first time.
    Assembled,
    /// End: workers do not start, and none is left.
    GiveUp {
        /// Where one was tried last.
        slot: SlotId,
        /// How it ended.
        exit: Exit,
    },
}

/// What a worker has failed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// To serve soon after its start.
    ToStart(Symptom),
    /// To answer.
    ToAnswer(Symptom),
    /// To leave in time.
    ToLeave(Symptom),
    /// To take what it is sent.
    ToKeepUp,
}

impl Step {
    /// Whether the line is a warning; otherwise it informs.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Cut { .. } | Self::Kill { .. } | Self::Ended { .. } | Self::GiveUp { .. } => true,
            Self::Drain(step) => step.is_warning(),
            _ => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut { slot, .. } => {
                write!(
                    f,
                    "Worker {} leaves, and does not take what is published: telling it no more",
                    slot + 1
                )
            }
            Self::Kill { slot, why, .. } => {
                write!(f, "Worker {} ", slot + 1)?;
                match why {
                    Failing::ToStart(symptom) => write!(f, "did not start in time {symptom}"),
                    Failing::ToAnswer(symptom) => write!(f, "does not answer {symptom}"),
                    Failing::ToLeave(symptom) => write!(f, "has not left in time, does not answer {symptom}"),
                    Failing::ToKeepUp => write!(f, "does not take what it is sent"),
                }?;
                write!(f, ": killing it")
            }
            Self::Ended { slot, exit, back_off } => {
                write!(f, "Worker {} {exit}: starting another ", slot + 1)?;
                match back_off.as_secs_f64() {
                    0.0 => write!(f, "now"),
                    seconds => write!(f, "in {seconds} s"),
                }
            }
            Self::GiveUp { slot, exit } => {
                write!(f, "cannot start workers: worker {} {exit} before it served", slot + 1)
            }
            Self::Withdraw { slot, .. } => write!(f, "Worker {} has not served yet: ending it", slot + 1),
            // Each worker says for how many clients it waits.
            Self::Drain(drain::Step::Waiting { .. }) => Ok(()),
            Self::Drain(step) => write!(f, "{step}"),
            Self::Start { .. }
            | Self::Beat
            | Self::Look { .. }
            | Self::StepDown { .. }
            | Self::CloseSlot { .. }
            | Self::Insist { .. }
            | Self::Assembled => Ok(()),
        }
    }
}
