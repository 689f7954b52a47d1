//! The room that lives and dies: the log, the process's start and its exit code.

pub mod logging;
pub mod worker;
