//! A supervisor that takes over from another process. Its workers take up the connections; here the rest is taken over, and
//! nobody serves before all could.

use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Instant;

use log::info;
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry};

use super::{PART, PREDECESSOR, Supervisor};
use crate::policy::handover::successor::{NoSuccession, Successor, Task, Told};
use crate::process::handover::Inheritance;
use crate::server::clock::Now;
use crate::server::handover::channel::Channel;
use crate::server::handover::memory;
use crate::server::handover::taking::{Came, TakeOverError, completed, not_said};
use crate::wire::handover::Damaged;
use crate::wire::handover::image::{Entry, Reader, Whole};
use crate::wire::handover::message::{ToPredecessor, ToSuccessor, decode};
use crate::wire::handover::parked::Left;
use crate::wire::metrics::Metrics;
use crate::wire::snapshot::Snapshot;

/// A predecessor that is there.
pub(super) struct Taking {
    channel: Channel,
    machine: Successor,
    deadline: Instant,
    came: Came,
    pid: u32,
    /// The files of its sockets.
    pub(super) files: Vec<PathBuf>,
    /// For each slot the ends that its first worker is given.
    of_slots: Vec<Vec<OwnedFd>>,
    /// The predecessor's ends; sent once all workers are there.
    theirs: Vec<OwnedFd>,
    /// Where a predecessor that has its connections itself sends them, they are passed on through this.
    passage: Option<Channel>,
    workers: usize,
    stage: Stage,
    connections: u64,
}

/// How far this supervisor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its workers are being started.
    Starting,
    /// It could take over.
    Ready,
    /// Its workers hear the history, and take connections up.
    TakingUp,
    /// It has everything.
    Prepared,
}

impl Taking {
    /// Opens a channel for each of the predecessor's workers, and spreads their other ends over the slots.
    pub(super) fn new(
        inheritance: Inheritance,
        slots: usize,
        registry: &Registry,
    ) -> Result<Self, TakeOverError> {
        let Inheritance { taking, pid, files, workers, .. } = inheritance;
        let (channel, machine, deadline) = taking.into_parts();
        let mut taking = Self {
            channel,
            machine,
            deadline,
            came: Came::default(),
            pid,
            files,
            of_slots: (0..slots).map(|_| vec![]).collect(),
            theirs: vec![],
            passage: None,
            workers: slots,
            stage: Stage::Starting,
            connections: 0,
        };
        taking.open(workers, registry).inspect_err(|why| taking.decline(&why.to_string()))?;
        Ok(taking)
    }

    fn open(&mut self, workers: Option<u32>, registry: &Registry) -> std::io::Result<()> {
        SourceFd(&self.channel.as_raw_fd()).register(registry, PREDECESSOR, Interest::READABLE)?;
        match workers {
            Some(workers) => {
                for nth in 0..workers as usize {
                    let (ours, other) = Channel::pair()?;
                    self.of_slots[nth % self.workers].push(ours.into());
                    self.theirs.push(other);
                }
            }
            None => {
                let (ours, other) = Channel::pair()?;
                SourceFd(&ours.as_raw_fd()).register(registry, PART, Interest::READABLE)?;
                self.of_slots[0].push(other);
                self.passage = Some(ours);
            }
        }
        Ok(())
    }

    /// When it gives up.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The ends for the worker that is started in this slot.
    pub(super) fn channels_of(&mut self, slot: usize) -> Vec<OwnedFd> {
        self.of_slots.get_mut(slot).map(std::mem::take).unwrap_or_default()
    }

    /// The other process goes on itself.
    pub(super) fn decline(&self, why: &str) {
        let _ = self.channel.send(&ToPredecessor::Failed { why: why.to_owned() }, &[]);
    }

    fn say(&self, message: &ToPredecessor) -> Result<(), TakeOverError> {
        self.channel.send_by(self.deadline, message, &[]).map_err(not_said)
    }

    /// What a worker says of connections that are passed on to it is for the predecessor to hear.
    fn pass_answers_on(&mut self) -> Result<(), TakeOverError> {
        while let Some(passage) = &self.passage {
            match passage.receive() {
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Ok(Some(received)) => {
                    if let Ok(taken @ ToPredecessor::Taken { .. }) = decode(&received.octets) {
                        self.say(&taken)?;
                    }
                }
                // That it has ended shows elsewhere.
                Ok(None) | Err(_) => break,
            }
        }
        Ok(())
    }
}

impl Supervisor {
    /// Goes on with taking over, as far as that is possible now.
    ///
    /// # Errors
    /// When nothing comes of it: the other process goes on itself.
    pub(super) fn take_over(&mut self) -> Result<(), TakeOverError> {
        if self.taking.is_none() {
            return Ok(());
        }
        let taken = self.take_on();
        let (Err(failed), Some(taking)) = (&taken, &mut self.taking) else { return taken };
        if let TakeOverError::Io(why) = failed {
            taking.decline(&why.to_string());
        }
        match taking.came.last_word(&taking.channel) {
            Some(Told::Commit) if taking.stage == Stage::Prepared => {
                self.succeed();
                Ok(())
            }
            // From which everything else has followed.
            Some(Told::Abort(why)) => Err(NoSuccession::Aborted(why).into()),
            Some(Told::Refused(why)) => Err(NoSuccession::Refused(why).into()),
            _ => taken,
        }
    }

