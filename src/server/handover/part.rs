//! The connections of one worker of a predecessor's, as they come through a channel of their own.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use super::channel::Channel;
use super::memory;
use super::taking::{Came, TakeOverError};
use crate::policy::handover::successor::{NoSuccession, Successor, Task};
use crate::server::clock::Now;
use crate::wire::handover::message::ToPredecessor;

/// The other end waits for every answer, so that there is room for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// One such channel.
#[derive(Debug)]
pub struct Part {
    channel: Channel,
    machine: Successor,
    came: Came,
    image: Vec<u8>,
    is_whole: bool,
}

impl AsRawFd for Part {
    fn as_raw_fd(&self) -> RawFd {
        self.channel.as_raw_fd()
    }
}

impl AsFd for Part {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

impl Part {
    /// Nothing has come yet.
    pub fn new(channel: Channel) -> Self {
        Self { channel, machine: Successor::Ready, came: Came::default(), image: vec![], is_whole: false }
    }

    /// Whether all has come.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Takes what has come.
    ///
    /// # Errors
    /// When nothing comes of it.
    pub fn on_ready(&mut self) -> Result<(), TakeOverError> {
        while !self.is_whole {
            let task = match self.machine.poll() {
                Some(task) => task,
                None => match self.channel.receive() {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                    received => match self.came.told(received)? {
                        Some(told) => self.machine.on_told(told)?,
                        None => continue,
                    },
                },
            };
            match task {
                Task::Read => {
                    let (file, bytes) = self.came.image.take().ok_or(NoSuccession::Garbled)?;
                    self.image = memory::read(file, bytes)?;
                }
                Task::Acknowledge(connections) => self.say(&ToPredecessor::Taken { connections })?,
                Task::TakeUp => self.is_whole = true,
                Task::Prepare | Task::Serve => return Err(NoSuccession::Garbled.into()),
            }
        }
        Ok(())
    }

    /// How they stand, and the connections.
    pub fn take(&mut self) -> (Vec<u8>, Vec<OwnedFd>) {
        (std::mem::take(&mut self.image), std::mem::take(&mut self.came.connections))
    }

    /// They could be gone on with.
    ///
    /// # Errors
    /// When nobody hears it.
    pub fn say_prepared(&self) -> Result<(), TakeOverError> {
        Ok(self.say(&ToPredecessor::Prepared)?)
    }

    /// They are gone on with.
    pub fn say_serving(&self) {
        // It may have ended by itself, or have been told already by its supervisor.
        let _ = self.channel.send(&ToPredecessor::Serving, &[]);
    }

    fn say(&self, message: &ToPredecessor) -> io::Result<()> {
        let deadline: Instant = Now::read() + ANSWER_TIMEOUT;
        self.channel.send_by(deadline, message, &[])
    }
}
