//! The same files, as a supervisor looks at them that serves nobody: it keeps what they held when they could last be used, for workers
//! that are started once they cannot. What is wrong with them the workers say, and nothing is said here.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use zeroize::Zeroizing;

use crate::config::Config;
use crate::config::last_good::LastGood;
use crate::server::handover::channel::Channel;
use crate::server::handover::memory;
use crate::server::watch::{Check, Content, LOOK_INTERVAL, Watch};
use crate::server::{certificate, key_file};
use crate::wire::handover::message::decode;
use crate::wire::octets::Octets;

/// All of them together have no more, with what stands around them: three of 256 KiB, and some that are small.
const MOST_BYTES: usize = 1024 * 1024;

/// What they held, and how they are looked at.
pub struct Keeper {
    /// Files that are used together.
    groups: Vec<(Watch, Check)>,
    last_good: LastGood,
    next_look: Instant,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("next_look", &self.next_look).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Reads those of this configuration, beside what is known already.
    pub fn begin(config: &Config, last_good: LastGood, now: Instant) -> Self {
        let files = certificate::checks(&config.ssl).into_iter().chain(key_file::check(&config.auth));
        let groups = files.map(|(files, check)| (Watch::new(files), check)).collect();
        let mut keeper = Self { groups, last_good, next_look: now };
        keeper.look(now);
        keeper
    }

    /// When to look at them next, if there are any.
    pub fn next_look(&self) -> Option<Instant> {
        (!self.groups.is_empty()).then_some(self.next_look)
    }

    /// Looks at them, if it is time to.
    pub fn look(&mut self, now: Instant) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOK_INTERVAL;
        for (watch, check) in &mut self.groups {
            let read = watch.look(|files| check(files).map(|()| files.to_vec()));
            let good: Vec<Content> = read.and_then(Result::ok).unwrap_or_default();
            good.iter().for_each(|(file, octets)| self.last_good.keep(file.flag(), octets));
        }
    }

    /// What the files held.
    pub fn last_good(&self) -> &LastGood {
        &self.last_good
    }
}

/// Says what files held to a process that inherits this descriptor, which nobody else has.
///
/// # Errors
/// When the machine is out of something.
pub fn tell(last_good: &LastGood) -> io::Result<OwnedFd> {
    let files: Vec<(&str, Octets)> =
        last_good.iter().map(|(flag, octets)| (flag, Octets::new(octets))).collect();
    let octets = Octets::encode(&files, MOST_BYTES);
    // Past the buffer, in which it would stay.
    let (file, ()) = memory::write(|file| {
        let mut file: &File = file.get_ref();
        file.write_all(&octets)
    })?;
    let (channel, theirs) = Channel::pair()?;
    channel.send(&(octets.len() as u64), &[file.as_fd()])?;
    Ok(theirs)
}

/// What was said to this process.
///
/// # Errors
/// When it was something else.
pub fn hear(channel: OwnedFd) -> io::Result<LastGood> {
    let damaged = || io::Error::from(ErrorKind::InvalidData);
    // Nobody is waited for: it was said before this process began.
    let received = Channel::from(channel).receive()?.ok_or_else(damaged)?;
    let bytes: u64 = decode(&received.octets).map_err(|_| damaged())?;
    let file = received.descriptors.into_iter().next().filter(|_| bytes <= MOST_BYTES as u64);
    let octets = Zeroizing::new(memory::read(file.ok_or_else(damaged)?, bytes)?);
    let files: Vec<(&str, Octets)> = decode(&octets).map_err(|_| damaged())?;
    let mut last_good = LastGood::default();
    files.iter().for_each(|(flag, octets)| last_good.keep(flag, octets));
    Ok(last_good)
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