    fn take_on(&mut self) -> Result<(), TakeOverError> {
        if self.has_lost_one {
            return Err(std::io::Error::other("a worker of the successor's has ended").into());
        }
        if let Some(taking) = &mut self.taking {
            taking.pass_answers_on()?;
            let (there, _) = self.crew.waiting();
            if taking.stage == Stage::Starting && there == taking.workers {
                let theirs = std::mem::take(&mut taking.theirs);
                taking.channel.send_channels(taking.deadline, &theirs).map_err(not_said)?;
                taking.say(&ToPredecessor::Ready)?;
                taking.stage = Stage::Ready;
            }
        }
        while let Some(taking) = &mut self.taking {
            let task = match taking.machine.poll() {
                Some(task) => task,
                None => match taking.channel.receive() {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                    received => match taking.came.told(received)? {
                        Some(told) => taking.machine.on_told(told)?,
                        None => continue,
                    },
                },
            };
            match task {
                Task::Prepare => return Err(NoSuccession::Garbled.into()),
                Task::Read => self.read_image()?,
                // The worker that they are passed on to says so.
                Task::Acknowledge(_) => taking.pass_connections_on()?,
                Task::TakeUp => {}
                Task::Serve if taking.stage != Stage::Prepared => return Err(NoSuccession::Garbled.into()),
                Task::Serve => self.succeed(),
            }
        }
        let Some(taking) = &mut self.taking else { return Ok(()) };
        let (_, ready) = self.crew.waiting();
        if taking.stage == Stage::TakingUp && ready == taking.workers {
            taking.say(&ToPredecessor::Prepared)?;
            taking.stage = Stage::Prepared;
        }
        if Now::read().instant >= taking.deadline {
            return Err(NoSuccession::Silent.into());
        }
        Ok(())
    }

    fn read_image(&mut self) -> Result<(), TakeOverError> {
        let Some(taking) = self.taking.as_mut().filter(|taking| taking.stage == Stage::Ready) else {
            return Err(NoSuccession::Garbled.into());
        };
        let (file, bytes) = taking.came.take_image().ok_or(NoSuccession::Garbled)?;
        let Successor::Taking { all, .. } = taking.machine else { return Err(NoSuccession::Garbled.into()) };
        // Ahead of the worker that it is passed on to: both read it from one place in it, which belongs to the file.
        let octets = memory::read(file.try_clone()?, bytes)?;
        match &taking.passage {
            Some(passage) => {
                let image = ToSuccessor::Image { bytes, connections: all };
                passage.send_by(taking.deadline, &image, &[file.as_fd()])?;
                taking.connections = all;
            }
            None if all > 0 => return Err(NoSuccession::Garbled.into()),
            None => {}
        }
        let (whole, snapshot, _) = read(&octets).map_err(std::io::Error::other)?;
        let counted = whole.counted.as_deref().and_then(|counted| serde_json::from_str(counted).ok());
        self.counted = counted;
        taking.stage = Stage::TakingUp;
        self.crew.take_over(&whole, snapshot, Now::moment());
        Ok(())
    }

    fn succeed(&mut self) {
        let Some(mut taking) = self.taking.take() else { return };
        let commit = taking.came.take_commit();
        let moved = commit.moved.unwrap_or(taking.connections);
        let of_workers: Option<Metrics> =
            commit.counted.as_deref().and_then(|counted| serde_json::from_str(counted).ok());
        let counted = of_workers.or_else(|| self.counted.take());
        self.crew.succeed(counted.as_ref(), completed(&commit, moved));
        for file in &taking.files {
            let is_own = self.own_file(file);
            if !is_own {
                // That of a socket that nobody listens on any more.
                let _ = std::fs::remove_file(file);
            }
        }
        info!("Took over {moved} connections from process {}", taking.pid);
        self.crew.settle();
        // They have come while it was not this process that hands over, or leaves; no event announces them once more.
        self.accept_successors();
        self.ahead = self.take_signals();
    }
}

impl Taking {
    fn pass_connections_on(&mut self) -> Result<(), TakeOverError> {
        let passage = self.passage.as_ref().ok_or(NoSuccession::Garbled)?;
        let connections = self.came.take_connections();
        let descriptors: Vec<_> = connections.iter().map(AsFd::as_fd).collect();
        let count = u32::try_from(descriptors.len()).map_err(|_| NoSuccession::Garbled)?;
        passage.send_by(self.deadline, &ToSuccessor::Batch { connections: count }, &descriptors)?;
        Ok(())
    }
}

/// What an image says of the whole server, and how it was left, if that was for a later start.
pub(super) fn read(octets: &[u8]) -> Result<(Whole, Snapshot, Option<Left>), Damaged> {
    let mut entries = Reader::new(octets)?;
    let (mut whole, mut snapshot, mut left) = (Whole::default(), None, None);
    while let Some(entry) = entries.next_entry()? {
        match entry {
            Entry::Whole(said) => whole = *said,
            Entry::Snapshot(octets) => {
                snapshot = Some(Snapshot::decode_handed_over(octets).map_err(|_| Damaged)?);
            }
            Entry::Left(how) => left = Some(how),
            Entry::Shared(_) | Entry::Connection(_) => {}
        }
    }
    Ok((whole, snapshot.ok_or(Damaged)?, left))
}
