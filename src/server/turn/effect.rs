//! What a turn wants done with what it does not know: the listeners, the state file, the log and the allocator.

use crate::policy::drain::Step;

/// What is to be done outside, before the turn is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A worker may serve: accept from now on.
    Accept,
    /// Log this step of the drain. With the last one the process ends.
    Step(Step),
    /// Leave the state to a successor, before the port is free for it.
    LeaveState,
    /// Listen no more.
    StopAccepting {
        /// Whoever waits to be accepted is to be admitted first: closing would reset them.
        admits_waiting: bool,
        /// Operators are not let in either.
        with_admin: bool,
    },
    /// Let operators in no more.
    CloseAdmin,
    /// Memory was freed, which the allocator may still keep.
    Trim,
}
