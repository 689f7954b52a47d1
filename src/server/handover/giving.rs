//! The process that hands over.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use log::info;
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::channel::{Channel, Received};
use super::memory;
use super::offer::Offer;
use crate::policy::handover::{Heard, LEAVING, Predecessor, Step, Why};
use crate::server::bound_socket::BoundSocket;
use crate::server::clock::Now;
use crate::server::doors::Doors;
use crate::server::socket::Stream;
use crate::server::transport::Transport;
use crate::server::turn::Turn;
use crate::wire::handover::FORMATS;
use crate::wire::handover::message::{Commit, Hello, ToPredecessor, ToSuccessor, decode, printable};

/// Descriptors that a process needs beside its connections.
const OTHERS: usize = 32;

/// What has become of a hand-over.
#[derive(Debug)]
pub(in crate::server) enum Ended {
    /// These connections are the successor's now, and so is everything else.
    Committed { moved: Vec<usize>, pid: u32, reachable: Option<u32>, silent_for: Duration },
    /// All goes on here, after nobody was heard for so long.
    GivenUp(Why, Duration),
}

/// A successor that is there.
#[derive(Debug)]
pub(in crate::server) struct Giving {
    channel: Channel,
    machine: Predecessor,
    pid: u32,
    deadline: Instant,
    format: u32,
    /// Since when nothing is heard or said.
    cut: Option<(Instant, i64)>,
    /// The keys of those who move, and how many have been sent.
    moving: Vec<usize>,
    sent: usize,
    /// They were left for a later start.
    is_parked: bool,
}

impl Giving {
    /// A successor has come by this channel. Its events come under this token.
    ///
    /// # Errors
    /// When the machine is out of something.
    pub(in crate::server) fn new(
        channel: Channel,
        connections: usize,
        timeout: Duration,
        now: Now,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        let (deadline, needed) = (now + timeout, (connections + OTHERS) as u64);
        let giving = Self {
            channel,
            machine: Predecessor::new([*FORMATS.start(), *FORMATS.end()], needed, deadline),
            pid: 0,
            deadline,
            format: *FORMATS.end(),
            cut: None,
            moving: vec![],
            sent: 0,
            is_parked: false,
        };
        giving.register(registry, token).inspect_err(|why| {
            let _ = giving.channel.send(&ToSuccessor::abort(why), &[]);
        })?;
        Ok(giving)
    }

    /// When there is something to do though nothing has come.
    pub(in crate::server) fn next_deadline(&self) -> Instant {
        self.machine.next_deadline()
    }

    /// Takes in what the successor has said.
    pub(in crate::server) fn on_ready(&mut self, now: Instant) {
        loop {
            match self.channel.receive() {
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                received => {
                    let is_over = !matches!(received, Ok(Some(_)));
                    self.take_in(&received, now);
                    if is_over {
                        return;
                    }
                }
            }
        }
    }

    fn take_in(&mut self, received: &io::Result<Option<Received>>, now: Instant) {
        if received.as_ref().is_err_and(|e| e.kind() == ErrorKind::TimedOut) {
            return;
        }
        let heard = heard_of(received.as_ref().map(Option::as_ref), &mut self.pid);
        self.machine.on_heard(heard, now);
    }

    /// One worker's share of what its supervisor hands over.
    pub(in crate::server) fn part(channel: Channel, format: u32, deadline: Instant) -> Self {
        let machine = Predecessor::part(deadline);
        Self {
            channel,
            machine,
            pid: 0,
            deadline,
            format,
            cut: None,
            moving: vec![],
            sent: 0,
            is_parked: false,
        }
    }

    /// Those that were left there for a later start.
    pub(in crate::server) fn left(channel: Channel, format: u32, moved: Vec<usize>) -> Self {
        let mut giving = Self::part(channel, format, Now::read().instant);
        (giving.is_parked, giving.moving) = (true, moved);
        giving
    }

    /// Whether they wait for a later start.
    pub(in crate::server) fn is_parked(&self) -> bool {
        self.is_parked
    }

    /// How many move.
    pub(in crate::server) fn moved(&self) -> usize {
        self.moving.len()
    }

