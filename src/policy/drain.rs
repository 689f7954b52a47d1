//! Decides when a leaving server may exit, be it one process or a supervisor with its workers. Reads no clock and closes
//! nothing: it is told the time and what is left, and answers with steps.
//!
//! One process waits for its clients. A supervisor first waits until all its workers have closed their listeners, so that
//! the port is free for a successor; then for the workers, each of which waits for its own clients.

use std::time::{Duration, Instant};

mod step;

pub use step::{Outcome, Step};

/// How long to wait for clients that take nothing any more, once every client has been sent its close frame; and, once the
/// last client has left, for peers that are still owed an answer.
pub const FAREWELL: Duration = Duration::from_secs(1);

/// How long to wait for clients that still take what goes ahead of their close frame.
pub const LONGEST_FAREWELL: Duration = Duration::from_secs(10);

/// How long a peer that was seen to take what the system holds for it has to take more: receive windows open in large steps.
pub const TAKING: Duration = Duration::from_secs(2);

/// How long workers have to close their listeners before the leaving goes on regardless.
const CLOSING: Duration = Duration::from_secs(1);

/// What the server is asked by a drain, each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Situation {
    /// Clients connected.
    pub connections: usize,
    /// Whether a peer that is no client is owed an answer.
    pub owes_answers: bool,
    /// Bytes that sockets have taken since the start.
    pub bytes_taken: u64,
    /// Of a supervisor only.
    pub workers: Option<Workers>,
}

/// What is left of a supervisor's workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Workers {
    /// Not ended yet.
    pub left: usize,
    /// Those of them that may hold their listener open.
    pub listening: usize,
    /// Whether one of those that have ended did not see all its clients go.
    pub were_forced: bool,
}

/// The way from the first signal to the exit.
#[derive(Debug, Clone)]
pub struct Drain {
    /// Between the signal and the beginning.
    delay: Duration,
    grace: Duration,
    report_interval: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Serving,
    Leaving {
        stage: Stage,
        urgency: Urgency,
    },
    /// Everyone has been sent the close frame.
    Farewell {
        /// So long without a byte being taken.
        until: Instant,
        /// Whatever is taken.
        limit: Instant,
        bytes_taken: u64,
    },
    /// The last client has left.
    Empty,
    Over,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// To be said.
    Called {
        begins: Instant,
    },
    Delayed {
        begins: Instant,
    },
    /// Workers close their listeners, until then at the latest; `None`: nobody waits for those that have not.
    Closing {
        until: Option<Instant>,
    },
    /// Workers wait for their clients, each up to a limit of its own.
    Supervising {
        limit: Instant,
        next_report: Instant,
    },
    Waiting {
        limit: Instant,
        next_report: Instant,
    },
    /// Only peers that are owed an answer keep it from ending.
    Answering {
        /// So long without a byte being taken.
        until: Instant,
        /// Whatever is taken.
        end: Instant,
        limit: Instant,
        next_report: Instant,
    },
}

/// What the next signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Urgency {
    /// An operator has asked: a signal is the first one.
    Asked,
    /// The first signal has come after an operator asked: to be said.
    Armed,
    /// A signal has come: another is the second.
    Signalled,
    /// The grace period is over: to be said.
    Insisted,
    /// The workers have been told so.
    Forced,
}

impl Drain {
    /// A drain that waits for so long (`grace`) for clients to go, and reports every `report_interval` meanwhile.
    pub fn new(grace: Duration, report_interval: Duration) -> Self {
        Self { delay: Duration::ZERO, grace, report_interval, state: State::Serving }
    }

    /// The same, beginning only so long after the signal.
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Whether it has been told to leave: no new clients once that has begun.
    pub fn is_leaving(&self) -> bool {
        !matches!(self.state, State::Serving)
    }

    /// Whether the delay is over.
    pub fn has_begun(&self) -> bool {
        let waits = matches!(
            self.state,
            State::Serving | State::Leaving { stage: Stage::Called { .. } | Stage::Delayed { .. }, .. }
        );
        !waits
    }

