//! What a drain does next, and how it ends. A step's `Display` is its log line, so the lines can be tested without a log.

use std::fmt;
use std::time::Duration;

use super::CLOSING;

/// How the leaving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every client left by itself.
    Drained,
    /// The grace period ran out, or a second signal ended it.
    Forced,
}

/// What the caller does next, and then asks again. `Display` is the line for the log, empty where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A signal to leave has come.
    SignalReceived,
    /// The first signal has come after an operator asked it to leave: nothing to do but to say so.
    Armed,
    /// Of a supervisor: stop the periodic notification, close all listeners, and have every worker close its own.
    Close,
    /// Of a supervisor, only to be said: so many have not done that in time, and nobody waits for them.
    StillListening {
        /// Workers that may still listen.
        workers: usize,
    },
    /// Stop accepting and stop the periodic notification. A supervisor tells every worker to leave.
    Initiated,
    /// Nothing to do but to say so.
    Waiting {
        /// Clients still connected.
        connections: usize,
        /// Until the grace period is over.
        remaining: Duration,
    },
    /// The last client has left.
    AllClosed,
    /// Send every client the close frame 1012: the grace period is over.
    TimedOut {
        /// Clients still connected.
        connections: usize,
        /// How long that was.
        grace: Duration,
    },
    /// Send every client the close frame 1012: a second signal came. A supervisor tells every worker to.
    Insisted {
        /// Clients still connected; none of a supervisor.
        connections: Option<usize>,
    },
    /// End.
    Complete(Outcome),
}

impl Step {
    /// Whether the line is a warning; otherwise it informs.
    pub fn is_warning(&self) -> bool {
        matches!(
            self,
            Self::TimedOut { .. } | Self::Insisted { connections: Some(_) } | Self::StillListening { .. }
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignalReceived => write!(f, "Shutdown signal received"),
            Self::Armed => write!(f, "Shutdown signal received while leaving: another one ends it at once"),
            Self::Initiated => write!(f, "Graceful shutdown initiated"),
            Self::Waiting { connections, remaining } => {
                // Rounded up: it never says 0s while there is still time.
                let seconds = remaining.as_secs() + u64::from(remaining.subsec_nanos() > 0);
                write!(f, "Waiting for {connections} connections to close. Time remaining: {seconds}s")
            }
            Self::AllClosed => write!(f, "All WebSocket connections closed. Proceeding with shutdown."),
            Self::TimedOut { connections, grace } => {
                let grace = InWords(*grace);
                write!(
                    f,
                    "Shutdown timeout ({grace}) reached. Forcing shutdown with {connections} active connections."
                )
            }
            Self::Insisted { connections } => {
                write!(f, "Second shutdown signal received. Forcing shutdown")?;
                connections.iter().try_for_each(|count| write!(f, " with {count} active connections"))?;
                write!(f, ".")
            }
            Self::StillListening { workers } => write!(
                f,
                "Not closed within {} s: the listeners of {workers} workers; a successor may find the port in use",
                CLOSING.as_secs()
            ),
            Self::Close => Ok(()),
            Self::Complete(_) => write!(f, "Server shutdown complete"),
        }
    }
}

/// A duration as people say it: whole minutes in minutes, all else in seconds.
struct InWords(Duration);

impl fmt::Display for InWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, whole) = (self.0.as_secs(), self.0.subsec_nanos() == 0);
        match seconds {
            60 if whole => write!(f, "1 minute"),
            1 if whole => write!(f, "1 second"),
            60.. if whole && seconds.is_multiple_of(60) => write!(f, "{} minutes", seconds / 60),
            _ => write!(f, "{} seconds", self.0.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_said_as_people_say_it() {
        let said = [1.0, 60.0, 90.0, 1800.0, 0.25].map(|s| InWords(Duration::from_secs_f64(s)).to_string());
        assert_eq!(said, ["1 second", "1 minute", "90 seconds", "30 minutes", "0.25 seconds"]);
    }
}
