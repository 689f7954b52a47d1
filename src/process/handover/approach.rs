//! The way to a process that hands over, up to its first answer. That may never come: the process may be stopped, or have nobody
//! who accepts. Whoever is told to leave meanwhile has touched nothing, and ends at once.

use std::io::{self, IsTerminal, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};

use super::SuccessionError;
use crate::config::Config;
use crate::server::handover::channel::wait_for_any;
use crate::server::handover::taking::{Taking, not_said};

/// What a process begins with that may have somebody to take over from.
#[derive(Debug)]
pub struct Approach {
    pub(super) from_parent: Option<OwnedFd>,
    told_to_leave: Option<Told>,
}

/// Can be read once this process is told to leave. Not by what the system does with these signals otherwise: in the first process
/// of a container that is nothing.
#[derive(Debug)]
struct Told {
    signals: UnixStream,
    handlers: Vec<SigId>,
}

impl Approach {
    /// To be asked before signals are taken and unblocked: one that has come by then is heard here, too.
    ///
    /// # Errors
    /// When the machine is out of something.
    pub fn begin(config: &Config, from_parent: Option<&OwnedFd>) -> Result<Self, SuccessionError> {
        let from_parent =
            from_parent.map(OwnedFd::try_clone).transpose().map_err(SuccessionError::Inherited)?;
        let has_somebody = from_parent.is_some() || config.handover.handover.is_some();
        let told_to_leave =
            has_somebody.then(Told::new).transpose().map_err(|why| SuccessionError::TakeOver(why.into()))?;
        Ok(Self { from_parent, told_to_leave })
    }

    /// Whether the process that hands over has started this one, by its own arguments.
    pub fn is_own(&self) -> bool {
        self.from_parent.is_some()
    }

    /// Waits until then for what the other process answers.
    pub(super) fn await_answer(&self, taking: &Taking, until: Instant) -> Result<(), SuccessionError> {
        let told = self.told_to_leave.iter().map(|told| told.signals.as_fd());
        let both: Vec<_> = told.chain([taking.as_fd()]).collect();
        wait_for_any(&both, until).map_err(not_said)?;
        self.end_if_told().inspect_err(|_| taking.decline("it has been told to leave"))
    }

    /// There is nothing to do any more for one that was told to leave.
    pub(super) fn end_if_told(&self) -> Result<(), SuccessionError> {
        match self.told_to_leave.as_ref().is_some_and(Told::is_heard) {
            true => Err(SuccessionError::ToldToLeave),
            false => Ok(()),
        }
    }
}

impl Told {
    fn new() -> io::Result<Self> {
        let (signals, write) = UnixStream::pair()?;
        signals.set_nonblocking(true)?;
        let mut told = Self { signals, handlers: vec![] };
        // The terminal at which it was started is gone.
        let of_terminal = io::stdin().is_terminal().then_some(SIGHUP);
        for signal in [SIGTERM, SIGINT].into_iter().chain(of_terminal) {
            told.handlers.push(pipe::register(signal, write.try_clone()?)?);
        }
        Ok(told)
    }

    fn is_heard(&self) -> bool {
        (&self.signals).read(&mut [0]).is_ok_and(|count| count > 0)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            unregister(handler);
        }
    }
}
