//! The process that takes over. It has nothing else to do yet, and waits for what comes.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::time::Instant;

use mio::event::Source;
use mio::{Interest, Token};
use socket2::Socket;
use thiserror::Error;

use super::channel::{Channel, Received};
use super::memory;
use crate::policy::handover::{NoSuccession, Successor, Task, Told};
use crate::server::clock::Now;
use crate::server::socket::Stream;
use crate::server::{FIRST_PEER, Server};
use crate::wire::handover::FORMATS;
use crate::wire::handover::message::{Commit, Hello, Listening, Sockets, ToPredecessor, ToSuccessor, decode};
use crate::wire::metrics::Handover;

/// Why nothing is taken over.
#[derive(Debug, Error)]
pub enum TakeOverError {
    /// The other process does not hand over.
    #[error("cannot take over: {0}")]
    None(#[from] NoSuccession),
    /// What it hands over cannot be taken.
    #[error("cannot take over: {0}")]
    Io(#[from] io::Error),
}

/// A process that hands over is there.
#[derive(Debug)]
pub struct Taking {
    channel: Channel,
    machine: Successor,
    deadline: Instant,
}

/// What the other process listens on.
#[derive(Debug)]
pub struct Offer {
    /// Its process.
    pub pid: u32,
    /// The sockets, and what each is for.
    pub sockets: Vec<(Listening, Socket)>,
}

/// What has come so far.
#[derive(Debug, Default)]
struct Came {
    offered: Option<Sockets>,
    listening: Vec<OwnedFd>,
    image: Option<(OwnedFd, u64)>,
    connections: Vec<OwnedFd>,
    commit: Commit,
}

impl Taking {
    /// Says that this process is there, and hears what the other one listens on.
    ///
    /// # Errors
    /// When the other one does not hand over.
    pub fn begin(channel: Channel, deadline: Instant) -> Result<(Self, Offer), TakeOverError> {
        let most_descriptors = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        let hello = Hello {
            oldest_format: *FORMATS.start(),
            newest_format: *FORMATS.end(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            most_descriptors,
        };
        let mut taking = Self { channel, machine: Successor::Greeting, deadline };
        taking.say(&ToPredecessor::Hello(hello))?;
        let mut came = Came::default();
        taking.hear(&mut came)?;
        let offered = came.offered.ok_or(NoSuccession::Garbled)?;
        let sockets = offered.listening.into_iter().zip(came.listening.into_iter().map(Socket::from));
        Ok((taking, Offer { pid: offered.pid, sockets: sockets.collect() }))
    }

    /// This process does not take over after all.
    pub fn decline(&self, why: &str) {
        let _ = self.channel.send(&ToPredecessor::Failed { why: why.to_owned() }, &[]);
    }

    /// Takes over everything for a server that could serve otherwise; says how many connections there are.
    ///
    /// # Errors
    /// When the other process goes on itself, whatever is the reason.
    pub fn finish(mut self, server: &mut Server) -> Result<usize, TakeOverError> {
        let taken = self.take_all(server);
        if let Err(TakeOverError::Io(why)) = &taken {
            self.decline(&why.to_string());
        }
        taken
    }

    fn take_all(&mut self, server: &mut Server) -> Result<usize, TakeOverError> {
        self.say(&ToPredecessor::Ready)?;
        let (mut came, mut image, mut count) = (Came::default(), vec![], 0);
        loop {
            let task = match self.machine.poll() {
                Some(task) => task,
                None => match self.hear(&mut came) {
                    Err(_) if self.is_committed_after_all(&mut came) => Task::Serve,
                    heard => heard?,
                },
            };
            match task {
                Task::Prepare => return Err(NoSuccession::Garbled.into()),
                Task::Read => {
                    let (file, bytes) = came.image.take().ok_or(NoSuccession::Garbled)?;
                    image = memory::read(file, bytes)?;
                }
                Task::Acknowledge(connections) => self.say(&ToPredecessor::Taken { connections })?,
                Task::TakeUp => {
                    count = came.connections.len();
                    server.take_up(&image, std::mem::take(&mut came.connections))?;
                    image = vec![];
                    self.say(&ToPredecessor::Prepared)?;
                }
                Task::Serve => {
                    server.on_taken_over(came.commit, count);
                    return Ok(count);
                }
            }
        }
    }

    /// Whether all was handed over before this process has given up: whoever does so from here on is told that nobody is there.
    fn is_committed_after_all(&self, came: &mut Came) -> bool {
        if self.machine != Successor::Prepared {
            return false;
        }
        self.channel.close();
        let mut rest = std::iter::from_fn(|| self.channel.receive().ok().flatten());
        rest.any(|received| came.take(received) == Told::Commit)
    }

    fn say(&mut self, message: &ToPredecessor) -> Result<(), TakeOverError> {
        let Err(why) = self.channel.send_by(self.deadline, message, &[]) else { return Ok(()) };
        Err(match why.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => self.last_words(),
            ErrorKind::TimedOut => NoSuccession::Silent.into(),
            _ => why.into(),
        })
    }

    /// Why a process has ended that may have said so.
    fn last_words(&mut self) -> TakeOverError {
        let mut came = Came::default();
        loop {
            if let Err(why) = self.hear(&mut came) {
                return why;
            }
        }
    }

    /// Waits for what is said next, and takes what comes beside it.
    fn hear(&mut self, came: &mut Came) -> Result<Task, TakeOverError> {
        let told = match self.channel.receive_by(self.deadline) {
            Ok(Some(received)) => came.take(received),
            Ok(None) => Told::Ended,
            Err(why) if why.kind() == ErrorKind::ConnectionReset => Told::Ended,
            Err(why) if why.kind() == ErrorKind::TimedOut => return Err(NoSuccession::Silent.into()),
            Err(why) => return Err(why.into()),
        };
        Ok(self.machine.on_told(told)?)
    }
}

impl Came {
    /// What was said, as far as what came beside it is what it should be.
    fn take(&mut self, Received { octets, mut descriptors }: Received) -> Told {
        let Ok(message) = decode(&octets) else { return Told::Garbled };
        match (message, descriptors.len()) {
            (ToSuccessor::Refused { why }, _) => Told::Refused(why),
            (ToSuccessor::Sockets(offered), count)
                if offered.listening.len() == count && FORMATS.contains(&offered.format) =>
            {
                (self.offered, self.listening) = (Some(offered), descriptors);
                Told::Sockets
            }
            (ToSuccessor::Image { bytes, connections }, 1) => {
                self.image = descriptors.pop().map(|file| (file, bytes));
                Told::Image { connections }
            }
            (ToSuccessor::Batch { connections }, count) if usize::try_from(connections) == Ok(count) => {
                self.connections.append(&mut descriptors);
                Told::Batch(count)
            }
            (ToSuccessor::Commit(commit), _) => {
                self.commit = commit;
                Told::Commit
            }
            (ToSuccessor::Abort, _) => Told::Abort,
            _ => Told::Garbled,
        }
    }
}

impl Server {
    /// Goes on where another process has stopped, with its connections in the order of the image. They are heard once this
    /// runs.
    fn take_up(&mut self, image: &[u8], connections: Vec<OwnedFd>) -> io::Result<()> {
        let (now, at) = (Now::read(), Now::moment());
        let (registry, mut connections) = (self.poll.registry(), connections.into_iter());
        self.turn.take_over(image, now, at, |key| {
            let descriptor = connections.next().ok_or(ErrorKind::InvalidData)?;
            let mut socket = Stream::from(Socket::from(descriptor));
            let interest = Interest::READABLE | Interest::WRITABLE;
            socket.register(registry, Token(FIRST_PEER + key), interest)?;
            Ok(socket)
        })?;
        if connections.next().is_some() { Err(ErrorKind::InvalidData.into()) } else { Ok(()) }
    }

    /// All is this process's now.
    fn on_taken_over(&mut self, commit: Commit, moved: usize) {
        let silent_ns = Now::moment().monotonic.saturating_sub(commit.cut_at).max(0);
        self.turn.count_handover(Handover {
            is_completed: true,
            ended_unix_ms: Now::read().wall.as_millisecond(),
            silent_seconds: silent_ns as f64 / 1e9,
            moved: moved as u64,
            stayed: commit.stayed,
        });
    }
}
