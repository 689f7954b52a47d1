//! Decides when a leaving server may exit. Reads no clock and closes nothing: it is told the time and the number of
//! clients, and answers with steps. A step's `Display` is its log line, so the lines can be tested without a log.

use std::fmt;
use std::time::{Duration, Instant};

/// How long deaf clients are waited for once every client has been sent its close frame, and, once the last client has
/// left, those who are still owed an answer.
pub const FAREWELL: Duration = Duration::from_secs(1);

/// How the leaving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every client left by itself.
    Drained,
    /// The patience ran out, or a second signal ended it.
    Forced,
}

/// What the caller does next, and then asks again. `Display` is the line for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A signal to leave has come.
    SignalReceived,
    /// Stop accepting and stop the periodic notification.
    Initiated,
    /// Nothing to do but to say so.
    Waiting {
        /// Clients still connected.
        connections: usize,
        /// Until the patience runs out.
        remaining: Duration,
    },
    /// The last client has left.
    AllClosed,
    /// Send every client the close frame 1012: the patience ran out.
    TimedOut {
        /// Clients still connected.
        connections: usize,
        /// The patience that ran out.
        patience: Duration,
    },
    /// Send every client the close frame 1012: a second signal came.
    Insisted {
        /// Clients still connected.
        connections: usize,
    },
    /// End.
    Complete(Outcome),
}

impl Step {
    /// Whether the line is a warning; otherwise it informs.
    pub fn is_warning(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Insisted { .. })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignalReceived => write!(f, "Shutdown signal received"),
            Self::Initiated => write!(f, "Graceful shutdown initiated"),
            Self::Waiting { connections, remaining } => {
                // Rounded up: it never says 0s while there is still time.
                let seconds = remaining.as_secs() + u64::from(remaining.subsec_nanos() > 0);
                write!(f, "Waiting for {connections} connections to close. Time remaining: {seconds}s")
            }
            Self::AllClosed => write!(f, "All WebSocket connections closed. Proceeding with shutdown."),
            Self::TimedOut { connections, patience } => {
                let patience = InWords(*patience);
                write!(
                    f,
                    "Shutdown timeout ({patience}) reached. Forcing shutdown with {connections} active connections."
                )
            }
            Self::Insisted { connections } => {
                write!(
                    f,
                    "Second shutdown signal received. Forcing shutdown with {connections} active connections."
                )
            }
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

/// The way from the first signal to the exit.
#[derive(Debug)]
pub struct Drain {
    /// Between the signal and the beginning.
    delay: Duration,
    patience: Duration,
    report_interval: Duration,
    state: State,
    /// A second signal came: the patience is over.
    insisted: bool,
    /// Since when only those who are owed an answer keep it from ending.
    answering_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Serving,
    Signalled { begins: Instant },
    Delayed { begins: Instant },
    Waiting { limit: Instant, next_report: Instant },
    Empty,
    Farewell { until: Instant },
    Over,
}

impl Drain {
    /// A drain that waits `patience` for clients to go, and reports every `report_interval` meanwhile.
    pub fn new(patience: Duration, report_interval: Duration) -> Self {
        Self {
            delay: Duration::ZERO,
            patience,
            report_interval,
            state: State::Serving,
            insisted: false,
            answering_since: None,
        }
    }

    /// The same, beginning only so long after the signal.
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Whether a signal has come: no new clients from here on.
    pub fn is_leaving(&self) -> bool {
        !matches!(self.state, State::Serving)
    }

    /// A signal to leave: the first starts the drain, a second ends its patience, more change nothing.
    pub fn signal(&mut self, now: Instant) {
        self.insisted = self.is_leaving();
        if !self.insisted {
            self.state = State::Signalled { begins: now + self.delay };
        }
    }

    /// To leave at once, whether or not a signal has come before.
    pub fn insist(&mut self, now: Instant) {
        if !self.is_leaving() {
            self.signal(now);
        }
        self.insisted = true;
    }

