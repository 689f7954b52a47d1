//! How much is logged.

use clap::ValueEnum;
use log::LevelFilter;

/// The names that uvicorn gives to levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Errors only; `critical` is taken to mean this.
    #[value(alias = "critical")]
    Error,
    /// Warnings and above.
    Warning,
    /// The story of the server.
    Info,
    /// Also how each connection ended.
    Debug,
    /// Everything, if the build includes it.
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::Error,
            LogLevel::Warning => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_the_names_that_uvicorn_gives_them() {
        for (name, level) in [("critical", LevelFilter::Error), ("WARNING", LevelFilter::Warn)] {
            assert_eq!(LevelFilter::from(LogLevel::from_str(name, true).unwrap()), level);
        }
    }
}
