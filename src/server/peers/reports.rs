//! What is told about the whole server. Strangers are told what is at most a tenth of a second old: to make a report takes
//! a hundred times as long as to ask for it.

use std::time::{Duration, Instant};

use crate::http::report::Report;
use crate::server::clock::Now;
use crate::wire::overview::Draining;
use crate::wire::response::Response;

/// How long a report is told again as it is.
const FRESH: Duration = Duration::from_millis(100);

/// The last report of each kind.
#[derive(Debug, Default)]
pub(super) struct Reports {
    latest: [Option<(Instant, Response)>; 4],
    /// Set while the server leaves.
    drain: Option<Draining>,
}

impl Reports {
    /// The last one, if it is fresh.
    pub(super) fn fresh(&self, report: Report, now: Now) -> Option<Response> {
        let (made, response) = self.latest[place(report)?].as_ref()?;
        (now.instant < *made + FRESH).then(|| response.clone())
    }

    /// Notes one that has just been made.
    pub(super) fn note(&mut self, report: Report, response: &Response, now: Now) {
        if let Some(place) = place(report) {
            self.latest[place] = Some((now.instant, response.clone()));
        }
    }

    /// The server leaves: everyone is told so from here on.
    pub(super) fn announce(&mut self, drain: Draining) {
        *self = Self { drain: Some(drain), ..Self::default() };
    }

    /// What was announced.
    pub(super) fn drain(&self) -> Option<Draining> {
        self.drain.clone()
    }
}

/// Where the last one of a kind is kept; nowhere, if only operators are told it.
fn place(report: Report) -> Option<usize> {
    match report {
        Report::Readiness => Some(0),
        Report::Status => Some(1),
        Report::Metrics => Some(2),
        Report::OpenMetrics => Some(3),
        Report::Connections(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_told_again_for_a_tenth_of_a_second_and_not_once_a_drain_is_announced() {
        let (mut reports, now) = (Reports::default(), Now::read());
        let later = |wait| Now { instant: now + wait, ..now };
        let is_told = |reports: &Reports, report, at| reports.fresh(report, at).is_some();
        reports.note(Report::Status, &Response::empty(204), now);
        assert!(is_told(&reports, Report::Status, later(FRESH - Duration::from_nanos(1))));
        assert!(!is_told(&reports, Report::Metrics, now) && !is_told(&reports, Report::Status, later(FRESH)));
        let drain =
            Draining { since_unix_ms: 1, deadline_unix_ms: 2, clients_then: 3, origin: "SIGTERM".into() };
        reports.announce(drain.clone());
        assert!(!is_told(&reports, Report::Status, now) && reports.drain() == Some(drain));
    }
}
