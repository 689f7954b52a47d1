//! How a supervisor ends that nothing was handed over to, or that has handed over everything.

use std::process::ExitCode;
use std::time::Duration;

use super::Supervisor;
use super::taking_up::TakingUp;

/// How long the workers may take to end that have handed over everything, before they are told to leave.
const PARTING: Duration = Duration::from_secs(1);

impl Supervisor {
    /// No worker starts.
    pub(super) fn end_unserved(&self) -> ExitCode {
        self.taking_up.iter().for_each(TakingUp::say_kept);
        ExitCode::from(3)
    }

    /// Nothing is taken over: the workers, who have touched nobody, end with this process.
    pub(super) fn end_all(&mut self) -> ExitCode {
        for (_, child) in &mut self.children {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        ExitCode::from(3)
    }

    /// Once everything is another process's, this one ends with its last worker. Those who could not move some of their
    /// connections leave as in a drain.
    pub(super) fn end_parting(&mut self) -> Option<ExitCode> {
        if !self.has_parted {
            return None;
        }
        if self.children.is_empty() {
            return Some(ExitCode::SUCCESS);
        }
        let leave_at = *self.leave_at.get_or_insert(self.now + PARTING);
        if self.now.instant >= leave_at && !self.crew.is_leaving() {
            self.crew.leave("a hand-over of everything else");
        }
        None
    }
}