    /// What to do now, with this many clients connected, and whether somebody else is owed an answer. Call until
    /// `None`; it ends with `Complete`.
    pub fn poll(&mut self, now: Instant, connections: usize, owes_answers: bool) -> Option<Step> {
        let is_answering = connections == 0 && self.is_answering(now, owes_answers);
        let (step, next) = match self.state {
            State::Signalled { begins } => (Step::SignalReceived, State::Delayed { begins }),
            State::Delayed { begins } if now >= begins || self.insisted => {
                (Step::Initiated, State::Waiting { limit: begins + self.patience, next_report: now })
            }
            State::Waiting { .. } if is_answering => return None,
            State::Waiting { .. } if connections == 0 => (Step::AllClosed, State::Empty),
            State::Waiting { .. } if self.insisted => {
                (Step::Insisted { connections }, State::Farewell { until: now + FAREWELL })
            }
            State::Waiting { limit, .. } if now >= limit => {
                let patience = self.patience;
                (Step::TimedOut { connections, patience }, State::Farewell { until: now + FAREWELL })
            }
            State::Waiting { limit, next_report } if now >= next_report => {
                let next_report = self.report_after(next_report, now);
                (Step::Waiting { connections, remaining: limit - now }, State::Waiting { limit, next_report })
            }
            State::Empty => (Step::Complete(Outcome::Drained), State::Over),
            State::Farewell { until } if connections == 0 || now >= until => {
                (Step::Complete(Outcome::Forced), State::Over)
            }
            State::Serving
            | State::Delayed { .. }
            | State::Waiting { .. }
            | State::Farewell { .. }
            | State::Over => return None,
        };
        self.state = next;
        Some(step)
    }

    /// When the patience ends, once a signal has come.
    pub fn limit(&self) -> Option<Instant> {
        match self.state {
            State::Signalled { begins } | State::Delayed { begins } => Some(begins + self.patience),
            State::Waiting { limit, .. } => Some(limit),
            State::Serving | State::Empty | State::Farewell { .. } | State::Over => None,
        }
    }

    fn is_answering(&mut self, now: Instant, owes_answers: bool) -> bool {
        if !owes_answers || self.insisted || !matches!(self.state, State::Waiting { .. }) {
            return false;
        }
        now < *self.answering_since.get_or_insert(now) + FAREWELL
    }

    /// When to ask again at the latest, should no client leave before.
    pub fn deadline(&self) -> Option<Instant> {
        match (self.state, self.answering_since) {
            (State::Waiting { .. }, Some(since)) => Some(since + FAREWELL),
            (State::Waiting { limit, next_report }, None) => Some(limit.min(next_report)),
            (State::Delayed { begins }, _) => Some(begins),
            (State::Farewell { until }, _) => Some(until),
            _ => None,
        }
    }