    /// Sends all connections that can move. Does nothing else until they are taken; how many they are.
    ///
    /// # Errors
    /// Why they are not.
    pub(in crate::server) fn move_all(&mut self, turn: &mut Turn<Transport<Stream>>) -> Result<usize, Why> {
        let mut done = self.cut(turn);
        loop {
            if let Err(why) = done {
                self.on_failed(&why, Now::read().instant);
            }
            done = match self.machine.poll(Now::read().instant, || false) {
                Some(Step::Batch(count)) => self.send_batch(count, turn),
                Some(Step::Commit) => return Ok(self.moving.len()),
                Some(Step::GiveUp(why)) => return Err(why),
                Some(Step::Offer { .. } | Step::Cut) | None => {
                    let received = self.channel.receive_by(self.deadline);
                    self.take_in(&received, Now::read().instant);
                    Ok(())
                }
            };
        }
    }

    /// Whether all that was sent is served where it was sent to: `Some(false)` once it never will be, as nobody is there any more
    /// who has not touched anything.
    pub(in crate::server) fn is_served(&self) -> Option<bool> {
        loop {
            match self.channel.receive() {
                Err(e) if e.kind() == ErrorKind::WouldBlock => return None,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Ok(Some(received)) => return Some(decode(&received.octets) == Ok(ToPredecessor::Serving)),
                Ok(None) | Err(_) => return Some(false),
            }
        }
    }

    /// Has its events come under this token.
    ///
    /// # Errors
    /// When the machine is out of something.
    pub(in crate::server) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        SourceFd(&self.channel.as_raw_fd()).register(registry, token, Interest::READABLE)
    }

    /// The keys of those who have moved.
    pub(in crate::server) fn into_moved(mut self) -> Vec<usize> {
        std::mem::take(&mut self.moving)
    }

    /// Does what is to be done. From the cut on it does nothing else until it is over.
    pub(in crate::server) fn advance(
        &mut self,
        turn: &mut Turn<Transport<Stream>>,
        doors: &Doors,
        path: Option<&BoundSocket>,
        may_commit: &mut dyn FnMut(Option<u32>) -> bool,
    ) -> Option<Ended> {
        let mut now = turn.now().instant;
        loop {
            let Some(step) = self.machine.poll(now, || turn.is_asked()) else {
                if !self.machine.is_cut() {
                    return None;
                }
                let received = self.channel.receive_by(self.deadline);
                now = Now::read().instant;
                self.take_in(&received, now);
                continue;
            };
            let done = match step {
                Step::Offer { format } => self.offer(format, doors, path),
                Step::Cut => self.cut(turn),
                Step::Batch(count) => self.send_batch(count, turn),
                Step::Commit if !may_commit(self.channel.reachable(self.pid)) => {
                    return Some(self.give_up(Why::Own(LEAVING.to_owned())));
                }
                Step::Commit => match self.commit(turn) {
                    Ok(silent_for) => {
                        let moved = std::mem::take(&mut self.moving);
                        let (pid, reachable) = (self.pid, self.channel.reachable(self.pid));
                        return Some(Ended::Committed { moved, pid, reachable, silent_for });
                    }
                    Err(why) => return Some(self.give_up(Why::Own(why.to_string()))),
                },
                Step::GiveUp(why) => return Some(self.give_up(why)),
            };
            let has_failed = done.is_err();
            done.unwrap_or_else(|why| self.on_failed(&why, now));
            if self.machine.is_cut() || has_failed {
                now = Now::read().instant;
            }
        }
    }

    fn on_failed(&mut self, why: &io::Error, now: Instant) {
        match why.kind() {
            // It may have said why.
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => self.on_ready(now),
            // The deadline is over, and says it.
            ErrorKind::TimedOut => {}
            _ => self.machine.on_failed(format!("cannot hand over: {why}")),
        }
    }

    /// The server has been told to leave.
    pub(in crate::server) fn on_leaving(&mut self) {
        self.machine.on_failed(LEAVING.to_owned());
    }

    fn offer(&mut self, format: u32, doors: &Doors, path: Option<&BoundSocket>) -> io::Result<()> {
        self.format = format;
        Offer::of(doors, path).send(&self.channel, self.deadline, format, None)
    }

    fn cut(&mut self, turn: &mut Turn<Transport<Stream>>) -> io::Result<()> {
        let at = Now::moment();
        self.cut = Some((at.instant, at.monotonic));
        let (file, packed) = memory::write(|file| turn.pack(at, self.format, file))?;
        self.moving = packed.connections;
        let connections = self.moving.len() as u64;
        let image = ToSuccessor::Image { bytes: packed.bytes, connections };
        self.channel.send_by(self.deadline, &image, &[file.as_fd()])?;
        self.machine.moving(self.moving.len());
        Ok(())
    }

    /// They stay registered here, so that there is nothing to undo if this process goes on: what has come meanwhile is announced
    /// then. Afterwards it costs nobody any time, see `let_go`.
    fn send_batch(&mut self, count: usize, turn: &Turn<Transport<Stream>>) -> io::Result<()> {
        let keys = &self.moving[self.sent..self.sent + count];
        self.sent += count;
        let descriptors: Vec<BorrowedFd<'_>> = turn.sockets(keys).into_iter().map(AsFd::as_fd).collect();
        let connections = u32::try_from(descriptors.len()).map_err(|_| ErrorKind::InvalidInput)?;
        self.channel.send_by(self.deadline, &ToSuccessor::Batch { connections }, &descriptors)
    }

    fn commit(&mut self, turn: &Turn<Transport<Stream>>) -> io::Result<Duration> {
        let cut_at = self.cut.map_or(0, |(_, cut_at)| cut_at);
        let stayed = (turn.connections() - self.moving.len()) as u64;
        let commit = Commit { cut_at, stayed, counted: None, moved: None };
        self.channel.send_by(self.deadline, &ToSuccessor::Commit(commit), &[])?;
        Ok(self.silent_for())
    }

    /// How long nobody has been heard.
    fn silent_for(&self) -> Duration {
        self.cut.map_or(Duration::ZERO, |(since, _)| Now::read().instant.saturating_duration_since(since))
    }

    fn give_up(&self, why: Why) -> Ended {
        let _ = self.channel.send(&ToSuccessor::abort(&why), &[]);
        Ended::GivenUp(why, self.silent_for())
    }
}

