//! The process that takes over. It has nothing else to do yet, and waits for what comes.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use mio::event::Source;
use mio::{Interest, Token};
use socket2::Socket;
use thiserror::Error;

use super::channel::{Channel, Received, wait_for_any};
use super::memory;
use super::parked::ParkedError;
use super::part::Part;
use crate::config::ssl::TicketSecret;
use crate::policy::handover::successor::{NoSuccession, Successor, Task, Told};
use crate::server::clock::Now;
use crate::server::peers::Arrival;
use crate::server::socket::Stream;
use crate::server::ticket_secret;
use crate::server::{FIRST_PEER, Server};
use crate::wire::handover::FORMATS;
use crate::wire::handover::message::{
    Commit, Hello, Listening, Sockets, ToPredecessor, ToSuccessor, decode, printable,
};
use crate::wire::handover::parked::Left;
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
    /// Not what was parked, which another process may take up.
    #[error("cannot take up what was parked: {0}")]
    Parked(#[from] ParkedError),
}

/// A process that hands over is there.
#[derive(Debug)]
pub struct Taking {
    channel: Channel,
    machine: Successor,
    deadline: Instant,
    came: Came,
    /// Those of the predecessor's workers, if it is a supervisor.
    parts: Vec<Part>,
    image: Vec<u8>,
}

/// What the other process listens on.
#[derive(Debug)]
pub struct Offer {
    /// Its process.
    pub pid: u32,
    /// The sockets, and what each is for.
    pub sockets: Vec<(Listening, Socket)>,
    /// Its workers, each of which moves its connections through a channel of its own; none if it has them itself.
    pub workers: Option<u32>,
    /// By what it makes session tickets, if it has said so.
    pub tickets: Option<TicketSecret>,
}

/// What has come so far.
#[derive(Debug, Default)]
pub struct Came {
    offered: Option<Sockets>,
    listening: Vec<OwnedFd>,
    pub(super) image: Option<(OwnedFd, u64)>,
    pub(super) connections: Vec<OwnedFd>,
    commit: Commit,
}

