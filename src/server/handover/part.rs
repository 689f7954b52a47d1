//! The connections of one worker of a predecessor's, as they come through a channel of their own.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use super::channel::Channel;
use super::memory;
use super::taking::{Came, TakeOverError};
use crate::policy::handover::successor::{NoSuccession, Successor, Task, Told};
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
    /// Nothing more comes. Why, the predecessor itself finds out and says.
    is_over: bool,
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
        let (machine, came) = (Successor::Ready, Came::default());
        Self { channel, machine, came, image: vec![], is_whole: false, is_over: false }
    }

    /// Whether all has come.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether something is still to come.
    pub fn is_awaited(&self) -> bool {
        !self.is_whole && !self.is_over
    }

    /// Takes what has come.
    ///
    /// # Errors
    /// When nothing comes of it.
    pub fn on_ready(&mut self) -> Result<(), TakeOverError> {
        while self.is_awaited() {
            let task = match self.machine.poll() {
                Some(task) => task,
                None => match self.channel.receive() {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                    received => match self.came.told(received)? {
                        Some(Told::Ended) => {
                            self.is_over = true;
                            return Ok(());
                        }
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
    /// When it cannot be said.
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
        match self.channel.send_by(deadline, message, &[]) {
            // That, too, the predecessor itself finds out.
            Err(why) if matches!(why.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
            said => said,
        }
    }
}
