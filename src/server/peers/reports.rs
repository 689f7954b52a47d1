//! What strangers are told about the whole server: made anew at most ten times a second, as it takes a hundred times as
//! long as to ask for it.

use std::time::{Duration, Instant};

use crate::http::report::Report;
use crate::server::clock::Now;
use crate::wire::response::Response;

/// How long a report is told again as it is.
const FRESH: Duration = Duration::from_millis(100);

/// The last report of each kind.
#[derive(Debug, Default)]
pub(super) struct Reports {
    latest: [Option<(Instant, Response)>; 3],
}

impl Reports {
    /// The last one, if it is fresh.
    pub(super) fn fresh(&self, report: Report, now: Now) -> Option<Response> {
        let (made, response) = self.latest[report as usize].as_ref()?;
        (now.instant < *made + FRESH).then(|| response.clone())
    }

    /// Notes one that has just been made.
    pub(super) fn note(&mut self, report: Report, response: &Response, now: Now) {
        self.latest[report as usize] = Some((now.instant, response.clone()));
    }

    /// Something has changed that nobody may be told late.
    pub(super) fn clear(&mut self) {
        self.latest = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_told_again_for_a_tenth_of_a_second_and_not_once_something_has_changed() {
        let (mut reports, now) = (Reports::default(), Now::read());
        let later = |wait| Now { instant: now + wait, ..now };
        let is_told = |reports: &Reports, report, at| reports.fresh(report, at).is_some();
        reports.note(Report::Status, &Response::empty(204), now);
        assert!(is_told(&reports, Report::Status, later(FRESH - Duration::from_nanos(1))));
        assert!(!is_told(&reports, Report::Metrics, now) && !is_told(&reports, Report::Status, later(FRESH)));
        reports.clear();
        assert!(!is_told(&reports, Report::Status, now));
    }
}
