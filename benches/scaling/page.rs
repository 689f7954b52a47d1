//! The report as a page.

use super::report::Report;

pub fn of(report: &Report) -> String {
    report.date.clone()
}
