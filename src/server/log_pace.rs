//! When the log is handed on: at once where little happens, and else every few milliseconds, so that a line for each of
//! thousands of newcomers is not a write for each.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Whether lines wait to be handed on. The log belongs to the process, not to a part of it: so does this.
pub static LINES_WAIT: AtomicBool = AtomicBool::new(false);

/// A write to a pipe takes about a third of what a newcomer costs; a hundred of them a second take nothing.
const PAUSE: Duration = Duration::from_millis(10);

/// When it was handed on last.
#[derive(Debug, Default)]
pub(super) struct LogPace {
    last: Option<Instant>,
}

impl LogPace {
    /// Hands the lines on, or says when to ask again.
    pub(super) fn flush(&mut self, now: Instant) -> Option<Instant> {
        if !LINES_WAIT.load(Relaxed) {
            return None;
        }
        let next = self.last.map(|last| last + PAUSE).filter(|next| now < *next);
        if next.is_none() {
            self.last = Some(now);
            log::logger().flush();
        }
        next
    }
}