    /// A signal to leave: the first starts the drain, a second ends the grace period, more change nothing.
    pub fn signal(&mut self, now: Instant) {
        match &mut self.state {
            State::Serving => self.begin(now, Urgency::Signalled),
            State::Leaving { urgency, .. } => {
                *urgency = match *urgency {
                    Urgency::Asked => Urgency::Armed,
                    Urgency::Armed | Urgency::Signalled | Urgency::Insisted => Urgency::Insisted,
                    Urgency::Forced => Urgency::Forced,
                }
            }
            State::Farewell { .. } | State::Empty | State::Over => {}
        }
    }

    /// An operator wants it to leave: that starts the drain, and never hastens one.
    pub fn ask(&mut self, now: Instant) {
        if !self.is_leaving() {
            self.begin(now, Urgency::Asked);
        }
    }

    /// To leave at once, whether or not a signal has come before.
    pub fn insist(&mut self, now: Instant) {
        match &mut self.state {
            State::Serving => self.begin(now, Urgency::Insisted),
            State::Leaving { urgency, .. } => *urgency = Urgency::Insisted,
            State::Farewell { .. } | State::Empty | State::Over => {}
        }
    }

    /// The peers that are waited for at the end are still taking something.
    pub fn on_taken(&mut self, now: Instant) {
        match &mut self.state {
            State::Leaving { stage: Stage::Answering { until, end, .. }, .. } => {
                *until = (now + TAKING).min(*end);
            }
            State::Farewell { until, limit, .. } => *until = (now + TAKING).min(*limit),
            State::Leaving { .. } | State::Serving | State::Empty | State::Over => {}
        }
    }

    /// Whether it is about to end, unless somebody is still taking something.
    pub fn is_about_to_end(&self, now: Instant) -> bool {
        match self.state {
            State::Leaving { stage: Stage::Answering { until, .. }, .. } | State::Farewell { until, .. } => {
                now >= until
            }
            State::Leaving { .. } | State::Serving | State::Empty | State::Over => false,
        }
    }

    /// What to do now. Call until `None`; it ends with `Complete`.
    pub fn poll(&mut self, now: Instant, situation: Situation) -> Option<Step> {
        match self.state {
            State::Serving | State::Over => None,
            State::Leaving { stage, urgency } => self.poll_leaving(stage, urgency, now, situation),
            State::Farewell { until, limit, bytes_taken } if situation.bytes_taken > bytes_taken => {
                self.state = State::Farewell {
                    until: limit.min(now + FAREWELL).max(until),
                    limit,
                    bytes_taken: situation.bytes_taken,
                };
                self.poll(now, situation)
            }
            State::Farewell { until, .. } if situation.connections == 0 || now >= until => {
                self.state = State::Over;
                Some(Step::Complete(Outcome::Forced))
            }
            State::Farewell { .. } => None,
            State::Empty => {
                self.state = State::Over;
                Some(Step::Complete(Outcome::Drained))
            }
        }
    }

    fn poll_leaving(
        &mut self,
        stage: Stage,
        urgency: Urgency,
        now: Instant,
        situation: Situation,
    ) -> Option<Step> {
        let connections = situation.connections;
        let is_insisted = urgency == Urgency::Insisted;
        let leaving = |stage| State::Leaving { stage, urgency };
        let (step, next) = match stage {
            Stage::Called { begins } => (Step::SignalReceived, leaving(Stage::Delayed { begins })),
            _ if urgency == Urgency::Armed => {
                (Step::Armed, State::Leaving { stage, urgency: Urgency::Signalled })
            }
            Stage::Delayed { begins } if now >= begins || is_insisted => match situation.workers {
                None => {
                    let limit = begins + self.grace;
                    (Step::Initiated, leaving(Stage::Waiting { limit, next_report: now }))
                }
                Some(_) => (Step::Close, leaving(Stage::Closing { until: Some(now + CLOSING) })),
            },
            Stage::Closing { .. } | Stage::Supervising { .. } => {
                self.poll_workers(stage, urgency, now, situation)?
            }
            Stage::Waiting { limit, next_report }
                if connections == 0 && situation.owes_answers && !is_insisted =>
            {
                self.state = leaving(Stage::Answering {
                    until: now + FAREWELL,
                    end: now + LONGEST_FAREWELL,
                    limit,
                    next_report,
                });
                return self.poll(now, situation);
            }
            // A peer that was owed an answer has become a client.
            Stage::Answering { limit, next_report, .. } if connections > 0 => {
                self.state = leaving(Stage::Waiting { limit, next_report });
                return self.poll(now, situation);
            }
            Stage::Answering { until, .. } if situation.owes_answers && !is_insisted && now < until => {
                return None;
            }
            Stage::Answering { .. } => (Step::AllClosed, State::Empty),
            Stage::Waiting { .. } if connections == 0 => (Step::AllClosed, State::Empty),
            Stage::Waiting { .. } if is_insisted => {
                (Step::Insisted { connections: Some(connections) }, Self::farewell(now, situation))
            }
            Stage::Waiting { limit, .. } if now >= limit => {
                let grace = self.grace;
                (Step::TimedOut { connections, grace }, Self::farewell(now, situation))
            }
            Stage::Waiting { limit, next_report } if now >= next_report => {
                let next_report = self.report_after(next_report, now);
                let remaining = limit - now;
                (Step::Waiting { connections, remaining }, leaving(Stage::Waiting { limit, next_report }))
            }
            Stage::Delayed { .. } | Stage::Waiting { .. } => return None,
        };
        self.state = next;
        Some(step)
    }

