//! Decides when a leaving server may exit. Reads no clock and closes nothing: it is told the time and the number of
//! clients, and answers with steps.

use std::time::{Duration, Instant};

mod step;

pub use step::{Outcome, Step};

/// How long clients are waited for that take nothing any more, once every client has been sent its close frame; and, once
/// the last client has left, those who are still owed an answer.
pub const FAREWELL: Duration = Duration::from_secs(1);

/// How long clients are waited for that still take what goes ahead of their close frame.
pub const LONGEST_FAREWELL: Duration = Duration::from_secs(10);

/// How long whoever was seen to take what the system holds for it has for more: receive windows open in large steps.
pub const TAKING: Duration = Duration::from_secs(2);

/// What the server is asked by a drain, each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Situation {
    /// Clients connected.
    pub connections: usize,
    /// Whether somebody who is no client is owed an answer.
    pub owes_answers: bool,
    /// Bytes that sockets have taken since the start.
    pub bytes_taken: u64,
}

/// The way from the first signal to the exit.
#[derive(Debug)]
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
    Waiting {
        limit: Instant,
        next_report: Instant,
    },
    /// Only those who are owed an answer keep it from ending.
    Answering {
        /// So long without a byte being taken.
        until: Instant,
        /// Whatever is taken.
        end: Instant,
        limit: Instant,
        next_report: Instant,
    },
    Empty,
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
    /// The grace period is over.
    Insisted,
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

    /// A signal to leave: the first starts the drain, a second ends the grace period, more change nothing.
    pub fn signal(&mut self, now: Instant) {
        match &mut self.state {
            State::Serving => self.begin(now, Urgency::Signalled),
            State::Leaving { urgency, .. } => {
                *urgency = if *urgency == Urgency::Asked { Urgency::Armed } else { Urgency::Insisted };
            }
            State::Farewell { .. } | State::Over => {}
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
            State::Farewell { .. } | State::Over => {}
        }
    }

    /// Those who are waited for at the end are still taking something.
    pub fn on_taken(&mut self, now: Instant) {
        match &mut self.state {
            State::Leaving { stage: Stage::Answering { until, end, .. }, .. } => {
                *until = (now + TAKING).min(*end);
            }
            State::Farewell { until, limit, .. } => *until = (now + TAKING).min(*limit),
            State::Leaving { .. } | State::Serving | State::Over => {}
        }
    }

    /// Whether it is about to end, unless somebody is still taking something.
    pub fn is_about_to_end(&self, now: Instant) -> bool {
        match self.state {
            State::Leaving { stage: Stage::Answering { until, .. }, .. } | State::Farewell { until, .. } => {
                now >= until
            }
            State::Leaving { .. } | State::Serving | State::Over => false,
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
            Stage::Delayed { begins } if now >= begins || is_insisted => {
                let waiting = Stage::Waiting { limit: begins + self.grace, next_report: now };
                (Step::Initiated, leaving(waiting))
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
            // Who was owed an answer has become a client.
            Stage::Answering { limit, next_report, .. } if connections > 0 => {
                self.state = leaving(Stage::Waiting { limit, next_report });
                return self.poll(now, situation);
            }
            Stage::Answering { until, .. } if situation.owes_answers && !is_insisted && now < until => {
                return None;
            }
            Stage::Answering { .. } => (Step::AllClosed, leaving(Stage::Empty)),
            Stage::Waiting { .. } if connections == 0 => (Step::AllClosed, leaving(Stage::Empty)),
            Stage::Waiting { .. } if is_insisted => {
                (Step::Insisted { connections }, Self::farewell(now, situation))
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
            Stage::Empty => (Step::Complete(Outcome::Drained), State::Over),
            Stage::Delayed { .. } | Stage::Waiting { .. } => return None,
        };
        self.state = next;
        Some(step)
    }

    /// When the grace period ends, once it is leaving.
    pub fn limit(&self) -> Option<Instant> {
        let State::Leaving { stage, .. } = self.state else { return None };
        match stage {
            Stage::Called { begins } | Stage::Delayed { begins } => Some(begins + self.grace),
            Stage::Waiting { limit, .. } | Stage::Answering { limit, .. } => Some(limit),
            Stage::Empty => None,
        }
    }

    /// When to ask again at the latest, should no client leave before. Once `poll` has answered `None` it is still to
    /// come.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Leaving { stage: Stage::Waiting { limit, next_report }, .. } => {
                Some(limit.min(next_report))
            }
            State::Leaving { stage: Stage::Called { begins } | Stage::Delayed { begins }, .. } => {
                Some(begins)
            }
            State::Leaving { stage: Stage::Answering { until, .. }, .. } | State::Farewell { until, .. } => {
                Some(until)
            }
            State::Leaving { stage: Stage::Empty, .. } | State::Serving | State::Over => None,
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
