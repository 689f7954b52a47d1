//! A figure to reach, and whether it is reached.

use std::fmt;

use serde::Serialize;

use super::figures::grouped;

/// A figure to reach.
#[derive(Debug, Serialize)]
pub struct Goal {
    pub what: String,
    pub unit: &'static str,
    pub must: Bound,
    pub aim: Bound,
    /// None where this run did not measure it.
    pub measured: Option<f64>,
    pub verdict: Verdict,
    #[serde(skip)]
    digits: usize,
}

/// What is demanded of it.
#[derive(Debug, Clone, Copy, Serialize)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    Aim,
    Must,
    Missed,
    NotMeasured,
}

impl Goal {
    pub fn new(
        what: impl Into<String>,
        unit: &'static str,
        [must, aim]: [Bound; 2],
        measured: Option<f64>,
    ) -> Self {
        let verdict = match measured {
            None => Verdict::NotMeasured,
            Some(figure) if aim.holds(figure) => Verdict::Aim,
            Some(figure) if must.holds(figure) => Verdict::Must,
            Some(_) => Verdict::Missed,
        };
        Self { what: what.into(), unit, must, aim, measured, verdict, digits: 0 }
    }

    pub fn with_digits(self, digits: usize) -> Self {
        Self { digits, ..self }
    }

    pub fn measured_text(&self) -> String {
        self.measured.map_or_else(|| "–".to_owned(), |figure| grouped(figure, self.digits))
    }

    pub fn bound_text(&self, bound: Bound) -> String {
        let (sign, figure) = match bound {
            Bound::AtMost(figure) => ("≤", figure),
            Bound::AtLeast(figure) => ("≥", figure),
        };
        format!("{sign} {}", grouped(figure, self.digits))
    }
}

impl Bound {
    fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtMost(most) => figure <= most,
            Self::AtLeast(least) => figure >= least,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Aim => "yes, and the aim",
            Self::Must => "yes",
            Self::Missed => "NO",
            Self::NotMeasured => "not measured",
        })
    }
}