/// No events of these connections are to come any more: they are another process's. Closing a descriptor that another process
/// has, too, does not end them (epoll(7)).
pub(in crate::server) fn let_go(moved: &[usize], turn: &mut Turn<Transport<Stream>>, registry: &Registry) {
    if turn.connections() == moved.len() {
        // Nobody is left to be heard: this process ends.
        return;
    }
    for key in moved {
        // Where that fails, an event comes that is nobody's.
        let _ = turn.socket(*key).map(|socket| socket.deregister(registry));
    }
}

/// What a successor has said; `pid` becomes that of who greets.
pub fn heard_of(received: Result<Option<&Received>, &io::Error>, pid: &mut u32) -> Heard {
    match received {
        Ok(Some(received)) => match decode(&received.octets) {
            Ok(ToPredecessor::Hello(hello)) => greet(&hello, pid),
            Ok(ToPredecessor::Ready) => Heard::Ready,
            Ok(ToPredecessor::Taken { connections }) => Heard::Taken(connections),
            Ok(ToPredecessor::Prepared) => Heard::Prepared,
            Ok(ToPredecessor::Failed { why }) => Heard::Failed(printable(&why)),
            // Those are for a supervisor, which asks for them, and for one of its workers, which has sent everything.
            Ok(ToPredecessor::Channels { .. } | ToPredecessor::Serving) | Err(_) => Heard::Garbled,
        },
        Ok(None) => Heard::Ended,
        Err(e) if e.kind() == ErrorKind::ConnectionReset => Heard::Ended,
        Err(why) => Heard::Unreceived(why.to_string()),
    }
}

fn greet(hello: &Hello, pid: &mut u32) -> Heard {
    *pid = hello.pid;
    info!("Handing over to process {} of version {}", hello.pid, printable(&hello.version));
    Heard::Hello {
        oldest: hello.oldest_format,
        newest: hello.newest_format,
        most_descriptors: hello.most_descriptors,
    }
}

impl Drop for Giving {
    fn drop(&mut self) {
        self.channel.close();
    }
}