impl AsFd for Taking {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

impl Taking {
    /// Says that this process is there.
    ///
    /// # Errors
    /// When the other one does not hand over.
    pub fn begin(channel: Channel, deadline: Instant) -> Result<Self, TakeOverError> {
        let most_descriptors = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        let hello = Hello {
            oldest_format: *FORMATS.start(),
            newest_format: *FORMATS.end(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            most_descriptors,
        };
        let (machine, came) = (Successor::Greeting, Came::default());
        let mut taking = Self { channel, machine, deadline, came, parts: vec![], image: vec![] };
        taking.say(&ToPredecessor::Hello(hello))?;
        Ok(taking)
    }

    /// Hears what the other one listens on, which is what it answers.
    ///
    /// # Errors
    /// When it does not hand over.
    pub fn hear_offer(&mut self) -> Result<Offer, TakeOverError> {
        self.hear()?;
        let offered = self.came.offered.take().ok_or(NoSuccession::Garbled)?;
        let descriptors = std::mem::take(&mut self.came.listening);
        let sockets = offered.listening.into_iter().zip(descriptors.into_iter().map(Socket::from));
        let tickets = ticket_secret::of_predecessor(offered.tickets);
        Ok(Offer { pid: offered.pid, sockets: sockets.collect(), workers: offered.workers, tickets })
    }

    /// The way to the predecessor, how far it is, and until when, for one that has other things to do meanwhile.
    pub fn into_parts(self) -> (Channel, Successor, Instant) {
        (self.channel, self.machine, self.deadline)
    }

    /// Has the connections of so many workers of the predecessor's come through channels of their own.
    ///
    /// # Errors
    /// When the machine is out of something, or the other process does not hand over.
    pub fn open_parts(&mut self, workers: u32) -> Result<(), TakeOverError> {
        let mut theirs = vec![];
        for _ in 0..workers {
            let (ours, other) = Channel::pair()?;
            self.parts.push(Part::new(ours));
            theirs.push(other);
        }
        let sent = self.channel.send_channels(self.deadline, &theirs);
        sent.map_err(|why| self.unsaid(why))
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
        let mut count = 0;
        loop {
            let task = match self.machine.poll() {
                Some(task) => task,
                None => match self.hear() {
                    Err(_)
                        if self.machine == Successor::Prepared && self.came.is_committed(&self.channel) =>
                    {
                        Task::Serve
                    }
                    heard => heard?,
                },
            };
            match task {
                Task::Prepare => return Err(NoSuccession::Garbled.into()),
                Task::Read => {
                    let (file, bytes) = self.came.image.take().ok_or(NoSuccession::Garbled)?;
                    self.image = memory::read(file, bytes)?;
                }
                Task::Acknowledge(connections) => self.say(&ToPredecessor::Taken { connections })?,
                Task::TakeUp => {
                    count = self.take_up(server)?;
                    self.say(&ToPredecessor::Prepared)?;
                }
                Task::Serve => {
                    self.parts.iter().for_each(Part::say_serving);
                    server.on_taken_over(&self.came.commit, count);
                    return Ok(count);
                }
            }
        }
    }

    /// Makes all connections, those of the predecessor's workers among them.
    fn take_up(&mut self, server: &mut Server) -> Result<usize, TakeOverError> {
        let connections = std::mem::take(&mut self.came.connections);
        let mut count = connections.len();
        server.take_up(&std::mem::take(&mut self.image), connections)?;
        while self.parts.iter().any(|part| !part.is_whole()) {
            let channels = self.parts.iter().filter(|part| part.is_awaited()).map(AsFd::as_fd);
            let channels = channels.chain([self.channel.as_fd()]).collect::<Vec<_>>();
            wait_for_any(&channels, self.deadline).map_err(not_said)?;
            self.parts.iter_mut().try_for_each(Part::on_ready)?;
            self.hear_of_failure()?;
        }
        for part in &mut self.parts {
            let (image, connections) = part.take();
            count += connections.len();
            server.take_up(&image, connections)?;
            part.say_prepared()?;
        }
        Ok(count)
    }

    /// While connections come from others, the predecessor itself has nothing to say but that it goes on.
    fn hear_of_failure(&mut self) -> Result<(), TakeOverError> {
        let received = self.channel.receive();
        if received.as_ref().is_err_and(|e| e.kind() == ErrorKind::WouldBlock) {
            return Ok(());
        }
        let told = self.came.told(received)?.unwrap_or(Told::Garbled);
        Err(self.machine.on_told(told).err().unwrap_or(NoSuccession::Garbled).into())
    }

    fn say(&mut self, message: &ToPredecessor) -> Result<(), TakeOverError> {
        let sent = self.channel.send_by(self.deadline, message, &[]);
        sent.map_err(|why| self.unsaid(why))
    }

    /// Why something could not be said: a process that has ended may have said why.
    fn unsaid(&mut self, why: io::Error) -> TakeOverError {
        if !matches!(why.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) {
            return not_said(why);
        }
        loop {
            if let Err(why) = self.hear() {
                return why;
            }
        }
    }

    /// Waits for what is said next, and takes what comes beside it.
    fn hear(&mut self) -> Result<Task, TakeOverError> {
        loop {
            let received = self.channel.receive_by(self.deadline);
            if let Some(told) = self.came.told(received)? {
                return Ok(self.machine.on_told(told)?);
            }
        }
    }
}

/// Why something could not be said, or waited for.
pub fn not_said(why: io::Error) -> TakeOverError {
    match why.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => NoSuccession::Ended.into(),
        ErrorKind::TimedOut => NoSuccession::Silent.into(),
        _ => why.into(),
    }
}

impl Came {
    /// What was said; `None` if the rest of it is still to come.
    ///
    /// # Errors
    /// When nothing was said in time, or the machine is out of something.
    pub fn told(&mut self, received: io::Result<Option<Received>>) -> Result<Option<Told>, TakeOverError> {
        match received {
            Ok(Some(received)) => Ok(self.take(received)),
            Ok(None) => Ok(Some(Told::Ended)),
            Err(why) if why.kind() == ErrorKind::ConnectionReset => Ok(Some(Told::Ended)),
            Err(why) => Err(not_said(why)),
        }
    }

