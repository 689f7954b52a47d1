//! What a turn wants done with what it does not know: the listeners, the state file, the log and the allocator.

use crate::policy::drain::Step;
use crate::server::engine::Wanted;

/// What is to be done outside, before the turn is asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A worker may serve: accept from now on.
    Accept,
    /// Log this step of the drain. With the last one the process ends.
    Step(Step),
    /// Leave the state to a successor, before the port is free for it.
    LeaveState,
    /// Stop listening.
    StopAccepting {
        /// The connections that wait are to be accepted first: closing would reset them.
        admits_waiting: bool,
    },
    /// Let no operators in while other workers do.
    RestAdmin,
    /// Let operators in, unless it is done already.
    OpenAdmin,
    /// Close the operators' door for good.
    CloseAdmin,
    /// Park all connections, or else leave.
    Park,
    /// Hand everything over to the program that is on disk now.
    HandOver,
    /// Send all connections to a successor's worker.
    Move {
        /// Until then, in nanoseconds of CLOCK_MONOTONIC.
        by: i64,
        /// In this format.
        format: u32,
    },
    /// Leave all connections where its supervisor parks them.
    ParkPart {
        /// In this format.
        format: u32,
    },
    /// Part with them.
    Commit,
    /// Go on with them.
    Resume,
    /// End at once, and touch nobody's connection: they are another process's.
    Vanish,
    /// Connect to the engine.
    Connect(Wanted),
    /// Memory was freed, which the allocator may still keep.
    Trim,
}