    /// The step of a supervisor that has begun to leave, and what follows it.
    fn poll_workers(
        &self,
        stage: Stage,
        urgency: Urgency,
        now: Instant,
        Situation { workers, connections, .. }: Situation,
    ) -> Option<(Step, State)> {
        let Workers { left, listening, were_forced } = workers.unwrap_or_default();
        let leaving = |stage| State::Leaving { stage, urgency };
        Some(match stage {
            Stage::Closing { until: Some(until) } if listening > 0 && now >= until => {
                (Step::StillListening { workers: listening }, leaving(Stage::Closing { until: None }))
            }
            Stage::Closing { until } if listening == 0 || until.is_none() => {
                let limit = now + self.grace;
                (Step::Initiated, leaving(Stage::Supervising { limit, next_report: now }))
            }
            Stage::Supervising { .. } if urgency == Urgency::Insisted => {
                (Step::Insisted { connections: None }, State::Leaving { stage, urgency: Urgency::Forced })
            }
            Stage::Supervising { .. } if left == 0 => {
                let is_forced = were_forced || urgency == Urgency::Forced;
                let outcome = if is_forced { Outcome::Forced } else { Outcome::Drained };
                (Step::Complete(outcome), State::Over)
            }
            Stage::Supervising { limit, next_report } if now >= next_report => {
                let remaining = limit.saturating_duration_since(now);
                let next_report = self.report_after(next_report, now);
                let step = Step::Waiting { connections, remaining };
                (step, leaving(Stage::Supervising { limit, next_report }))
            }
            _ => return None,
        })
    }

    /// When the grace period ends, once it is leaving. Not known while workers close their listeners.
    pub fn limit(&self) -> Option<Instant> {
        let State::Leaving { stage, .. } = self.state else { return None };
        match stage {
            Stage::Called { begins } | Stage::Delayed { begins } => Some(begins + self.grace),
            Stage::Waiting { limit, .. }
            | Stage::Answering { limit, .. }
            | Stage::Supervising { limit, .. } => Some(limit),
            Stage::Closing { .. } => None,
        }
    }

    /// When to ask again at the latest, should nobody leave before. Once `poll` has answered `None` it is still to come.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Leaving { stage, .. } => match stage {
                Stage::Called { begins } | Stage::Delayed { begins } => Some(begins),
                Stage::Closing { until } => until,
                Stage::Supervising { next_report, .. } => Some(next_report),
                Stage::Waiting { limit, next_report } => Some(limit.min(next_report)),
                Stage::Answering { until, .. } => Some(until),
            },
            State::Farewell { until, .. } => Some(until),
            State::Serving | State::Empty | State::Over => None,
        }
    }

    fn begin(&mut self, now: Instant, urgency: Urgency) {
        self.state = State::Leaving { stage: Stage::Called { begins: now + self.delay }, urgency };
    }

    fn farewell(now: Instant, situation: Situation) -> State {
        State::Farewell {
            until: now + FAREWELL,
            limit: now + LONGEST_FAREWELL,
            bytes_taken: situation.bytes_taken,
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
#[path = "drain_tests.rs"]
mod tests;