    /// Whether all was handed over before this process, which has said that it has everything, gives up: whoever hands over from
    /// here on is told that nobody is there.
    pub fn is_committed(&mut self, channel: &Channel) -> bool {
        self.last_word(channel) == Some(Told::Commit)
    }

    /// What the other process has said last before this one, which gives up, takes nothing more from it: that all is handed over,
    /// or that it is not, if it has said either.
    pub fn last_word(&mut self, channel: &Channel) -> Option<Told> {
        channel.close();
        let mut rest = std::iter::from_fn(|| channel.receive().ok().flatten());
        rest.find_map(|received| {
            let is_last = |told: &Told| matches!(told, Told::Commit | Told::Abort(_) | Told::Refused(_));
            self.take(received).filter(is_last)
        })
    }

    /// The image, to be read here or passed on.
    pub fn take_image(&mut self) -> Option<(OwnedFd, u64)> {
        self.image.take()
    }

    /// The connections of the batch that has come.
    pub fn take_connections(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.connections)
    }

    /// How it went.
    pub fn take_commit(&mut self) -> Commit {
        std::mem::take(&mut self.commit)
    }

    /// What was said, as far as what came beside it is what it should be.
    fn take(&mut self, Received { octets, mut descriptors }: Received) -> Option<Told> {
        let Ok(message) = decode(&octets) else { return Some(Told::Garbled) };
        Some(match (message, descriptors.len()) {
            (ToSuccessor::Refused { why }, _) => Told::Refused(printable(&why)),
            (ToSuccessor::Sockets(mut offered), count)
                if offered.listening.len() == count && FORMATS.contains(&offered.format) =>
            {
                let has_more = offered.has_more;
                if let Some(before) = self.offered.take() {
                    offered.listening.splice(..0, before.listening);
                }
                self.offered = Some(offered);
                self.listening.append(&mut descriptors);
                if has_more {
                    return None;
                }
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
            (ToSuccessor::Abort { why }, _) => Told::Abort(why.as_deref().map(printable)),
            _ => Told::Garbled,
        })
    }
}

/// One that has just come to its end.
pub fn completed(commit: &Commit, moved: u64) -> Handover {
    let silent_ns = Now::moment().monotonic.saturating_sub(commit.cut_at).max(0);
    Handover {
        is_completed: true,
        ended_unix_ms: Now::read().wall.as_millisecond(),
        silent_seconds: silent_ns as f64 / 1e9,
        moved,
        stayed: commit.stayed,
    }
}

impl Server {
    /// Goes on where another process has stopped, with its connections in the order of the image. They are heard once this
    /// runs. How it was left, if that was for a later start.
    pub(super) fn take_up(&mut self, image: &[u8], connections: Vec<OwnedFd>) -> io::Result<Option<Left>> {
        let (now, at) = (Now::read(), Now::moment());
        let (registry, mut connections) = (self.poll.registry(), connections.into_iter());
        let doors = &self.doors;
        let left = self.turn.take_over(image, now, at, |Arrival { key, door, tls }| {
            let descriptor = connections.next().ok_or(ErrorKind::InvalidData)?;
            let mut socket = Stream::from(Socket::from(descriptor));
            let interest = Interest::READABLE | Interest::WRITABLE;
            socket.register(registry, Token(FIRST_PEER + key), interest)?;
            doors.security_at(door).go_on(socket, tls)
        })?;
        if connections.next().is_some() { Err(ErrorKind::InvalidData.into()) } else { Ok(left) }
    }

    /// All is this process's now.
    fn on_taken_over(&mut self, commit: &Commit, moved: usize) {
        let handover = completed(commit, moved as u64);
        self.turn.go_on_counting(commit.counted.as_deref());
        self.turn.count_handover(handover);
    }
}
