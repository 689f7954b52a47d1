//! Coming before others that want the same core.

use std::process::{Command, Stdio};

/// What gives a program real-time priority, where that is permitted (chrt(1)).
const CHRT: [&str; 3] = ["chrt", "--fifo", "10"];

/// Whether the prober comes before others that want its core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    RealTime,
    Ordinary,
}

impl Urgency {
    /// The best that is permitted.
    pub fn permitted() -> Self {
        let [chrt, args @ ..] = CHRT;
        let mut command = Command::new(chrt);
        let status = command.args(args).arg("true").stderr(Stdio::null()).status();
        if status.is_ok_and(|status| status.success()) { Self::RealTime } else { Self::Ordinary }
    }

    /// What such a program is started through.
    pub fn command(self) -> &'static [&'static str] {
        match self {
            Self::RealTime => &CHRT,
            Self::Ordinary => &[],
        }
    }

    /// What to know about its figures.
    pub fn describe(self) -> &'static str {
        match self {
            Self::RealTime => "the prober of handshakes has real-time priority (chrt), ahead of the load",
            Self::Ordinary => {
                "the prober of handshakes has ordinary priority, for chrt is not permitted: \
                 its worst includes what the load delays"
            }
        }
    }
}