    /// The next report in the cadence that began with the first: a late one does not shift those after it.
    fn report_after(&self, due: Instant, now: Instant) -> Instant {
        let mut next = due + self.report_interval;
        while next <= now {
            next += self.report_interval;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A drain with a clock of its own, in seconds, and the lines it has given.
    struct Story {
        drain: Drain,
        start: Instant,
        seconds: f64,
    }

    impl Story {
        fn with_patience(seconds: f64) -> Self {
            let drain = Drain::new(Duration::from_secs_f64(seconds), Duration::from_secs(5));
            Self { drain, start: Instant::now(), seconds: 0.0 }
        }

        fn now(&self) -> Instant {
            self.start + Duration::from_secs_f64(self.seconds)
        }

        fn signal(&mut self) {
            self.drain.signal(self.now());
        }

        fn lines(&mut self, connections: usize) -> Vec<String> {
            std::iter::from_fn(|| self.drain.poll(self.now(), connections, false))
                .map(|s| s.to_string())
                .collect()
        }

        fn lines_at(&mut self, seconds: f64, connections: usize) -> Vec<String> {
            self.seconds = seconds;
            self.lines(connections)
        }
    }

    #[test]
    fn an_empty_server_leaves_at_once() {
        let mut story = Story::with_patience(1800.0);
        assert_eq!(story.lines(0), [""; 0]);
        story.signal();
        assert_eq!(
            story.lines(0),
            [
                "Shutdown signal received",
                "Graceful shutdown initiated",
                "All WebSocket connections closed. Proceeding with shutdown.",
                "Server shutdown complete"
            ]
        );
        assert_eq!(story.lines(0), [""; 0]);
    }

    #[test]
    fn a_thirty_minute_drain_reports_every_five_seconds_and_ends_to_the_second() {
        let mut story = Story::with_patience(1800.0);
        story.signal();
        let mut lines = story.lines(2);
        while story.seconds < 1800.0 {
            let before = story.seconds;
            let deadline = story.drain.deadline().expect("a drain always has a next deadline");
            story.seconds = (deadline - story.start).as_secs_f64();
            assert!(story.seconds - before <= 5.0, "reports come every five seconds");
            lines.extend(story.lines(2));
        }
        assert_eq!(lines.len(), 2 + 360 + 1);
        assert_eq!(lines[2], "Waiting for 2 connections to close. Time remaining: 1800s");
        assert_eq!(lines[3], "Waiting for 2 connections to close. Time remaining: 1795s");
        assert_eq!(lines[361], "Waiting for 2 connections to close. Time remaining: 5s");
        assert_eq!(
            lines[362],
            "Shutdown timeout (30 minutes) reached. Forcing shutdown with 2 active connections."
        );
        assert_eq!(story.lines_at(1800.999, 2), [""; 0]);
        assert_eq!(story.lines_at(1801.0, 2), ["Server shutdown complete"]);
    }

    #[test]
    fn the_last_client_ends_it_between_two_reports() {
        let mut story = Story::with_patience(1800.0);
        story.signal();
        story.lines(1);
        assert_eq!(
            story.lines_at(2.3, 0),
            ["All WebSocket connections closed. Proceeding with shutdown.", "Server shutdown complete"]
        );
    }

    #[test]
    fn a_late_check_keeps_the_cadence_and_never_says_zero_too_early() {
        let mut story = Story::with_patience(12.0);
        story.signal();
        story.lines(1);
        assert_eq!(story.lines_at(5.0004, 1), ["Waiting for 1 connections to close. Time remaining: 7s"]);
        assert_eq!(story.lines_at(9.9, 1), [""; 0]);
        assert_eq!(story.lines_at(11.9, 1), ["Waiting for 1 connections to close. Time remaining: 1s"]);
        assert_eq!(
            story.lines_at(12.0, 1),
            ["Shutdown timeout (12 seconds) reached. Forcing shutdown with 1 active connections."]
        );
    }

    #[test]
    fn a_second_signal_ends_the_patience() {
        let mut story = Story::with_patience(1800.0);
        story.signal();
        story.lines(3);
        story.signal();
        assert_eq!(
            story.lines_at(1.0, 3),
            ["Second shutdown signal received. Forcing shutdown with 3 active connections."]
        );
        assert_eq!(story.drain.deadline(), Some(story.start + Duration::from_secs(2)));
        story.signal();
        assert_eq!(story.drain.poll(story.now(), 1, false), None);
        assert_eq!(story.drain.poll(story.now(), 0, false), Some(Step::Complete(Outcome::Forced)));
    }

    #[test]
    fn two_signals_in_one_turn_still_tell_the_whole_story() {
        let mut story = Story::with_patience(1800.0);
        story.signal();
        story.signal();
        assert_eq!(
            story.lines(1),
            [
                "Shutdown signal received",
                "Graceful shutdown initiated",
                "Second shutdown signal received. Forcing shutdown with 1 active connections."
            ]
        );
    }

    #[test]
    fn no_patience_forces_at_once() {
        let mut story = Story::with_patience(0.0);
        story.signal();
        assert_eq!(
            story.lines(1)[2],
            "Shutdown timeout (0 seconds) reached. Forcing shutdown with 1 active connections."
        );
    }

    #[test]
    fn patience_is_said_as_people_say_it() {
        let said = [1.0, 60.0, 90.0, 1800.0, 0.25].map(|s| InWords(Duration::from_secs_f64(s)).to_string());
        assert_eq!(said, ["1 second", "1 minute", "90 seconds", "30 minutes", "0.25 seconds"]);
    }
}
